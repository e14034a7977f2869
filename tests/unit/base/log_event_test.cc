// Events of the process log: keys in text and JSON, several lines, and repeats that are counted.
#include "base/log_event.h"

#include <unistd.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/log_repeats.h"

using namespace sluice::base;

namespace {

constexpr Micros at{1'786'104'000'000'042};

std::string event(LogFormat format, const std::vector<LogKey>& keys) {
  return format_event(LogLevel::warn, format, at, "endpoint_state", keys);
}

// What goes to stderr meanwhile.
class Stderr {
 public:
  Stderr() : saved_(dup(STDERR_FILENO)) {
    file_ = mkstemp(path_);
    dup2(file_, STDERR_FILENO);
  }
  ~Stderr() {
    close(file_);
    close(saved_);
    unlink(path_);
  }
  std::string text() {
    dup2(saved_, STDERR_FILENO);
    std::stringstream all;
    all << std::ifstream(path_).rdbuf();
    return all.str();
  }

 private:
  char path_[28] = "/tmp/sluice-stderr-XXXXXX";
  int saved_;
  int file_ = -1;
};

}  // namespace

TEST_CASE("an event in text: keys that can be cut at blanks; in JSON: the same keys") {
  const std::vector<LogKey> keys{{"upstream", "app"}, {"why", "status 503"}, {"after", 3},
                                 {"age_s", 12.1},     {"detail", ""},        {"ok", true}};
  CHECK(event(LogFormat::text, keys) ==
        "2026-08-07T12:00:00.000042Z warn event=endpoint_state upstream=app why=\"status 503\" after=3 age_s=12.100 "
        "ok=true\n");
  CHECK(
      event(LogFormat::json, keys) ==
      "{\"time\":\"2026-08-07T12:00:00.000042Z\",\"level\":\"warn\",\"event\":\"endpoint_state\",\"upstream\":\"app\","
      "\"why\":\"status 503\",\"after\":3,\"age_s\":12.100,\"ok\":true}\n");
}

TEST_CASE("values cannot break a line, nor look like another key") {
  const std::vector<LogKey> keys{{"why", "a\"b\\c\x1b[2J=\xff"}};
  CHECK(event(LogFormat::text, keys).ends_with("event=endpoint_state why=\"a\\\"b\\\\c\\x1b[2J=\\xff\"\n"));
  CHECK(event(LogFormat::text, {{"why", "to=in_use"}}).ends_with(" why=\"to=in_use\"\n"));
  CHECK(event(LogFormat::json, keys).ends_with("\"why\":\"a\\\"b\\\\c\\u001b[2J=\\u00ff\"}\n"));
}

TEST_CASE("several lines stay several in text, behind the keys and indented; in JSON they are one value") {
  const std::vector<LogKey> keys{{"message", "s.toml:1:2: error: x\n  \"y\"\n2026 fake"}, {"line", 1}};
  CHECK(
      event(LogFormat::text, keys)
          .ends_with(" event=endpoint_state line=1 message:\n    s.toml:1:2: error: x\n      \"y\"\n    2026 fake\n"));
  CHECK(event(LogFormat::json, keys)
            .ends_with("\"message\":\"s.toml:1:2: error: x\\u000a  \\\"y\\\"\\u000a2026 fake\","
                       "\"line\":1}\n"));
}

TEST_CASE("what repeats is written once, and each subject for itself; what an event's level hides is not counted") {
  Stderr log;
  for (int i = 0; i < 1000; ++i) {
    log_repeated(LogLevel::warn, "connect_failed", "test app 1", {{"endpoint", "1"}, {"try", i}});
    log_repeated(LogLevel::debug, "connect_failed", "test app 2", {{"endpoint", "2"}});
  }
  log_repeated(LogLevel::warn, "connect_failed", "test app 3", {{"endpoint", "3"}});
  tell_repeats();
  const std::string text = log.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK(text.find("event=connect_failed endpoint=1 try=0\n") != std::string::npos);
  CHECK(text.find("event=connect_failed endpoint=3\n") != std::string::npos);
}

TEST_CASE("the sum of repeats") {
  Repeats repeats;
  const Micros begin{5'000'000};
  const Micros second{1'000'000};
  REQUIRE(repeats.first(7, begin));
  repeats.keep(7, {LogLevel::warn, LogFormat::text, "2026-08-07T12:00:00.000042Z warn event=x a=1", begin, 0});
  for (int i = 0; i < 41; ++i) CHECK_FALSE(repeats.first(7, begin + second));
  CHECK(repeats.over(begin + Micros{9'999'999}).empty());
  auto over = repeats.over(begin + Micros{10'000'000});
  REQUIRE(over.size() == 1);
  CHECK(repeat_summary(over[0], at) == "2026-08-07T12:00:00.000042Z warn event=x a=1 repeated=41 within_s=10\n");
  over[0].format = LogFormat::json;
  over[0].line = "{\"time\":\"2026-08-07T12:00:00.000042Z\",\"level\":\"warn\",\"event\":\"x\",\"a\":1}";
  CHECK(repeat_summary(over[0], at).ends_with("\"event\":\"x\",\"a\":1,\"repeated\":41,\"within_s\":10}\n"));
  CHECK(repeats.over(begin + Micros{20'000'000}).empty());  // none came: it is forgotten
  CHECK(repeats.first(7, begin + Micros{20'000'001}));
}

TEST_CASE("so many subjects are remembered and no more: further ones are written each time") {
  Repeats repeats;
  for (uint64_t i = 0; i < Repeats::subjects_max + 5; ++i) {
    REQUIRE(repeats.first(i, Micros{1}));
    repeats.keep(i, {});
  }
  CHECK_FALSE(repeats.first(Repeats::subjects_max - 1, Micros{1}));
  CHECK(repeats.first(Repeats::subjects_max, Micros{1}));
}
