// Text, errors, log lines and the list.
#include "base/text.h"

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/log.h"

#include <doctest/doctest.h>

using namespace std::literals;
using namespace sluice;  // NOLINT: a test of the lowest layer
using base::append_escaped;
using base::append_json_escaped;
using base::edit_distance;
using base::next_list_member;
using base::parse_hex_u64;
using base::parse_u64;

TEST_CASE("numbers: digits only, no overflow") {
  CHECK(parse_u64("0") == 0U);
  CHECK(parse_u64("007") == 7U);
  CHECK(parse_u64("9999999999999999999") == 9'999'999'999'999'999'999U);
  CHECK(parse_u64("18446744073709551615") == 18446744073709551615U);
  CHECK(parse_u64("00000000000000000000000000001") == 1U);
  for (const auto bad :
       {"", "-1", "+1", " 1", "1 ", "0x1", "1,1", "18446744073709551616", "99999999999999999999999", "a"}) {
    CAPTURE(bad);
    CHECK(!parse_u64(bad));
  }
  CHECK(parse_hex_u64("fF") == 255U);
  CHECK(parse_hex_u64("ffffffffffffffff") == UINT64_MAX);
  for (const auto bad : {"", "0x1", "-1", "+1", "1g", " 1", "10000000000000000"}) {
    CAPTURE(bad);
    CHECK(!parse_hex_u64(bad));
  }
}

TEST_CASE("case") {
  CHECK(base::iequals("Content-TYPE", "content-type"));
  CHECK(!base::iequals("a", "ab"));
  CHECK(!base::iequals("@", "`"));  // differ in bit 5 alone
  CHECK(!base::iequals("[", "{"));
  CHECK(base::to_lower("ABC-x\xc4") == "abc-x\xc4");
}

// Words of eight are compared at once: whatever stands where, the answer is that of one character at a time.
TEST_CASE("case: each byte at each place of each length") {
  for (size_t size = 1; size <= 25; ++size) {
    const std::string text(size, 'm');
    for (size_t at = 0; at < size; ++at) {
      for (unsigned a = 0; a < 256; ++a) {
        std::string one = text;
        one[at] = static_cast<char>(a);
        for (const unsigned b : {a, a ^ 0x20U, a ^ 0x80U, a ^ 1U, (a + 1) & 0xffU}) {
          std::string other = text;
          other[at] = static_cast<char>(b);
          const bool same = base::to_lower(one[at]) == base::to_lower(other[at]);
          if (base::iequals(one, other) != same) FAIL_CHECK(size, " ", at, " ", a, " ", b);
        }
      }
    }
  }
}

TEST_CASE("comma lists") {
  const auto members = [](std::string_view text) {
    std::vector<std::string> all;
    while (const auto m = next_list_member(text)) all.emplace_back(*m);
    return all;
  };
  CHECK(members("a, b ,\tc") == std::vector{"a"s, "b"s, "c"s});
  CHECK(members("").empty());
  CHECK(members(" , ,, ").empty());
  CHECK(members("for=\"a,b\\\",c\", x") == std::vector{"for=\"a,b\\\",c\""s, "x"s});
  CHECK(members("\"open, x") == std::vector{"\"open, x"s});
  CHECK(members("\"ends in backslash\\") == std::vector{"\"ends in backslash\\"s});
  CHECK(base::trim_ows(" \t a b\t ") == "a b");
  CHECK(base::trim_ows(" \t").empty());
}

TEST_CASE("escaping breaks no line and keeps UTF-8") {
  const auto escaped = [](std::string_view text) {
    std::string to;
    append_escaped(to, text);
    return to;
  };
  const auto json = [](std::string_view text) {
    std::string to;
    append_json_escaped(to, text);
    return to;
  };
  CHECK(escaped("a\r\n\0\x1b\x7f\"\\"sv) == R"(a\x0d\x0a\x00\x1b\x7f\"\\)");
  CHECK(escaped("gr\xc3\xbc\xc3\x9f") == "gr\xc3\xbc\xc3\x9f");
  CHECK(escaped("\xe2\x82\xac\xf0\x9f\x98\x80") == "\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(escaped("\xff\xc3(") == R"(\xff\xc3()");
  CHECK(escaped("\xc0\xaf") == R"(\xc0\xaf)");                  // overlong
  CHECK(escaped("\xed\xa0\x80") == R"(\xed\xa0\x80)");          // surrogate
  CHECK(escaped("\xf4\x90\x80\x80") == R"(\xf4\x90\x80\x80)");  // above U+10FFFF
  CHECK(escaped("\xc2\x9b") == R"(\xc2\x9b)");                  // C1: CSI on some terminals
  CHECK(escaped("\xe2\x82") == R"(\xe2\x82)");                  // cut
  CHECK(json("a\n\"\\\xff") == R"(a\u000a\"\\\u00ff)");
  CHECK(json("\xe2\x82\xac") == "\xe2\x82\xac");
}

TEST_CASE("edit distance") {
  CHECK(edit_distance("listener", "listener", 5) == 0);
  CHECK(edit_distance("listner", "listener", 5) == 1);
  CHECK(edit_distance("kitten", "sitting", 9) == 3);
  CHECK(edit_distance("", "abc", 9) == 3);
  CHECK(edit_distance("abc", "xyz", 2) == 2);
  const std::string at_limit(64, 'a');
  CHECK(edit_distance(at_limit, at_limit.substr(1), 9) == 1);
  CHECK(edit_distance(at_limit + "a", at_limit, 9) == 9);
}

TEST_CASE("errors show place, line, caret and suggestion, and leave out what is unknown") {
  base::Error e{.message = "unknown key 'listner'",
                .span = {"s.toml", 3, 3, 7},
                .source_line = "[[listner]]",
                .suggestion = "listener"};
  CHECK(to_text(e) ==
        "s.toml:3:3: error: unknown key 'listner'\n    [[listner]]\n      ^~~~~~~\n  did you mean \"listener\"?");
  CHECK(to_text(base::Error{.message = "m", .severity = base::Severity::warning}) == "warning: m");
  CHECK(to_text(base::Error{.message = "m", .span = {"f"}}) == "f: error: m");
  // Columns count characters; tabs stay tabs so that the caret stands below its place.
  e = {.message = "m", .span = {"f", 1, 4, 1}, .source_line = "\t\xc3\xbc=x"};
  CHECK(to_text(e) == "f:1:4: error: m\n    \t\xc3\xbc=x\n    \t  ^");
  // A line of a megabyte, and one that could drive a terminal.
  e = {.message = "m", .span = {"f", 1, 500'000, 900'000}, .source_line = std::string(1'000'000, 'x')};
  CHECK(to_text(e).size() < 600);
  e = {.message = "m", .span = {"f", 1, 99, 1}, .source_line = "a\x1b[2J"};
  CHECK(to_text(e).find('\x1b') == std::string::npos);
}

TEST_CASE("log lines") {
  const base::Micros t{1'786'104'000'000'042};
  CHECK(base::wall_text(t) == "2026-08-07T12:00:00.000042Z");
  CHECK(base::format_line(base::LogLevel::info, base::LogFormat::text, t, "a \"b\" \\ c\nd\x1b") ==
        "2026-08-07T12:00:00.000042Z info a \"b\" \\ c\n    d\\x1b\n");
  CHECK(base::format_line(base::LogLevel::warn, base::LogFormat::json, t, "a \"b\"\n") ==
        "{\"time\":\"2026-08-07T12:00:00.000042Z\",\"level\":\"warn\",\"message\":\"a \\\"b\\\"\\u000a\"}\n");
  base::set_log(base::LogLevel::error, base::LogFormat::text);
  CHECK(!base::log_enabled(base::LogLevel::warn));
  CHECK(base::log_enabled(base::LogLevel::error));
  base::set_log(base::LogLevel::info, base::LogFormat::text);
  CHECK(!base::log_enabled(base::LogLevel::debug));
}

TEST_CASE("a log site admits its burst and no more") {
  base::LogSite site;
  unsigned admitted = 0;
  // The window may turn once in between, never twice.
  for (int i = 0; i < 1000; ++i) admitted += site.admit(5) ? 1 : 0;
  CHECK(admitted >= 5);
  CHECK(admitted <= 10);
}

namespace {
struct Item : base::ListHook<>, base::ListHook<struct Second> {
  explicit Item(int v) : value(v) {}
  int value;
};
std::vector<int> values(base::List<Item>& list) {
  std::vector<int> all;
  for (Item* i = list.front(); i != nullptr; i = list.next(*i)) all.push_back(i->value);
  return all;
}
}  // namespace

TEST_CASE("list: hooks unlink themselves, one object in two lists") {
  base::List<Item> list;
  base::List<Item, struct Second> second;
  Item a(1);
  Item c(3);
  {
    Item b(2);
    list.push_back(a);
    list.push_back(b);
    list.push_back(c);
    second.push_front(b);
    second.push_front(a);
    CHECK(values(list) == std::vector{1, 2, 3});
  }
  CHECK(values(list) == std::vector{1, 3});
  CHECK(second.front() == &a);
  CHECK(second.next(a) == nullptr);
  base::List<Item> other;
  Item d(4);
  other.push_back(d);
  list.take_all(other);
  CHECK(other.empty());
  CHECK(values(list) == std::vector{1, 3, 4});
  CHECK(list.pop_front() == &a);
  CHECK(list.back() == &d);
}

TEST_CASE("clocks") {
  base::FakeClock clock;
  const auto before = clock.now();
  clock.advance(base::millis(5));
  CHECK((clock.now() - before).count == 5000);
  const auto earlier = base::steady_clock().now();
  CHECK(earlier <= base::steady_clock().now());
  CHECK(base::steady_clock().wall().count > 1'600'000'000'000'000);
}
