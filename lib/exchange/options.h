// Settings of the access log, as `[access_log]` states them, and of whom a listener believes. Plain values; owned by
// the snapshot.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::exchange {

// The one field that trusted proxies write; the other comes from who knows whom.
enum class ForwardedBy : std::uint8_t { x_forwarded_for, forwarded };

enum class AccessLogOutput : std::uint8_t { standard_output, off, file };
enum class AccessLogFormat : std::uint8_t { json, common };

struct AccessLogOptions {
  AccessLogOutput output = AccessLogOutput::standard_output;
  std::string path;  // set when output is `file`
  AccessLogFormat format = AccessLogFormat::json;
  bool operator==(const AccessLogOptions&) const = default;
};

}  // namespace sluice::exchange
