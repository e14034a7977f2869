// Numbers as text for the lines of a head, without allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::http2 {

class Decimal {
 public:
  // Valid as long as this lives and is not asked again.
  std::string_view text(uint64_t value) {
    size_t at = digits_.size();
    do {
      digits_[--at] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    return {digits_.data() + at, digits_.size() - at};
  }

 private:
  std::array<char, 20> digits_;
};

}  // namespace sluice::http2
