// How a request ended, in two letters for people who read the common format: who ended it, and in which part of it.
// docs/log.md has the table.
#pragma once

#include <array>
#include <string_view>

namespace sluice::exchange {

struct AccessRecord;

struct EndingCode {
  std::array<char, 2> letters;
  std::string_view text() const { return {letters.data(), letters.size()}; }
};

EndingCode ending_code(const AccessRecord& record);

}  // namespace sluice::exchange
