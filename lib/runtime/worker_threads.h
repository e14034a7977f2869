// WorkerThreads: the crew of a process: each worker on a thread of its own.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "net/mailbox.h"
#include "runtime/crew.h"
#include "runtime/worker_thread.h"

namespace sluice::runtime {

class WorkerThreads final : public Crew {
 public:
  // None runs yet. `control` is where messages to control go.
  WorkerThreads(uint32_t count, net::Mailbox<std::function<void()>>& control) : count_(count), control_(control) {}
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;
  ~WorkerThreads() { stop(); }
  void start(Shared& shared);
  void stop();                                    // ends and joins them; messages to them are dropped from here on

  uint32_t size() const override { return count_; }
  void post(uint32_t worker, Message message) override;
  void to_control(std::function<void()> message) override { control_.post(std::move(message)); }

 private:
  uint32_t count_;
  net::Mailbox<std::function<void()>>& control_;
  // Constant while a worker may read it, so without a lock: none writes to another before the first message of control,
  // which comes after start(), nor after await_silence().
  std::vector<std::unique_ptr<WorkerThread>> threads_;
};

}  // namespace sluice::runtime
