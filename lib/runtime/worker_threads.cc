#include "runtime/worker_threads.h"

namespace sluice::runtime {

void WorkerThreads::start(Shared& shared) {
  for (uint32_t i = 0; i < count_; ++i) threads_.push_back(std::make_unique<WorkerThread>(i, count_, shared, *this));
}

// All fall silent before the first mailbox goes.
void WorkerThreads::stop() {
  for (const auto& thread : threads_) thread->end();
  for (const auto& thread : threads_) thread->await_silence();
  threads_.clear();
}

void WorkerThreads::post(uint32_t worker, Message message) {
  if (worker < threads_.size()) threads_[worker]->post(std::move(message));
}

}  // namespace sluice::runtime
