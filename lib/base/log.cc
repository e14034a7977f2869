// The process log. A line is made whole and goes into the ring, or leaves in one write(2), so lines of different
// threads never mix; one that stderr does not take (closed, full pipe in non-blocking mode) is lost, as nothing better
// could be done with it.
#include "base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/line_writer.h"
#include "base/log_line.h"
#include "base/log_thread.h"
#include "base/text.h"

namespace sluice::base {
namespace {

std::atomic<LogLevel> current_level{LogLevel::info};
std::atomic<LogFormat> current_format{LogFormat::text};

constexpr int64_t window_micros = 10'000'000;

// The ring takes one producer, and any thread may log: the lock is held for the copy of a line.
std::mutex producer;
// Of the LogThread that lives. Without a destructor: a thread whose output is stuck may still log while main ends.
constinit LineWriter* writer = nullptr;

void write_now(std::string_view lines) {
  while (!lines.empty()) {
    const ssize_t n = write(STDERR_FILENO, lines.data(), lines.size());
    if (n > 0) {
      lines.remove_prefix(static_cast<size_t>(n));
    } else if (n == 0 || errno != EINTR) {
      return;
    }
  }
}

std::string_view level_word(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
  }
  return "";
}

}  // namespace

void append_plain(std::string& to, std::string_view text) {
  size_t from = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '"' && text[i] != '\\' && text[i] != '\t') continue;
    append_escaped(to, text.substr(from, i - from));
    to += text[i];
    from = i + 1;
  }
  append_escaped(to, text.substr(from));
}

void append_lines(std::string& to, std::string_view lines) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    to += "\n    ";
    append_plain(to, line);
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
  }
}

LogFormat log_format() { return current_format.load(std::memory_order_relaxed); }

std::string line_head(LogLevel level, LogFormat format, Micros wall) {
  const bool json = format == LogFormat::json;
  std::string head = json ? R"({"time":")" : "";
  head += wall_text(wall);
  head += json ? R"(","level":")" : " ";
  head += level_word(level);
  head += json ? R"(",)" : " ";
  return head;
}

std::string wall_text(Micros wall) {
  const time_t whole = static_cast<time_t>(wall.count / 1'000'000);
  tm parts{};
  gmtime_r(&whole, &parts);
  char text[64];
  const int n =
      std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                    parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(wall.count % 1'000'000));
  return {text, static_cast<size_t>(n)};
}

std::string format_line(LogLevel level, LogFormat format, Micros wall, std::string_view message) {
  std::string line = line_head(level, format, wall);
  if (format == LogFormat::json) {
    line += R"("message":")";
    append_json_escaped(line, message);
    line += "\"}\n";
    return line;
  }
  const size_t first = std::min(message.find('\n'), message.size());
  append_plain(line, message.substr(0, first));
  if (first != message.size()) append_lines(line, message.substr(first + 1));
  return line + '\n';
}

void set_log(LogLevel level, LogFormat format) {
  current_level.store(level, std::memory_order_relaxed);
  current_format.store(format, std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) { return level >= current_level.load(std::memory_order_relaxed); }

void log_line(LogLevel level, std::string_view message) {
  log_text(format_line(level, current_format.load(std::memory_order_relaxed), steady_clock().wall(), message));
}

void log_text(std::string_view lines) {
  {
    const std::lock_guard lock(producer);
    if (writer != nullptr) {
      for (size_t end; !lines.empty(); lines.remove_prefix(end)) {
        const size_t at = lines.find('\n');
        end = at == std::string_view::npos ? lines.size() : at + 1;
        writer->push(0, lines.substr(0, end));
      }
      return;
    }
  }
  write_now(lines);
}

LogThread::LogThread() {
  const int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return;  // no stderr: nothing can be told, each line is lost by itself
  LineWriter::Hooks hooks;
  hooks.lost = [](uint64_t lines) {
    return format_line(LogLevel::warn, current_format.load(std::memory_order_relaxed), steady_clock().wall(),
                       std::to_string(lines) + " lines of this log were lost: nobody took them from stderr");
  };
  const std::lock_guard lock(producer);
  CHECK(writer == nullptr);
  writer_ = std::make_unique<LineWriter>(fd, LineWriter::Options{}, std::move(hooks));
  writer = writer_.get();
}

// Its writer's end may take a second, without the lock.
LogThread::~LogThread() {
  const std::lock_guard lock(producer);
  writer = nullptr;
}

uint64_t log_dropped() {
  const std::lock_guard lock(producer);
  return writer == nullptr ? 0 : writer->dropped();
}

bool LogSite::admit(uint32_t burst) {
  const int64_t window = steady_clock().now().count / window_micros + 1;  // never 0, so the first call opens a window
  if (window_.exchange(window, std::memory_order_relaxed) != window) {
    const uint32_t seen = count_.exchange(0, std::memory_order_relaxed);
    if (seen > burst && log_enabled(LogLevel::warn))
      log_line(LogLevel::warn, std::to_string(seen - burst) + " lines like the next one were left out");
  }
  return count_.fetch_add(1, std::memory_order_relaxed) < burst;
}

}  // namespace sluice::base
