// The access log: exactly one line per request. A worker formats its line into a ring of its own (no lock, no system
// call); one writer thread takes them to the file. A full disk or pipe fills the ring and drops lines, counted; traffic
// goes on.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/line_writer.h"
#include "exchange/options.h"
#include "exchange/record.h"

namespace sluice::exchange {

// What one line says; views live for the call only. Times in microseconds; names as in configuration.md "Access log".
struct AccessRecord {
  static constexpr size_t path_bytes_max = 8 * 1024;  // what is longer is cut
  static constexpr size_t value_bytes_max = 1024;  // of any other text
  static constexpr size_t tried_bytes_max = 128;  // of an endpoint in `tries`
  base::Micros wall{};
  uint64_t conn = 0;  // of the client's connection: unique in the process
  uint16_t client_port = 0;  // of the other end of that connection, whoever `client` is; 0: a Unix socket
  std::string_view client, listener, route, method, host, path, protocol;
  uint16_t status = 0;
  int32_t grpc_status = -1;  // -1: no gRPC call, or it ended without one; not told then
  std::string_view reason, detail;
  std::string_view ended;  // complete, cut, refused, tunnel
  std::string_view ended_by, during;  // of what did not end well: client, upstream, proxy; a phase
  std::string_view limited_by;  // of what was slow
  std::string_view fallback;  // reason for which the route's fallback was asked; not told if it was not
  uint64_t bytes_in = 0, bytes_out = 0;
  std::string_view upstream, endpoint;
  uint32_t attempts = 0;
  bool reused = false;
  base::Micros tls{}, first_byte{}, total{};
  std::array<base::Micros, phases> phase{};
  std::span<const Try> tries;  // that failed, before the last one
  std::string_view request_id, trace_id, user_agent, referer;
};

// One line with its '\n' in `to`; returns its length. Long values are cut (and end in "..."), so a line always fits.
inline constexpr size_t line_bytes_max = 32 * 1024;
size_t format_json(const AccessRecord& record, char* to);
size_t format_common(const AccessRecord& record, char* to);

class AccessLog {
  struct Opened {  // what only open() has
    explicit Opened() = default;
  };

 public:
  // Opens the output. Errors name the file and the reason.
  static base::Result<std::unique_ptr<AccessLog>> open(const AccessLogOptions& options, uint32_t workers);
  AccessLog(Opened, const AccessLogOptions& options, uint32_t workers, int fd);

  void write(uint32_t worker, const AccessRecord& record);  // that worker's thread only
  void reopen() {
    writer_.reopen();
  }  // SIGUSR1; any thread. A file that cannot be opened again: the old one stays, logged.
  uint64_t dropped() const { return writer_.dropped(); }

 private:
  AccessLogFormat format_;
  base::LineWriter writer_;  // its end writes what is queued (a stuck output: gives up after a second)
};

}  // namespace sluice::exchange
