// WorkerThread: the thread, loop and mailbox under one Worker.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "runtime/worker.h"

namespace sluice::runtime {

class WorkerThread {
 public:
  // Returns when the loop takes messages.
  WorkerThread(uint32_t index, uint32_t count, Shared& shared, Peers& peers);
  ~WorkerThread();                                // stop() and join
  void post(std::function<void(Worker&)> message);   // any thread, until the destructor

 private:
  void run(uint32_t index, uint32_t count, Shared& shared, Peers& peers);

  std::mutex mutex_;
  std::condition_variable changed_;
  net::Mailbox* mailbox_ = nullptr;               // of the thread; under mutex_ until it is there
  Worker* worker_ = nullptr;                      // used on the thread only
  net::Loop* loop_ = nullptr;
  std::thread thread_;
};

}  // namespace sluice::runtime
