// The process log: leveled lines to stderr, text or JSON, from any thread; one write(2) a line, or log_thread.h.
// Not for the access log (exchange/access_log). Lines of one call site are rate limited: see LogSite.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace sluice::base {

enum class LogLevel : uint8_t { debug, info, warn, error };
enum class LogFormat : uint8_t { text, json };

void set_log(LogLevel level, LogFormat format);
bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view message);
// What log_line() writes, its newline included; control bytes and what is not UTF-8 are escaped. In text each line of
// several but the first is indented.
std::string format_line(LogLevel level, LogFormat format, Micros wall, std::string_view message);
// "2026-08-07T12:00:00.000001Z" of microseconds since the Unix epoch (RFC 3339).
std::string wall_text(Micros wall);

// At most `burst` lines a 10 s window per site; the next window's first line tells how many were left out. From any
// thread.
class LogSite {
 public:
  bool admit(uint32_t burst = 10);

 private:
  std::atomic<int64_t> window_{0};
  std::atomic<uint32_t> count_{0};
};

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) log_line(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> f, Args&&... args) {
  log(LogLevel::info, f, std::forward<Args>(args)...);
}
template <class... Args>
void warn(fmt::format_string<Args...> f, Args&&... args) {
  log(LogLevel::warn, f, std::forward<Args>(args)...);
}
template <class... Args>
void error(fmt::format_string<Args...> f, Args&&... args) {
  log(LogLevel::error, f, std::forward<Args>(args)...);
}
template <class... Args>
void debug(fmt::format_string<Args...> f, Args&&... args) {
  log(LogLevel::debug, f, std::forward<Args>(args)...);
}

}  // namespace sluice::base
