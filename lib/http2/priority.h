// The Priority field and PRIORITY_UPDATE (RFC 9218): how urgent a response is, and whether it is of use in parts.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::http2 {

struct Priority {
  static constexpr uint8_t lowest = 7;
  uint8_t urgency = 3;              // 0 = first .. 7 = last
  bool incremental = false;
  bool operator==(const Priority&) const = default;
};

// Members that are unknown or out of range are passed over, as the RFC says.
Priority parse_priority(std::string_view value);

}  // namespace sluice::http2
