// The access log: exactly one line per request. A worker formats its line into a ring of its own (no lock, no system call);
// one writer thread takes them to the file. A full disk or pipe fills the ring and drops lines, counted; traffic goes on.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "exchange/options.h"

namespace sluice::exchange {

// What one line says; views live for the call only. Times in microseconds; names as in configuration.md "Access log".
struct AccessRecord {
  base::Micros wall{};
  std::string_view client, listener, route, method, host, path, protocol;
  uint16_t status = 0;
  int32_t grpc_status = -1;          // -1: no gRPC call, or it ended without one; not told then
  std::string_view reason, detail;
  uint64_t bytes_in = 0, bytes_out = 0;
  std::string_view upstream, endpoint;
  uint32_t attempts = 0;
  bool reused = false;
  base::Micros queue{}, connect{}, tls{}, first_byte{}, total{};
  std::string_view request_id, trace_id, user_agent, referer;
};

// One line with its '\n' in `to`; returns its length. Long values are cut (and end in "..."), so a line always fits.
inline constexpr size_t line_bytes_max = 32 * 1024;
size_t format_json(const AccessRecord& record, char* to);
size_t format_common(const AccessRecord& record, char* to);

// Lines on their way from one worker to the writer: single producer, single consumer.
class LineRing {
 public:
  static constexpr size_t bytes = 1024 * 1024;
  LineRing() : space_(std::make_unique<char[]>(bytes)) {}
  bool push(std::string_view line);           // false: full
  // Appends what stands in the ring to `to`; returns the bytes.
  size_t pop_all(std::string& to);

 private:
  std::unique_ptr<char[]> space_;
  alignas(64) std::atomic<size_t> head_{0};   // bytes ever written
  alignas(64) std::atomic<size_t> tail_{0};   // bytes ever taken
};

class AccessLog {
  struct Opened {                             // what only open() has
    explicit Opened() = default;
  };

 public:
  // Opens the output. Errors name the file and the reason.
  static base::Result<std::unique_ptr<AccessLog>> open(const AccessLogOptions& options, uint32_t workers);
  AccessLog(Opened, const AccessLogOptions& options, uint32_t workers, int fd, int event_fd);
  ~AccessLog();                               // writes what is queued (a stuck output: gives up after a second)

  void write(uint32_t worker, const AccessRecord& record);   // that worker's thread only
  void reopen();                              // SIGUSR1; any thread. A file that cannot be opened again: the old one stays, logged.
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  void run();
  void reopen_now();
  bool write_out(std::string& batch);         // true: all of it went or was given up
  void wake();

  AccessLogOptions options_;
  std::vector<std::unique_ptr<LineRing>> rings_;
  int fd_;
  int event_fd_;
  std::atomic<uint64_t> dropped_{0};
  std::atomic<bool> asleep_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> reopen_{false};
  std::thread writer_;
};

}  // namespace sluice::exchange
