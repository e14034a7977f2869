// How much body a stream may have handed up that was not consumed, both sides of HTTP/1.
#pragma once

#include <cstddef>

namespace sluice::http1 {

inline constexpr size_t window_bytes = 64 * 1024;         // W of the architecture
inline constexpr size_t window_resume = window_bytes / 2; // reading goes on when so much of it is free again

}  // namespace sluice::http1
