// The windows over which min_rate is measured: as long as the timeout beside it, so that a pause which that allows
// passes, and at least 10 s. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

#include "http/options.h"

namespace sluice::http {

inline constexpr base::Millis rate_window_min{10'000};

inline base::Millis body_window(const DownstreamOptions& options) {
  return std::max(rate_window_min, options.body_timeout);
}
inline base::Millis answer_window(const DownstreamOptions& options) {
  return std::max(rate_window_min, options.write_timeout);
}

// What min_rate asks for in such a window, in bytes.
inline std::uint64_t least_bytes(const DownstreamOptions& options, base::Millis window) {
  return options.min_rate * static_cast<std::uint64_t>(window.count) / 1000;
}

}  // namespace sluice::http
