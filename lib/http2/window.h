// Window: how many bytes one side may still send, on a stream or on the connection (RFC 9113 5.2, 6.9). It cannot wrap:
// what would take it out of its range is refused, and changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "http2/frame.h"

namespace sluice::http2 {

class Window {
 public:
  constexpr explicit Window(uint32_t bytes) : bytes_(bytes <= max ? bytes : max) {}

  size_t open() const { return bytes_ > 0 ? static_cast<size_t>(bytes_) : 0; }
  // WINDOW_UPDATE. False: above 2^31-1 (6.9.1).
  [[nodiscard]] bool grow(uint32_t by) { return move(by); }
  // SETTINGS_INITIAL_WINDOW_SIZE went from `from` to `to`. It may fall below zero: what was sent cannot be called back.
  // False: above 2^31-1 (6.9.2).
  [[nodiscard]] bool resize(uint32_t from, uint32_t to) { return move(int64_t{to} - int64_t{from}); }
  // DATA, padding included. False: more than was open.
  [[nodiscard]] bool take(size_t bytes) {
    if (bytes > open()) return false;
    bytes_ -= static_cast<int32_t>(bytes);
    return true;
  }

 private:
  static constexpr int32_t max = window_max;
  bool move(int64_t by) {
    const int64_t to = bytes_ + by;
    if (to > max || to < -int64_t{max}) return false;
    bytes_ = static_cast<int32_t>(to);
    return true;
  }
  int32_t bytes_;
};

}  // namespace sluice::http2
