#include "base/log_event.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "base/log_line.h"
#include "base/log_repeats.h"
#include "base/log_thread.h"
#include "base/text.h"

namespace sluice::base {
namespace {

Repeats& repeats() {
  static Repeats all;
  return all;
}

bool plain(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '='; });
}

std::string event_line(LogLevel level, LogFormat format, Micros wall, std::string_view event,
                       std::span<const LogKey> keys) {
  const bool json = format == LogFormat::json;
  std::string line = line_head(level, format, wall);
  line += json ? "\"event\":\"" : "event=";
  line += event;
  if (json) line += '"';
  for (const LogKey& key : keys) {
    if (key.value.empty() || (!json && key.value.of_lines())) continue;
    line += json ? ",\"" : " ";
    line += key.key;
    line += json ? "\":" : "=";
    if (json) {
      key.value.append_json(line);
    } else {
      key.value.append_text(line);
    }
  }
  for (const LogKey& key : keys) {
    if (json || !key.value.of_lines()) continue;
    line += ' ';
    line += key.key;
    line += ':';
    append_lines(line, key.value.lines());
  }
  if (json) line += '}';
  return line;
}

}  // namespace

bool Repeats::first(uint64_t kind, Micros now) {
  const std::lock_guard lock(mutex_);
  const auto it = all_.find(kind);
  if (it == all_.end()) return true;
  if (now - it->second.since >= window && it->second.left_out == 0) return true;
  ++it->second.left_out;
  return false;
}

void Repeats::keep(uint64_t kind, Repeat&& repeat) {
  const std::lock_guard lock(mutex_);
  if (all_.size() < subjects_max || all_.contains(kind)) all_.insert_or_assign(kind, std::move(repeat));
}

std::vector<Repeat> Repeats::over(Micros now) {
  std::vector<Repeat> over;
  const std::lock_guard lock(mutex_);
  for (auto it = all_.begin(); it != all_.end();) {
    Repeat& repeat = it->second;
    const bool ended = now - repeat.since >= window;
    if (ended && repeat.left_out == 0) {
      it = all_.erase(it);
      continue;
    }
    if (ended) {
      over.push_back(repeat);
      repeat.since = now;
      repeat.left_out = 0;
    }
    ++it;
  }
  return over;
}

std::string repeat_summary(const Repeat& repeat, Micros wall) {
  const std::string head = line_head(repeat.level, repeat.format, wall);  // as long as that of the first one
  const std::string count = std::to_string(repeat.left_out);
  std::string line = head + repeat.line.substr(std::min(head.size(), repeat.line.size()));
  if (repeat.format == LogFormat::json) {
    line.insert(line.size() - 1, ",\"repeated\":" + count + ",\"within_s\":10");
  } else {
    line.insert(std::min(line.find('\n'), line.size()), " repeated=" + count + " within_s=10");
  }
  return line + "\n";
}

void LogValue::append_text(std::string& to) const {
  switch (kind_) {
    case Kind::text:
      if (plain(text_)) {
        to += text_;
      } else {
        to += '"';
        append_escaped(to, text_);
        to += '"';
      }
      return;
    case Kind::integer: to += std::to_string(integer_); return;
    case Kind::real: to += fmt::format("{:.3f}", real_); return;
    case Kind::flag: to += integer_ != 0 ? "true" : "false"; return;
  }
}

void LogValue::append_json(std::string& to) const {
  if (kind_ != Kind::text) return append_text(to);
  to += '"';
  append_json_escaped(to, text_);
  to += '"';
}

std::string format_event(LogLevel level, LogFormat format, Micros wall, std::string_view event,
                         std::span<const LogKey> keys) {
  return event_line(level, format, wall, event, keys) + "\n";
}

void log_event(LogLevel level, std::string_view event, std::initializer_list<LogKey> keys) {
  if (!log_enabled(level)) return;
  log_text(format_event(level, log_format(), steady_clock().wall(), event, {keys.begin(), keys.size()}));
}

void log_repeated(LogLevel level, std::string_view event, std::string_view subject,
                  std::initializer_list<LogKey> keys) {
  if (!log_enabled(level)) return;
  const uint64_t kind = std::hash<std::string_view>{}(event) * 31 + std::hash<std::string_view>{}(subject);
  const Micros now = steady_clock().now();
  if (!repeats().first(kind, now)) return;
  const LogFormat format = log_format();
  std::string line = event_line(level, format, steady_clock().wall(), event, {keys.begin(), keys.size()});
  log_text(line + "\n");
  repeats().keep(kind, {level, format, std::move(line), now, 0});
}

void tell_repeats() {
  const Micros wall = steady_clock().wall();
  for (const Repeat& repeat : repeats().over(steady_clock().now())) {
    if (log_enabled(repeat.level)) log_text(repeat_summary(repeat, wall));
  }
}

}  // namespace sluice::base
