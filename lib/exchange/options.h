// Settings of the access log, as `[access_log]` states them, and of whom a listener believes. Plain values; owned by
// the snapshot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "exchange/log_field.h"

namespace sluice::exchange {

// The one field that trusted proxies write; the other comes from who knows whom.
enum class ForwardedBy : std::uint8_t { x_forwarded_for, forwarded };

enum class AccessLogOutput : std::uint8_t { standard_output, off, file };
enum class AccessLogFormat : std::uint8_t { json, common };
enum class LogOnly : std::uint8_t { all, slow_or_failed };

// A field of the request, as the client sent it, or of the answer, as it goes to the client.
struct LoggedHeader {
  enum class Of : std::uint8_t { request, response };
  Of of = Of::request;
  std::string name;  // lower case
  bool operator==(const LoggedHeader&) const = default;
};

struct AccessLogOptions {
  AccessLogOutput output = AccessLogOutput::standard_output;
  std::string path;  // set when output is `file`
  AccessLogFormat format = AccessLogFormat::json;
  std::vector<LogField> fields;  // none twice; empty = all, in their order
  std::vector<LoggedHeader> headers;  // behind the fields; at most LogPlan::headers_max
  std::vector<std::string> redact_query;  // names of parameters, lower case
  LogOnly only = LogOnly::all;
  double sample = 1.0;  // of what neither failed nor was slow; 0..1
  LogNames names = LogNames::sluice;
  base::Millis long_every{600'000};  // what is open for longer has a line each; 0 = none but the last
  bool operator==(const AccessLogOptions&) const = default;
};

}  // namespace sluice::exchange
