// WorkerThread: the thread, loop and mailbox under one Worker.
#pragma once

#include <condition_variable>
#include <latch>
#include <mutex>
#include <thread>

#include "net/mailbox.h"
#include "runtime/mail.h"
#include "runtime/worker.h"

namespace sluice::runtime {

class WorkerThread {
 public:
  // Returns when the loop takes messages.
  WorkerThread(uint32_t index, uint32_t count, Shared& shared, Peers& peers);
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;
  // end(), and join. Nobody may post any more, so of several workers all have fallen silent before the first one is
  // destroyed.
  ~WorkerThread();

  // Any thread, no lock. What may get lost is dropped while the mailbox is full, and does nothing after end().
  void post(WorkerMail message);
  void end();  // the worker ends its requests and dies; once is enough. From control
  void await_silence() { silent_.wait(); }  // after end(): until the worker is gone and writes to nobody

 private:
  struct Reader;
  void run(uint32_t index, uint32_t count, Shared& shared, Peers& peers);

  std::mutex mutex_;  // over the next two, until the loop takes messages
  std::condition_variable started_;
  net::Mailbox<WorkerMail>* mailbox_ = nullptr;  // of the thread
  net::Loop* loop_ = nullptr;  // used on the thread only
  std::latch silent_{1};
  std::latch forgotten_{1};  // nobody posts any more: the mailbox may go
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace sluice::runtime
