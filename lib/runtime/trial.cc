#include "runtime/trial.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log_event.h"

namespace sluice::runtime {
namespace {

constexpr base::Millis look_every = base::millis(250);

}  // namespace

// The question goes the same way as the generation: each worker answers as it takes it.
void Trial::begin(Former former, base::Millis span) {
  former_ = std::move(former);
  confirmation_.emplace(env_.loop.now(), span);
  ever_ = {};
  asked_ = false;
  timer_.arm(env_.loop, std::min(look_every, span));
  const auto read = [](Worker& worker) {
    return Reading{worker.answers().lately(worker.loop().now()), worker.answers().ever()};
  };
  env_.crew.ask_all<Reading>(read, [this, number = ++number_](const std::vector<Reading>& workers) {
    if (number != number_ || !confirmation_) return;
    Reading sum;
    for (const Reading& of_one : workers) {
      sum.lately += of_one.lately;
      sum.ever += of_one.ever;
    }
    ever_ = sum.ever;
    confirmation_->compare_with(sum.lately, sum.ever);
  });
}

bool Trial::confirm() {
  if (!confirmation_ || !user_.may_reload()) return false;
  base::log_event(base::LogLevel::info, "confirmed", {{"message", "the configuration stays"}});
  end();
  return true;
}

// A large configuration takes its time to be freed: the helper has it.
void Trial::end() {
  confirmation_.reset();
  timer_.disarm();
  auto garbage = std::make_shared<Former>(std::move(former_));
  env_.helper.submit_always([garbage] { garbage->reset(); }, nullptr);
}

// Time counts also while a worker does not answer.
void Trial::look() {
  if (!confirmation_) return;
  if (!user_.may_reload()) {
    base::log_event(base::LogLevel::info, "confirmation_given_up",
                    {{"message", "a drain has begun: no confirmation is awaited any more"}});
    return end();
  }
  judge();
  if (!confirmation_) return;
  timer_.arm(env_.loop, look_every);
  if (std::exchange(asked_, true)) return;
  env_.crew.ask_all<Confirmation::Counts>([](Worker& worker) { return worker.answers().ever(); },
                                          [this, number = number_](const std::vector<Confirmation::Counts>& workers) {
                                            if (number != number_ || !confirmation_) return;
                                            asked_ = false;
                                            ever_ = {};
                                            for (const Confirmation::Counts& of_one : workers) ever_ += of_one;
                                            judge();
                                          });
}

void Trial::judge() {
  const Confirmation::Verdict verdict = confirmation_->look(env_.loop.now(), ever_);
  if (verdict == Confirmation::Verdict::wait || !user_.may_reload()) return;
  if (user_.roll_back(former_, confirmation_->words_of(verdict))) end();
}

}  // namespace sluice::runtime
