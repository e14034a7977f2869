#include "base/line_writer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

namespace sluice::base {
namespace {

constexpr size_t batch_bytes_max = size_t{4} * 1024 * 1024;
constexpr size_t write_bytes_max = 65536;
constexpr int full_ms = 50;              // between two looks at a non-blocking output that is full

}  // namespace

// The seq_cst order of head_ and of State::asleep is what loses no wake-up: a producer stores head_ and then looks at
// asleep, the writer stores asleep and then looks at head_.
bool LineRing::push(std::string_view line) {
  const size_t head = head_.load(std::memory_order_relaxed);
  if (bytes_ - (head - tail_.load(std::memory_order_acquire)) < line.size()) return false;
  const size_t at = head % bytes_;
  const size_t first = std::min(line.size(), bytes_ - at);
  std::memcpy(space_.get() + at, line.data(), first);
  std::memcpy(space_.get(), line.data() + first, line.size() - first);
  head_.store(head + line.size(), std::memory_order_seq_cst);
  return true;
}

size_t LineRing::pop_all(std::string& to) {
  const size_t tail = tail_.load(std::memory_order_relaxed);
  const size_t count = head_.load(std::memory_order_seq_cst) - tail;
  if (count == 0) return 0;
  const size_t at = tail % bytes_;
  const size_t first = std::min(count, bytes_ - at);
  to.append(space_.get() + at, first);
  to.append(space_.get(), count - first);
  tail_.store(tail + count, std::memory_order_release);
  return count;
}

// What the thread uses: it may outlive the LineWriter, stuck in a write(2).
struct LineWriter::State {
  State(int output, const Options& o, Hooks h) : hooks(std::move(h)), pause(o.pause), fd(output) {
    for (uint32_t i = 0; i < o.producers; ++i) rings.push_back(std::make_unique<LineRing>(o.ring_bytes));
  }
  ~State() { ::close(fd); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void wake() {
    const std::lock_guard lock(mutex);
    woken = true;
    changed.notify_all();
  }
  void run();
  size_t collect();
  void open_next();
  bool write_out();
  void tell_lost();
  void rest();
  void wait_a_while();

  Hooks hooks;
  std::vector<std::unique_ptr<LineRing>> rings;
  std::string batch;
  uint64_t told = 0;  // of those dropped
  Millis pause;
  int fd;
  std::atomic<uint64_t> dropped{0};
  std::atomic<bool> asleep{false};
  std::atomic<bool> stopping{false};
  std::atomic<bool> reopening{false};
  std::mutex mutex;  // over these
  std::condition_variable changed;
  bool woken = false;
  bool done = false;
};

size_t LineWriter::State::collect() {
  for (const auto& ring : rings) {
    if (batch.size() < batch_bytes_max) ring->pop_all(batch);
  }
  return batch.size();
}

// False: some of it is lost.
bool LineWriter::State::write_out() {
  size_t at = 0;
  int full_for_ms = 0;
  while (at < batch.size()) {
    const ssize_t n = ::write(fd, batch.data() + at, std::min(batch.size() - at, write_bytes_max));
    if (n > 0) {
      at += static_cast<size_t>(n);
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN && (!stopping.load() || full_for_ms < last_wait.count)) {
      pollfd room{fd, POLLOUT, 0};
      if (::poll(&room, 1, full_ms) == 0 && stopping.load()) full_for_ms += full_ms;
      continue;
    }
    if (hooks.failed) hooks.failed(errno);
    dropped.fetch_add(static_cast<uint64_t>(std::count(batch.begin() + static_cast<ptrdiff_t>(at), batch.end(), '\n')),
                      std::memory_order_relaxed);
    return false;
  }
  return true;
}

void LineWriter::State::tell_lost() {
  const uint64_t now = dropped.load(std::memory_order_relaxed);
  if (now == told || !hooks.lost) return;
  batch = hooks.lost(now - told);
  told = now;
  write_out();
}

// Until somebody wakes us.
void LineWriter::State::rest() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return woken; });
  woken = false;
}

// So that the next batch is a large one; the end is not waited for.
void LineWriter::State::wait_a_while() {
  std::unique_lock lock(mutex);
  changed.wait_for(lock, std::chrono::milliseconds(pause.count), [this] { return stopping.load(); });
}

// The output is chosen after the lines are taken: what was pushed after reopen() goes to the next one.
void LineWriter::State::open_next() {
  if (!reopening.exchange(false) || !hooks.reopen) return;
  if (const int next = hooks.reopen(); next >= 0) ::close(std::exchange(fd, next));
}

void LineWriter::State::run() {
  while (true) {
    batch.clear();
    if (collect() == 0) {
      if (stopping.load()) break;
      asleep.store(true, std::memory_order_seq_cst);
      if (collect() == 0 && !stopping.load() && !reopening.load()) rest();
      asleep.store(false);
    }
    open_next();
    if (batch.empty()) continue;
    if (write_out()) tell_lost();
    if (pause.count != 0 && !stopping.load()) wait_a_while();
  }
  const std::lock_guard lock(mutex);
  done = true;
  changed.notify_all();
}

LineWriter::LineWriter(int fd, const Options& options, Hooks hooks)
    : state_(std::make_shared<State>(fd, options, std::move(hooks))), thread_([state = state_] { state->run(); }) {}

LineWriter::~LineWriter() {
  state_->stopping.store(true);
  state_->wake();
  std::unique_lock lock(state_->mutex);
  const bool done =
      state_->changed.wait_for(lock, std::chrono::milliseconds(last_wait.count), [this] { return state_->done; });
  lock.unlock();
  if (done) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

bool LineWriter::push(uint32_t producer, std::string_view line) {
  if (!state_->rings[producer]->push(line)) {
    state_->dropped.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  // Only the first line after a quiet time pays a system call.
  if (state_->asleep.load(std::memory_order_seq_cst) && state_->asleep.exchange(false)) state_->wake();
  return true;
}

void LineWriter::reopen() {
  state_->reopening.store(true);
  state_->wake();
}

uint64_t LineWriter::dropped() const { return state_->dropped.load(std::memory_order_relaxed); }

}  // namespace sluice::base
