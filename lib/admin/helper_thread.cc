#include "admin/helper_thread.h"

#include <utility>

namespace sluice::admin {

HelperThread::~HelperThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    jobs_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

bool HelperThread::submit(std::function<void()> work, std::function<void()> then) {
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.size() >= jobs_max) return false;
    jobs_.push_back({std::move(work), std::move(then)});
  }
  changed_.notify_one();
  return true;
}

void HelperThread::submit_always(std::function<void()> work, std::function<void()> then) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(work), std::move(then)});
  }
  changed_.notify_one();
}

void HelperThread::run() {
  while (true) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job.work();
    if (job.then) back_.post(std::move(job.then));
  }
}

}  // namespace sluice::admin
