#include "runtime/worker_threads.h"

#include <utility>

namespace sluice::runtime {

void WorkerThreads::start(Shared& shared) {
  for (uint32_t i = 0; i < count_; ++i) {
    auto thread = std::make_unique<WorkerThread>(i, count_, shared, *this);
    const std::lock_guard lock(mutex_);
    threads_.push_back(std::move(thread));
  }
}

// Messages between workers stop first, then the threads.
void WorkerThreads::stop() {
  std::vector<std::unique_ptr<WorkerThread>> threads;
  {
    const std::lock_guard lock(mutex_);
    threads.swap(threads_);
  }
  threads.clear();
}

void WorkerThreads::post(uint32_t worker, Message message) {
  const std::lock_guard lock(mutex_);
  if (worker < threads_.size()) threads_[worker]->post(std::move(message));
}

}  // namespace sluice::runtime
