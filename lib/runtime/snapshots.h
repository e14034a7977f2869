// Snapshots: the state of the process at one moment, which /status in every form, the page and `sluice top` tell, so
// that they cannot disagree. Whoever asks gets the last one while it is young; else the workers are asked, once for all
// who wait. A worker that does not answer in time is told of, with what it said before. Nobody asks: nothing is done,
// as with a thousand upstreams an answer takes a worker milliseconds. On control's loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "net/timer.h"
#include "runtime/control_env.h"
#include "runtime/generation.h"
#include "runtime/status_text.h"

namespace sluice::runtime {

// What one worker said, and when, on control's clock; -1: nothing of the configuration in force yet.
struct WorkerWord {
  WorkerStatus status;
  base::Micros at{-1};
};

struct Snapshot {
  GenerationPtr generation;
  StatusFacts facts;
  TextFacts more;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

class Snapshots {
 public:
  using Done = std::function<void(SnapshotPtr)>;
  using Make = std::function<Snapshot(const GenerationPtr&, std::vector<WorkerWord>)>;
  static constexpr base::Millis young{900};  // so old it is good enough: who asks each second gets a new one
  // A worker has so long to answer; then its figures are of before.
  static constexpr base::Millis patience{1'000};

  // `make` puts together what the workers said and what control knows.
  Snapshots(ControlEnv& env, const GenerationPtr& in_force, Make make);
  // `done` may be called inside the call. now: the workers are asked after this call, however young the last one is.
  void ask(bool now, Done done);

 private:
  struct Waiting {
    uint64_t round;  // this one, or a later one
    Done done;
  };
  struct Asked {  // a worker
    WorkerWord word;
    std::weak_ptr<const Generation> generation;  // what its word is about
    WorkerStatus so_far;  // pieces of its answer
    uint64_t answered = 0;  // round
    bool busy = false;  // a question is on its way
  };
  void begin();
  void ask_worker(uint32_t index, uint32_t from);
  void answered(uint32_t index, uint64_t round, WorkerStatus piece);
  // A round has lasted too long, or a snapshot is no more young: it would keep its generation alive.
  void time_is_over() { open_ ? finish() : replace(nullptr); }
  void finish();
  void replace(SnapshotPtr next);

  ControlEnv& env_;
  const GenerationPtr& in_force_;
  Make make_;
  SnapshotPtr last_;
  GenerationPtr generation_;  // of the round
  std::vector<Asked> workers_;
  std::vector<Waiting> waiting_;
  uint64_t round_ = 0;
  bool open_ = false;  // the round is under way
  net::Timer timer_{this, net::timer_call<&Snapshots::time_is_over>};
};

}  // namespace sluice::runtime
