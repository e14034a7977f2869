// What /debug/... takes as a question, how pages of several workers become one, and the JSON of hostile texts.
#include "runtime/look_page.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using runtime::ConnectionLook;
using runtime::Looked;
using runtime::LookPage;
using runtime::Place;
using runtime::Question;
using runtime::RequestLook;
using runtime::Subject;

namespace {

std::expected<Question, std::string> ask(const std::string& query, uint32_t workers = 2) {
  static constexpr std::string_view known[] = {"limit", "after", "older", "worker"};
  const std::string target = "/debug/requests?" + query;
  const auto read = admin::Query::read(target, known);
  REQUIRE(read.has_value());
  return runtime::read_question(Subject::requests, *read, workers);
}

Place place(int64_t came, uint32_t worker, uint32_t request = 0) { return {base::Micros{came}, worker, request}; }

// What a worker says: its clients came then.
Looked said(uint32_t worker, std::initializer_list<int64_t> came, bool whole) {
  Looked looked;
  for (const int64_t one : came) {
    looked.connections.emplace_back().place = place(one, worker);
    looked.reached = {base::Micros{one}, worker, UINT32_MAX};
  }
  looked.whole = whole;
  return looked;
}

std::string came(const LookPage& page) {
  std::string text;
  for (const ConnectionLook& row : page.connections) text += std::to_string(row.place.came.count) + " ";
  return text + (page.next ? "next " + runtime::place_text(*page.next) : "end");
}

LookPage merged(uint32_t limit, std::vector<Looked> workers, Place after = {}) {
  return runtime::merge_looks({.after = after, .limit = limit}, std::move(workers));
}

}  // namespace

TEST_CASE("a question: what is not said, the limits and one above, and what is no number") {
  const Question plain = *ask("");
  CHECK(plain.limit == Question::limit_default);
  CHECK(plain.after == Place{});
  CHECK_FALSE(plain.worker.has_value());
  const Question all = *ask("limit=1000&after=7.1.3&older=31536000&worker=1");
  CHECK(all.limit == Question::limit_max);
  CHECK(all.after == place(7, 1, 3));
  CHECK(all.older == base::Micros{base::hours(24 * 365)});
  CHECK(*all.worker == 1);
  for (const std::string bad : {"limit=0", "limit=1001", "limit=", "limit", "limit=-1", "limit=1x", "worker=2",
                                "worker=x", "older=31536001", "older=1s", "after=", "after=x"}) {
    CAPTURE(bad);
    CHECK_FALSE(ask(bad).has_value());
  }
  CHECK(ask("limit=1001").error() == "limit is a number from 1 to 1000");
}

TEST_CASE("a place as text, and what is none") {
  for (const Place& one : {place(0, 0), place(5, 1), place(5, 1, 9), place(INT64_MAX, UINT32_MAX, UINT32_MAX)})
    CHECK(runtime::parse_place(runtime::place_text(one)) == one);
  for (const std::string bad : {"", ".", "1", "1.", "1.2.", "1.2.3.", "1.2.3.4", "1..3", "a.1", "-1.0", "1.4294967296",
                                "1.1.4294967296", "9223372036854775808.1"}) {
    CAPTURE(bad);
    CHECK_FALSE(runtime::parse_place(bad).has_value());
  }
}

TEST_CASE("rows of all workers in one order; a page of the limit, and one row above it") {
  CHECK(came(merged(4, {said(0, {1, 4}, true), said(1, {2, 3}, true)})) == "1 2 3 4 end");
  CHECK(came(merged(3, {said(0, {1, 4}, true), said(1, {2, 3}, true)})) == "1 2 3 next 3.1");
  CHECK(came(merged(3, {said(0, {}, true), said(1, {}, true)})) == "end");
}

TEST_CASE("no row before which a worker may still have others") {
  // Worker 1 has looked up to 2 in its turns: of 3 and later it may have more.
  CHECK(came(merged(9, {said(0, {1, 4}, true), said(1, {2}, false)})) == "1 2 next 2.1.4294967295");
  // It has a full page, and more behind.
  CHECK(came(merged(2, {said(0, {5}, true), said(1, {2, 3}, false)})) == "2 3 next 3.1");
  // It has not even come to where the page begins: nothing is lost.
  CHECK(came(merged(9, {said(0, {11}, true), said(1, {}, false)}, place(10, 0))) == "next 10.0");
}

TEST_CASE("JSON stays JSON, whatever clients send") {
  LookPage page;
  RequestLook& row = page.requests.emplace_back();
  row.place = place(5, 1, 2);
  row.method = "G\"ET";
  row.host = "a\\b\r\n\x1b[2J";
  row.path = "/\xff\xc3\xa4";
  row.waits = true;
  row.waits_for = "pool";
  row.left = base::Micros{1'500'000};
  page.next = row.place;
  const std::string text = runtime::look_json(Subject::waiting, page);
  CHECK(text.starts_with("{\"waiting\":[\n {\"id\":\"5.1.2\",\"connection\":\"5.1\",\"conn\":0,\"worker\":1,"));
  CHECK(text.find(R"("method":"G\"ET")") != std::string::npos);
  CHECK(text.find(R"("host":"a\\b\u000d\u000a\u001b[2J")") != std::string::npos);
  CHECK(text.find("\"path\":\"/\\u00ff\xc3\xa4\"") != std::string::npos);
  CHECK(text.ends_with(",\"waits_for\":\"pool\",\"left_seconds\":1.500}],\n\"next\":\"5.1.2\"}\n"));
  page = {};
  page.connections.emplace_back().sni = "\"";
  CHECK(runtime::look_json(Subject::connections, page).find(R"("sni":"\"")") != std::string::npos);
  CHECK(runtime::look_json(Subject::requests, {}) == "{\"requests\":[],\n\"next\":null}\n");
}
