// Helper: where control leaves what may take long (loading files, serialising metrics), so that its loop, and with it
// every probe, never waits. A thread in production; in a simulation a job runs when its turn is drawn.
#pragma once

#include <functional>

namespace sluice::admin {

class Helper {
 public:
  // Runs `work` elsewhere, then `then` at control's loop. Jobs run one at a time, in order. False: too many wait.
  virtual bool submit(std::function<void()> work, std::function<void()> then) = 0;
  // The same for the steps of a change, of which there are a few at any time: never refused. `then` may be empty.
  virtual void submit_always(std::function<void()> work, std::function<void()> then) = 0;

 protected:
  ~Helper() = default;
};

}  // namespace sluice::admin
