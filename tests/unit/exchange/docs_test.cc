// docs/log.md and docs/reasons.md say what every word of the code's closed lists means.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "exchange/log_field.h"
#include "http/close_cause.h"
#include "http/failure.h"

using namespace sluice;

namespace {

// Tests run in the root of the source tree.
std::string file(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The part of a page under that heading.
std::string part(const std::string& page, const std::string& heading) {
  const size_t at = page.find("\n## " + heading);
  REQUIRE(at != std::string::npos);
  return page.substr(at, page.find("\n## ", at + 1) - at);
}

// The quoted words of `source` between each `call` and its keys.
void add_events(std::set<std::string>& to, const std::string& source, const std::string& call) {
  for (size_t at = source.find(call); at != std::string::npos; at = source.find(call, at + 1)) {
    const size_t end = source.find('{', at);
    for (size_t quote = source.find('"', at); quote < end; quote = source.find('"', quote + 1)) {
      const size_t close = source.find('"', quote + 1);
      to.insert(source.substr(quote + 1, close - quote - 1));
      quote = close;
    }
  }
}

std::string code(std::string_view word) { return "`" + std::string(word) + "`"; }

}  // namespace

TEST_CASE("docs/log.md has a row for each key of the access log, with its names in each vocabulary") {
  const std::string log = file("docs/log.md");
  size_t at = 0;
  for (size_t i = 0; i < exchange::log_fields; ++i) {
    const auto field = static_cast<exchange::LogField>(i);
    CAPTURE(exchange::field_word(field));
    const size_t row = log.find("\n| " + code(exchange::field_word(field)) + " |", at);
    REQUIRE(row != std::string::npos);  // in their order
    const std::string text = log.substr(row + 1, log.find('\n', row + 1) - row - 1);
    CHECK(text.ends_with("| " + code(exchange::field_word(field, exchange::LogNames::otel)) + " | " +
                         code(exchange::field_word(field, exchange::LogNames::ecs)) + " |"));
    at = row;
  }
}

TEST_CASE(
    "docs/reasons.md has a row for each reason with its status, for each detail, and for each cause with its side") {
  const std::string page = file("docs/reasons.md");
  const std::string reasons = part(page, "`reason`");
  for (unsigned i = 1; i < http::kinds; ++i) {
    const auto kind = static_cast<http::Kind>(i);
    CAPTURE(http::reason_word(kind));
    CHECK(reasons.find("\n| " + code(http::reason_word(kind)) + " | " + std::to_string(http::status_of(kind)) + " |") !=
          std::string::npos);
  }
  const std::string details = part(page, "`detail`");
  for (unsigned i = 1; i < http::details; ++i) {
    const std::string_view word = http::detail_word(static_cast<http::Detail>(i));
    CAPTURE(word);
    CHECK(details.find("\n| " + code(word) + " |") != std::string::npos);
  }
  const std::string causes = part(page, "`cause`");
  for (unsigned i = 0; i < http::close_causes; ++i) {
    const auto cause = static_cast<http::CloseCause>(i);
    CAPTURE(http::cause_word(cause));
    CHECK(causes.find("\n| " + code(http::cause_word(cause)) + " | " +
                      std::string(http::side_word(http::ended_by(cause))) + " |") != std::string::npos);
  }
}

TEST_CASE("docs/log.md has each event of the process log") {
  const std::string events = part(file("docs/log.md"), "The process log");
  std::set<std::string> words;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("lib")) {
    if (entry.path().extension() != ".cc" || entry.path().filename() == "log_event.cc") continue;
    const std::string source = file(entry.path());
    add_events(words, source, "base::log_event(");
    add_events(words, source, "base::log_repeated(");
  }
  CHECK(words.size() >= 35);
  for (const std::string& word : words) {
    CAPTURE(word);
    CHECK(events.find(code(word)) != std::string::npos);
  }
}
