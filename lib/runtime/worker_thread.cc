#include "runtime/worker_thread.h"

#include <pthread.h>

#include <string>
#include <utility>

#include "net/tcp_network.h"
#include "net/uv_driver.h"

namespace sluice::runtime {
namespace {

constexpr int last_turns = 16;

}  // namespace

struct WorkerThread::Reader final : net::Mailbox<WorkerMail>::User {
  void on_message(WorkerMail&& message) override {
    if (worker != nullptr) message(*worker);
  }
  Worker* worker = nullptr;                       // while it lives
};

WorkerThread::WorkerThread(uint32_t index, uint32_t count, Shared& shared, Peers& peers)
    : thread_([this, index, count, &shared, &peers] { run(index, count, shared, peers); }) {
  std::unique_lock lock(mutex_);
  started_.wait(lock, [this] { return mailbox_ != nullptr; });
}

WorkerThread::~WorkerThread() {
  end();
  forgotten_.count_down();
  thread_.join();
}

void WorkerThread::end() {
  if (!std::exchange(ended_, true)) post([this](Worker&) { loop_->stop(); });
}

void WorkerThread::post(WorkerMail message) {
  if (message.may_get_lost()) {
    mailbox_->offer(std::move(message));
  } else {
    mailbox_->post(std::move(message));
  }
}

void WorkerThread::run(uint32_t index, uint32_t count, Shared& shared, Peers& peers) {
  pthread_setname_np(pthread_self(), ("worker-" + std::to_string(index)).c_str());
  net::Loop loop(base::steady_clock(), net::make_uv_driver());
  net::TcpNetwork network;
  Reader reader;
  net::Mailbox<WorkerMail> mailbox(loop, reader);
  {
    Worker worker({index, count, loop, network, shared, peers, exchange::Random::from_system().next()});
    reader.worker = &worker;
    {
      const std::lock_guard lock(mutex_);
      mailbox_ = &mailbox;
      loop_ = &loop;
    }
    started_.notify_all();
    loop.run();
    // What is still open when control has waited long enough: its requests give back what they hold before the pools
    // go.
    worker.abort_all();
    for (int turn = 0; turn < last_turns && loop.work_left(); ++turn) loop.turn(base::Micros{0});
    reader.worker = nullptr;
  }
  silent_.count_down();
  forgotten_.wait();
}

}  // namespace sluice::runtime
