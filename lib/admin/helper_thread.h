// HelperThread: one thread for what may take long (loading files, serialising metrics), so that the control loop, and with it
// every probe, never waits. Jobs run in order; their results come back at the loop.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "net/mailbox.h"

namespace sluice::admin {

class HelperThread {
 public:
  static constexpr size_t jobs_max = 64;      // waiting; more is refused, so a flood of scrapes cannot pile up

  explicit HelperThread(net::Mailbox& back) : back_(back), thread_([this] { run(); }) {}
  ~HelperThread();
  // Runs `work` on the thread, then `then` at the loop of `back`. False: too many jobs wait.
  bool submit(std::function<void()> work, std::function<void()> then);

 private:
  struct Job {
    std::function<void()> work, then;
  };
  void run();

  net::Mailbox& back_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;                        // last: it uses all of the above
};

}  // namespace sluice::admin
