#include "runtime/snapshots.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "runtime/worker.h"

namespace sluice::runtime {

Snapshots::Snapshots(ControlEnv& env, const GenerationPtr& in_force, Make make)
    : env_(env), in_force_(in_force), make_(std::move(make)), workers_(env.crew.size()) {}

void Snapshots::ask(bool now, Done done) {
  const bool good = !now && last_ != nullptr && last_->generation == in_force_ &&
                    env_.loop.now() - last_->facts.now < base::Micros(young);
  if (good) return done(last_);
  // What runs may have asked before this call.
  waiting_.push_back({now || !open_ ? round_ + 1 : round_, std::move(done)});
  if (!open_) begin();
}

void Snapshots::begin() {
  open_ = true;
  ++round_;
  generation_ = in_force_;
  timer_.arm(env_.loop, patience);
  for (uint32_t i = 0; i < workers_.size(); ++i) ask_worker(i, 0);
}

// One question at a time: mail does not pile up before a worker that is stuck.
void Snapshots::ask_worker(uint32_t index, uint32_t from) {
  Asked& worker = workers_[index];
  if (worker.busy) return;
  worker.busy = true;
  if (from == 0) worker.so_far = {};
  env_.crew.post(index, [this, index, from, round = round_](Worker& of) {
    auto piece = std::make_shared<WorkerStatus>(of.status(from));
    env_.crew.to_control([this, index, round, piece] { answered(index, round, std::move(*piece)); });
  });
}

void Snapshots::answered(uint32_t index, uint64_t round, WorkerStatus piece) {
  Asked& worker = workers_[index];
  worker.busy = false;
  if (!open_) return;
  // It was stuck, or another configuration is in force meanwhile: from the beginning.
  if (round < round_) return ask_worker(index, 0);
  if (piece.generation != generation_.get()) return begin();
  const uint32_t next = piece.next;
  if (worker.so_far.generation == nullptr) {
    worker.so_far = std::move(piece);
  } else {
    std::ranges::move(piece.clusters, std::back_inserter(worker.so_far.clusters));
  }
  if (next != 0) return ask_worker(index, next);
  worker.answered = round;
  worker.word = {std::move(worker.so_far), env_.loop.now()};
  worker.generation = generation_;
  if (std::ranges::all_of(workers_, [this](const Asked& w) { return w.answered == round_; })) finish();
}

void Snapshots::finish() {
  open_ = false;
  std::vector<WorkerWord> words;
  for (const Asked& worker : workers_) {
    const bool known = worker.generation.lock() == generation_;  // else it speaks of other upstreams
    words.push_back(known ? worker.word : WorkerWord{});
  }
  replace(std::make_shared<const Snapshot>(make_(std::exchange(generation_, nullptr), std::move(words))));
  std::vector<Done> served;
  std::erase_if(waiting_, [&](Waiting& one) {
    if (one.round > round_) return false;
    served.push_back(std::move(one.done));
    return true;
  });
  const SnapshotPtr snapshot = last_;
  waiting_.empty() ? timer_.arm(env_.loop, young) : begin();
  for (const Done& done : served) done(snapshot);
}

// It may be the last who holds a generation, which takes long to free.
void Snapshots::replace(SnapshotPtr next) {
  SnapshotPtr old = std::exchange(last_, std::move(next));
  if (old == nullptr) return;
  const auto box = std::make_shared<SnapshotPtr>(std::move(old));
  env_.helper.submit([box] { box->reset(); }, [] {});
}

}  // namespace sluice::runtime
