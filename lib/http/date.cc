#include "http/date.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>

namespace sluice::http {
namespace {

constexpr int64_t second = 1'000'000;

struct Text {
  std::array<char, 29> characters;
  int64_t of = -1;                            // the second it tells
};

// Without gmtime_r(), which takes a lock of the whole process.
void write(Text& text, int64_t seconds) {
  namespace chrono = std::chrono;
  constexpr std::string_view days = "SunMonTueWedThuFriSat";
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const chrono::sys_seconds at{chrono::seconds{seconds}};
  const chrono::sys_days day = chrono::floor<chrono::days>(at);
  const chrono::year_month_day date{day};
  const chrono::hh_mm_ss time{at - day};
  char* to = text.characters.data();
  const auto put = [&](std::string_view part) {
    for (const char c : part) *to++ = c;
  };
  const auto two = [&](unsigned n) {
    *to++ = static_cast<char>('0' + n / 10);
    *to++ = static_cast<char>('0' + n % 10);
  };
  put(days.substr(chrono::weekday{day}.c_encoding() * size_t{3}, 3));
  put(", ");
  two(static_cast<unsigned>(date.day()));
  put(" ");
  put(months.substr((static_cast<unsigned>(date.month()) - 1) * size_t{3}, 3));
  put(" ");
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  two(year / 100);
  two(year % 100);
  put(" ");
  two(static_cast<unsigned>(time.hours().count()));
  put(":");
  two(static_cast<unsigned>(time.minutes().count()));
  put(":");
  two(static_cast<unsigned>(time.seconds().count()));
  put(" GMT");
  text.of = seconds;
}

}  // namespace

std::string_view date_text(base::Micros wall) {
  thread_local Text text;
  const int64_t seconds = wall.count / second;
  if (text.of != seconds) write(text, seconds);
  return {text.characters.data(), text.characters.size()};
}

std::optional<base::Micros> parse_date(std::string_view text) {
  std::array<char, 48> copy{};  // with its NUL
  if (text.size() >= copy.size()) return std::nullopt;
  text.copy(copy.data(), text.size());
  for (const char* const form : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    std::tm parts{};
    const char* const end = strptime(copy.data(), form, &parts);
    if (end == nullptr || end != copy.data() + text.size()) continue;
    const time_t at = timegm(&parts);
    if (at >= 0) return base::Micros{int64_t{at} * second};
  }
  return std::nullopt;
}

}  // namespace sluice::http
