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
#include "exchange/log_plan.h"
#include "exchange/options.h"
#include "exchange/record.h"

namespace sluice::exchange {

// What one line says; views live for the call only. Times in microseconds; each key is in docs/log.md. What is empty, 0
// where that says nothing, or below 0 is left out.
struct AccessRecord {
  static constexpr size_t path_bytes_max = 8 * 1024;  // what is longer is cut
  static constexpr size_t query_bytes_max = 4 * 1024;
  static constexpr size_t value_bytes_max = 1024;  // of any other text
  static constexpr size_t tried_bytes_max = 128;  // of an endpoint in `tries`
  base::Micros wall{}, start{};
  uint64_t conn = 0;
  uint32_t conn_request = 0;
  uint16_t client_port = 0;  // of `client`; 0: a proxy named it without one
  uint16_t upstream_port = 0;
  uint16_t tls_version = 0;  // 0x0304 = TLS 1.3
  // `path`: the whole target, with its query.
  std::string_view client, listener, sni, alpn, route, method, host, path, protocol;
  uint16_t status = 0;
  int32_t grpc_status = -1;  // -1: no gRPC call, or it ended without one
  std::string_view reason, detail;
  std::string_view told;  // of what goes on: begun, open
  std::string_view ended;  // complete, cut, refused, tunnel
  std::string_view ended_by, during;  // of what did not end well: client, upstream, proxy; a phase
  std::string_view limited_by;  // of what was slow
  std::string_view fallback;  // reason for which the route's fallback was asked
  uint64_t bytes_in = 0, bytes_out = 0;
  std::string_view upstream, endpoint;
  uint32_t attempts = 0;
  bool reused = false;
  base::Micros tls{}, first_byte{-1}, total{};
  std::array<base::Micros, phases> phase{};
  std::span<const Try> tries;  // that failed, before the last one
  std::string_view request_id, trace_id, span_id, user_agent, referer;
  std::span<const std::string_view> headers;  // as LogPlan::headers(), or none
};

// One line with its '\n' in `to`; returns its length. Long values are cut (and end in "..."), so a line always fits.
inline constexpr size_t line_bytes_max = 48 * 1024;
size_t format_json(const AccessRecord& record, const LogPlan& plan, char* to);
size_t format_common(const AccessRecord& record, const LogPlan& plan, char* to);

class AccessLog {
  struct Opened {  // what only open() has
    explicit Opened() = default;
  };

 public:
  // Opens the output. Errors name the file and the reason.
  static base::Result<std::unique_ptr<AccessLog>> open(const AccessLogOptions& options, uint32_t workers);
  AccessLog(Opened, const AccessLogOptions& options, uint32_t workers, int fd);

  // As `plan` says, which is that of the configuration the request began with. That worker's thread only.
  void write(uint32_t worker, const AccessRecord& record, const LogPlan& plan);
  void reopen() {
    writer_.reopen();
  }  // SIGUSR1; any thread. A file that cannot be opened again: the old one stays, logged.
  uint64_t dropped() const { return writer_.dropped(); }

 private:
  base::LineWriter writer_;  // its end writes what is queued (a stuck output: gives up after a second)
};

}  // namespace sluice::exchange
