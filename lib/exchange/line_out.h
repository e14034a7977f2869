// LineOut: writes the text of one line forward into a buffer that its caller knows to be large enough. What a peer can
// choose is escaped, so that no request can break a line or a terminal.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/clock.h"

namespace sluice::exchange {

class LineOut {
 public:
  enum class Escape : char { json = 'u', common = 'x' };  // \u00NN, \xNN

  LineOut(char* at, Escape escape) : begin_(at), at_(at), escape_(escape) {}
  void put(char c) { *at_++ = c; }
  void put(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void number(uint64_t value) { at_ = std::to_chars(at_, at_ + 20, value).ptr; }
  // At most `cap` bytes, in all; what is longer ends in "...".
  void escaped(std::string_view text, size_t cap);
  void rfc3339(base::Micros wall);  // 2026-08-07T12:00:00.000001Z
  void common_time(base::Micros wall);  // 07/Aug/2026:12:00:00 +0000
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

 private:
  void two(int value) {
    put(static_cast<char>('0' + value / 10));
    put(static_cast<char>('0' + value % 10));
  }
  void escaped_byte(unsigned char c);

  char* begin_;
  char* at_;
  Escape escape_;
};

}  // namespace sluice::exchange
