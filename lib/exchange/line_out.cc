#include "exchange/line_out.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <ctime>

namespace sluice::exchange {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr size_t longest_escape = 6;
constexpr std::string_view cut_mark = "...";

constexpr std::array<bool, 256> make_plain() {
  std::array<bool, 256> plain{};
  for (size_t c = 0x20; c < 0x7f; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}
constexpr std::array<bool, 256> plain = make_plain();

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

}  // namespace

void LineOut::escaped(std::string_view text, size_t cap) {
  const char* const limit = at_ + cap - longest_escape - cut_mark.size();
  while (!text.empty()) {
    size_t run = 0;
    while (run < text.size() && plain[static_cast<unsigned char>(text[run])]) ++run;
    const auto room = static_cast<size_t>(std::max<std::ptrdiff_t>(limit - at_, 0));
    put(text.substr(0, std::min(run, room)));
    if (run > room || (run < text.size() && at_ > limit)) return put(cut_mark);
    text.remove_prefix(run);
    if (text.empty()) return;
    escaped_byte(static_cast<unsigned char>(text.front()));
    text.remove_prefix(1);
  }
}

void LineOut::escaped_byte(unsigned char c) {
  if (c == '"' || c == '\\') {
    put('\\');
    put(static_cast<char>(c));
    return;
  }
  put(escape_ == Escape::json ? std::string_view("\\u00") : std::string_view("\\x"));
  put(hex_digits[c >> 4]);
  put(hex_digits[c & 15]);
}

void LineOut::rfc3339(base::Micros wall) {
  const std::tm& t = broken_down(wall.count / 1'000'000);
  number(static_cast<uint64_t>(t.tm_year + 1900));
  put('-');
  two(t.tm_mon + 1);
  put('-');
  two(t.tm_mday);
  put('T');
  two(t.tm_hour);
  put(':');
  two(t.tm_min);
  put(':');
  two(t.tm_sec);
  put('.');
  int64_t rest = wall.count % 1'000'000;
  for (int64_t unit = 100'000; unit > 0; unit /= 10) {
    put(static_cast<char>('0' + rest / unit));
    rest %= unit;
  }
  put('Z');
}

void LineOut::common_time(base::Micros wall) {
  static constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::tm& t = broken_down(wall.count / 1'000'000);
  two(t.tm_mday);
  put('/');
  put(months[static_cast<size_t>(t.tm_mon)]);
  put('/');
  number(static_cast<uint64_t>(t.tm_year + 1900));
  put(':');
  two(t.tm_hour);
  put(':');
  two(t.tm_min);
  put(':');
  two(t.tm_sec);
  put(" +0000");
}

}  // namespace sluice::exchange
