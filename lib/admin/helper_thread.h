// HelperThread: the Helper of a process: one thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "admin/helper.h"
#include "net/mailbox.h"

namespace sluice::admin {

class HelperThread final : public Helper {
 public:
  static constexpr size_t jobs_max = 64;      // waiting; more is refused, so a flood of scrapes cannot pile up

  explicit HelperThread(net::Mailbox<std::function<void()>>& back) : back_(back), thread_([this] { run(); }) {}
  HelperThread(const HelperThread&) = delete;
  HelperThread& operator=(const HelperThread&) = delete;
  ~HelperThread();
  // `then` comes by the mailbox `back`.
  bool submit(std::function<void()> work, std::function<void()> then) override;
  void submit_always(std::function<void()> work, std::function<void()> then) override;

 private:
  struct Job {
    std::function<void()> work, then;
  };
  void run();

  net::Mailbox<std::function<void()>>& back_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;                        // last: it uses all of the above
};

}  // namespace sluice::admin
