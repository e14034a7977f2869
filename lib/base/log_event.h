// Events of the process log: a word of a closed list (docs/log.md) and keys, so that people can grep and collectors
// need no pattern. Text: event=endpoint_state upstream=app to=ejected why="5 failures in a row"; JSON: the same keys.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/log.h"

namespace sluice::base {

// Views live for the call only.
class LogValue {
 public:
  LogValue(std::string_view text) : kind_(Kind::text), text_(text) {}  // NOLINT: written as it is
  LogValue(const char* text) : LogValue(std::string_view(text)) {}  // NOLINT
  LogValue(const std::string& text) : LogValue(std::string_view(text)) {}  // NOLINT
  LogValue(double number) : kind_(Kind::real), real_(number) {}  // NOLINT: three digits behind the point
  LogValue(bool flag) : kind_(Kind::flag), integer_(flag ? 1 : 0) {}  // NOLINT
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  LogValue(T number) : kind_(Kind::integer), integer_(static_cast<int64_t>(number)) {}  // NOLINT

  bool empty() const { return kind_ == Kind::text && text_.empty(); }
  bool of_lines() const { return kind_ == Kind::text && text_.find('\n') != std::string_view::npos; }
  void append_text(std::string& to) const;  // quoted where it has to be
  void append_json(std::string& to) const;
  std::string_view lines() const { return text_; }

 private:
  enum class Kind : uint8_t { text, integer, real, flag };
  Kind kind_;
  std::string_view text_{};
  int64_t integer_ = 0;
  double real_ = 0;
};

struct LogKey {
  std::string_view key;
  LogValue value;  // an empty text: the key is left out
};

// What log_event() writes. In text a value of several lines stands behind all others, each line indented, so that none
// of them looks like a line of the log.
std::string format_event(LogLevel level, LogFormat format, Micros wall, std::string_view event,
                         std::span<const LogKey> keys);

void log_event(LogLevel level, std::string_view event, std::initializer_list<LogKey> keys);

// For what may come again and again: the first of a `subject` is written, then one line each 10 s with how many there
// were (repeated=). From any thread; takes a lock, so not for what goes well.
void log_repeated(LogLevel level, std::string_view event, std::string_view subject, std::initializer_list<LogKey> keys);
// Writes the lines of those whose 10 s are over: once a second, by whoever has a timer.
void tell_repeats();

}  // namespace sluice::base
