#include "exchange/access_log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"

namespace sluice::exchange {
namespace {

constexpr int pause_ms = 50;             // between two batches while there is traffic: many lines per write(2)
constexpr size_t batch_bytes_max = 4 * LineRing::bytes;
constexpr int stuck_ms_max = 1000;       // at exit: longest wait for an output that takes nothing

base::Result<int> open_output(const AccessLogOptions& options) {
  if (options.output == AccessLogOutput::standard_output) {
    const int fd = dup(STDOUT_FILENO);
    if (fd < 0) return base::fail(std::string("standard output cannot be used for the access log: ") + std::strerror(errno));
    return fd;
  }
  // Without waiting: a FIFO that nobody reads would hold the start up.
  const int fd = ::open(options.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
  if (fd < 0 && errno == ENXIO) {
    return base::fail("access log \"" + options.path + "\" cannot be opened: it is a FIFO or a socket that nobody reads");
  }
  if (fd >= 0) fcntl(fd, F_SETFL, O_APPEND);
  if (fd < 0) {
    return base::fail("access log \"" + options.path + "\" cannot be opened: " + std::strerror(errno) +
                      "; check the folder and its permissions");
  }
  return fd;
}

}  // namespace

bool LineRing::push(std::string_view line) {
  const size_t head = head_.load(std::memory_order_relaxed);
  if (bytes - (head - tail_.load(std::memory_order_acquire)) < line.size()) return false;
  const size_t at = head % bytes;
  const size_t first = std::min(line.size(), bytes - at);
  std::memcpy(space_.get() + at, line.data(), first);
  std::memcpy(space_.get(), line.data() + first, line.size() - first);
  head_.store(head + line.size(), std::memory_order_release);
  return true;
}

size_t LineRing::pop_all(std::string& to) {
  const size_t tail = tail_.load(std::memory_order_relaxed);
  const size_t count = head_.load(std::memory_order_acquire) - tail;
  if (count == 0) return 0;
  const size_t at = tail % bytes;
  const size_t first = std::min(count, bytes - at);
  to.append(space_.get() + at, first);
  to.append(space_.get(), count - first);
  tail_.store(tail + count, std::memory_order_release);
  return count;
}

base::Result<std::unique_ptr<AccessLog>> AccessLog::open(const AccessLogOptions& options, uint32_t workers) {
  if (options.output == AccessLogOutput::off) return std::unique_ptr<AccessLog>();
  auto fd = open_output(options);
  if (!fd) return std::unexpected(fd.error());
  const int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd < 0) {
    const int error = errno;
    ::close(*fd);
    return base::fail(std::string("no descriptor to wake the writer of the access log: ") + std::strerror(error));
  }
  return std::make_unique<AccessLog>(Opened{}, options, workers, *fd, event_fd);
}

AccessLog::AccessLog(Opened, const AccessLogOptions& options, uint32_t workers, int fd, int event_fd)
    : options_(options), fd_(fd), event_fd_(event_fd) {
  for (uint32_t i = 0; i < workers; ++i) rings_.push_back(std::make_unique<LineRing>());
  writer_ = std::thread([this] { run(); });
}

AccessLog::~AccessLog() {
  stopping_.store(true);
  wake();
  writer_.join();
  ::close(fd_);
  ::close(event_fd_);
}

void AccessLog::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(event_fd_, &one, sizeof one);   // a full counter wakes as well
}

void AccessLog::write(uint32_t worker, const AccessRecord& record) {
  std::array<char, line_bytes_max> line;   // NOLINT: filled by the formatter
  const size_t size = options_.format == AccessLogFormat::json ? format_json(record, line.data()) : format_common(record, line.data());
  if (!rings_[worker]->push({line.data(), size})) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  // Only the first line after a quiet time pays a system call.
  if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false)) wake();
}

void AccessLog::reopen() {
  reopen_.store(true);
  wake();
}

void AccessLog::reopen_now() {
  if (options_.output != AccessLogOutput::file) return;
  auto fd = open_output(options_);
  if (!fd) {
    base::error("{}; the log goes on in the file that was open", fd.error().message);
    return;
  }
  ::close(fd_);
  fd_ = *fd;
}

// Writes as much as the output takes. A pipe that is full is waited for in short steps, so that a stop is noticed.
bool AccessLog::write_out(std::string& batch) {
  size_t at = 0;
  int stuck_ms = 0;
  while (at < batch.size()) {
    pollfd ready{fd_, POLLOUT, 0};
    if (::poll(&ready, 1, pause_ms) == 0) {
      stuck_ms += pause_ms;
      if (stopping_.load() && stuck_ms >= stuck_ms_max) return false;
      continue;
    }
    const ssize_t n = ::write(fd_, batch.data() + at, std::min<size_t>(batch.size() - at, 65536));
    if (n > 0) {
      at += static_cast<size_t>(n);
      continue;
    }
    if (errno == EINTR || errno == EAGAIN) continue;
    static base::LogSite site;
    if (site.admit(1)) base::error("access log cannot be written: {}; lines are dropped (sluice_log_dropped_total)", std::strerror(errno));
    dropped_.fetch_add(static_cast<uint64_t>(std::count(batch.begin() + static_cast<ptrdiff_t>(at), batch.end(), '\n')));
    return false;
  }
  return true;
}

void AccessLog::run() {
  std::string batch;
  while (true) {
    if (reopen_.exchange(false)) reopen_now();
    batch.clear();
    for (auto& ring : rings_) {
      if (batch.size() < batch_bytes_max) ring->pop_all(batch);
    }
    if (!batch.empty()) {
      write_out(batch);
      pollfd wait{event_fd_, POLLIN, 0};
      if (!stopping_.load()) ::poll(&wait, 1, pause_ms);
      continue;
    }
    if (stopping_.load()) return;
    asleep_.store(true, std::memory_order_seq_cst);
    bool late = false;                   // a line pushed between the last look and the flag
    for (auto& ring : rings_) late = late || ring->pop_all(batch) != 0;
    if (late) {
      asleep_.store(false);
      write_out(batch);
      continue;
    }
    pollfd wait{event_fd_, POLLIN, 0};
    ::poll(&wait, 1, -1);
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = ::read(event_fd_, &count, sizeof count);
    asleep_.store(false);
  }
}

}  // namespace sluice::exchange
