// Formatting of access-log lines: JSON, and Apache's combined line. Everything a peer can choose is escaped, so that no
// request can break a line or a terminal.
#include <array>
#include <charconv>
#include <cstring>
#include <ctime>

#include "exchange/access_log.h"

namespace sluice::exchange {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

// Writes forward into a buffer that the caps above make large enough.
class Out {
 public:
  explicit Out(char* at) : begin_(at), at_(at) {}
  void put(char c) { *at_++ = c; }
  void put(std::string_view text) {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  void number(uint64_t value) { at_ = std::to_chars(at_, at_ + 20, value).ptr; }
  void two(int value) {
    put(static_cast<char>('0' + value / 10));
    put(static_cast<char>('0' + value % 10));
  }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

  // `escape` is 'u' for JSON (\u00NN) and 'x' for the common format (\xNN).
  void escaped(std::string_view text, size_t cap, char escape) {
    char* const limit = at_ + cap;
    for (const char c : text) {
      if (at_ + 9 > limit) {
        put("...");
        return;
      }
      escaped_byte(static_cast<unsigned char>(c), escape);
    }
  }

 private:
  void escaped_byte(unsigned char c, char escape) {
    if (c == '"' || c == '\\') {
      put('\\');
      put(static_cast<char>(c));
    } else if (c >= 0x20 && c < 0x7f) {
      put(static_cast<char>(c));
    } else {
      put(escape == 'u' ? std::string_view("\\u00") : std::string_view("\\x"));
      put(hex_digits[c >> 4]);
      put(hex_digits[c & 15]);
    }
  }
  char* begin_;
  char* at_;
};

struct Second {
  int64_t count = -1;
  std::tm broken{};
};

const std::tm& broken_down(int64_t second) {
  static thread_local Second last;
  if (last.count != second) {
    const std::time_t t = second;
    gmtime_r(&t, &last.broken);
    last.count = second;
  }
  return last.broken;
}

void put_rfc3339(Out& out, base::Micros wall) {
  const std::tm& t = broken_down(wall.count / 1'000'000);
  out.number(static_cast<uint64_t>(t.tm_year + 1900));
  out.put('-');
  out.two(t.tm_mon + 1);
  out.put('-');
  out.two(t.tm_mday);
  out.put('T');
  out.two(t.tm_hour);
  out.put(':');
  out.two(t.tm_min);
  out.put(':');
  out.two(t.tm_sec);
  out.put('.');
  int64_t rest = wall.count % 1'000'000;
  for (int64_t unit = 100'000; unit > 0; unit /= 10) {
    out.put(static_cast<char>('0' + rest / unit));
    rest %= unit;
  }
  out.put('Z');
}

void put_clf_time(Out& out, base::Micros wall) {
  static constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::tm& t = broken_down(wall.count / 1'000'000);
  out.two(t.tm_mday);
  out.put('/');
  out.put(months[static_cast<size_t>(t.tm_mon)]);
  out.put('/');
  out.number(static_cast<uint64_t>(t.tm_year + 1900));
  out.put(':');
  out.two(t.tm_hour);
  out.put(':');
  out.two(t.tm_min);
  out.put(':');
  out.two(t.tm_sec);
  out.put(" +0000");
}

void text_member(Out& out, std::string_view key, std::string_view value, size_t cap = AccessRecord::value_bytes_max) {
  out.put(",\"");
  out.put(key);
  out.put("\":\"");
  out.escaped(value, cap, 'u');
  out.put('"');
}

void number_member(Out& out, std::string_view key, uint64_t value) {
  out.put(",\"");
  out.put(key);
  out.put("\":");
  out.number(value);
}

void micros_member(Out& out, std::string_view key, base::Micros value) {
  number_member(out, key, value.count < 0 ? 0 : static_cast<uint64_t>(value.count));
}

void tries_member(Out& out, std::span<const Try> tries) {
  if (tries.empty()) return;
  out.put(",\"tries\":");
  char before = '[';
  for (const Try& one : tries) {
    out.put(before);
    before = ',';
    out.put("{\"endpoint\":\"");
    out.escaped(one.endpoint, AccessRecord::tried_bytes_max, 'u');
    out.put("\",\"reason\":\"");
    out.put(one.reason);
    out.put("\",\"us\":");
    out.number(static_cast<uint64_t>(one.took.count));
    out.put('}');
  }
  out.put(']');
}

void dash_or(Out& out, std::string_view value, size_t cap) {
  if (value.empty()) {
    out.put('-');
  } else {
    out.escaped(value, cap, 'x');
  }
}

}  // namespace

size_t format_json(const AccessRecord& r, char* to) {
  Out out(to);
  out.put("{\"time\":\"");
  put_rfc3339(out, r.wall);
  out.put('"');
  text_member(out, "client", r.client);
  text_member(out, "listener", r.listener);
  text_member(out, "route", r.route);
  text_member(out, "method", r.method);
  text_member(out, "host", r.host);
  text_member(out, "path", r.path, AccessRecord::path_bytes_max);
  text_member(out, "protocol", r.protocol);
  number_member(out, "status", r.status);
  if (r.grpc_status >= 0) number_member(out, "grpc_status", static_cast<uint64_t>(r.grpc_status));
  text_member(out, "ended", r.ended);
  if (!r.ended_by.empty()) text_member(out, "ended_by", r.ended_by);
  if (!r.during.empty()) text_member(out, "during", r.during);
  if (!r.limited_by.empty()) text_member(out, "limited_by", r.limited_by);
  text_member(out, "reason", r.reason);
  text_member(out, "detail", r.detail);
  if (!r.fallback.empty()) text_member(out, "fallback", r.fallback);
  number_member(out, "bytes_in", r.bytes_in);
  number_member(out, "bytes_out", r.bytes_out);
  text_member(out, "upstream", r.upstream);
  text_member(out, "endpoint", r.endpoint);
  number_member(out, "attempts", r.attempts);
  out.put(r.reused ? std::string_view(",\"reused\":true") : std::string_view(",\"reused\":false"));
  tries_member(out, r.tries);
  micros_member(out, "total_us", r.total);
  for (size_t i = 0; i < phases; ++i) {
    out.put(",\"");
    out.put(phase_word(static_cast<Phase>(i)));
    out.put("_us\":");
    out.number(static_cast<uint64_t>(r.phase[i].count));
  }
  micros_member(out, "tls_us", r.tls);
  micros_member(out, "first_byte_us", r.first_byte);
  text_member(out, "request_id", r.request_id);
  text_member(out, "trace_id", r.trace_id);
  text_member(out, "user_agent", r.user_agent);
  text_member(out, "referer", r.referer);
  out.put("}\n");
  return out.size();
}

size_t format_common(const AccessRecord& r, char* to) {
  Out out(to);
  dash_or(out, r.client, AccessRecord::value_bytes_max);
  out.put(" - - [");
  put_clf_time(out, r.wall);
  out.put("] \"");
  if (r.method.empty()) {
    out.put('-');
  } else {
    out.escaped(r.method, AccessRecord::value_bytes_max, 'x');
    out.put(' ');
    out.escaped(r.path, AccessRecord::path_bytes_max, 'x');
    out.put(' ');
    out.put(r.protocol);
  }
  out.put("\" ");
  out.number(r.status);
  out.put(' ');
  out.number(r.bytes_out);
  out.put(" \"");
  dash_or(out, r.referer, AccessRecord::value_bytes_max);
  out.put("\" \"");
  dash_or(out, r.user_agent, AccessRecord::value_bytes_max);
  out.put("\"\n");
  return out.size();
}

}  // namespace sluice::exchange
