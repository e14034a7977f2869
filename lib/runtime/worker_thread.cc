#include "runtime/worker_thread.h"

#include <pthread.h>

#include "net/tcp_network.h"
#include "net/uv_driver.h"

namespace sluice::runtime {
namespace {

constexpr int last_turns = 16;

}  // namespace

WorkerThread::WorkerThread(uint32_t index, uint32_t count, Shared& shared, Peers& peers)
    : thread_([this, index, count, &shared, &peers] { run(index, count, shared, peers); }) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return mailbox_ != nullptr; });
}

WorkerThread::~WorkerThread() {
  post([this](Worker&) { loop_->stop(); });
  thread_.join();
}

// Workers write to each other while control takes them down one by one: a message to one that has gone is dropped.
void WorkerThread::post(std::function<void(Worker&)> message) {
  const std::lock_guard lock(mutex_);
  if (mailbox_ != nullptr) mailbox_->push([this, message = std::move(message)] { message(*worker_); });
}

void WorkerThread::run(uint32_t index, uint32_t count, Shared& shared, Peers& peers) {
  pthread_setname_np(pthread_self(), ("worker-" + std::to_string(index)).c_str());
  net::Loop loop(base::steady_clock(), net::make_uv_driver());
  net::TcpNetwork network;
  net::Mailbox mailbox(loop);
  Worker worker({index, count, loop, network, shared, peers, exchange::Random::from_system().next()});
  {
    const std::lock_guard lock(mutex_);
    mailbox_ = &mailbox;
    worker_ = &worker;
    loop_ = &loop;
  }
  changed_.notify_all();
  loop.run();
  // What is still open when control has waited long enough: its requests give back what they hold before the pools go.
  worker.abort_all();
  for (int turn = 0; turn < last_turns && loop.work_left(); ++turn) loop.turn(base::Micros{0});
  const std::lock_guard lock(mutex_);
  mailbox_ = nullptr;
}

}  // namespace sluice::runtime
