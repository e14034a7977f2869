// Error: why a set-up step failed, in words a person can act on (what, where, why, what to do next).
// Used with std::expected at start, in configuration and in admin calls; never on the data path (see http/failure.h).
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <utility>

namespace sluice::base {

// A place in a text file. line and column count from 1; 0 means "unknown".
struct Span {
  std::string file;
  uint32_t line = 0;
  uint32_t column = 0;
  uint32_t length = 1;  // characters that the caret underlines
};

enum class Severity : uint8_t { error, warning };

struct Error {
  std::string message;      // one sentence, no full stop, no file name
  Span span{};
  std::string source_line{};  // the text of span.line, without its end
  std::string suggestion{};   // what would have been right, bare ("listener"); "" = none
  Severity severity = Severity::error;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(std::string message) { return std::unexpected(Error{std::move(message)}); }

// "FILE:LINE:COLUMN: error: MESSAGE\n    source line\n       ^~~~\n  did you mean \"X\"?" (what is unknown is left
// out).
std::string to_text(const Error& error);

}  // namespace sluice::base
