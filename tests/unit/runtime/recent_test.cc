// GET /recent: what it takes as a question, what fits, how the words of several workers become one page, hostile texts.
#include "runtime/recent.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Micros;
using exchange::AccessRecord;
using exchange::Recent;
using exchange::RecentEnd;
using exchange::RecentRing;
using runtime::RecentAnswer;
using runtime::RecentQuestion;

namespace {

std::expected<RecentQuestion, std::string> ask(const std::string& query) {
  static constexpr std::string_view known[] = {"id",     "client", "conn",     "route", "upstream", "endpoint",
                                               "status", "reason", "ended_by", "ended", "limit",    "kept_as"};
  const std::string target = "/recent?" + query;
  const auto read = admin::Query::read(target, known);
  REQUIRE(read.has_value());
  return runtime::read_recent(*read);
}

std::string wrong(const std::string& query) {
  const auto question = ask(query);
  REQUIRE_FALSE(question.has_value());
  return question.error();
}

const net::Address peer = *net::Address::parse("203.0.113.9:51644");

AccessRecord record() {
  AccessRecord r{.wall = Micros{1'700'000'000'000'000}, .conn = 5, .client = "198.51.100.1", .listener = "main"};
  r.route = "cart";
  r.method = "GET";
  r.path = "/cart";
  r.status = 502;
  r.reason = "reset";
  r.ended = "refused";
  r.ended_by = "upstream";
  r.upstream = "app";
  r.endpoint = "10.0.1.10:80";
  r.request_id = "my id";
  r.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  r.total = Micros{2'000};
  return r;
}

Recent filled() {
  Recent recent;
  recent.add(RecentRing::trouble, record(), {peer, {http::Kind::reset, http::Where::upstream}, {}});
  return recent;
}

size_t found(const std::string& query) {
  const auto question = ask(query);
  REQUIRE_MESSAGE(question.has_value(), query);
  return runtime::answer_of(filled(), *question, Micros{0}).ends.size();
}

std::vector<uint64_t> conns(const RecentAnswer& answer) {
  std::vector<uint64_t> all;
  for (const RecentEnd& end : answer.ends) all.push_back(end.conn);
  return all;
}

}  // namespace

TEST_CASE("each filter finds what it names, and nothing else") {
  CHECK(found("") == 1);
  for (const char* fits :
       {"id=my%20id", "id=4bf92f3577b34da6a3ce929d0e0e4736", "client=198.51.100.1", "client=203.0.113.9:51644",
        "client=203.0.113.9%3a51644", "conn=5", "route=cart", "upstream=app", "endpoint=10.0.1.10:80", "status=502",
        "status=5xx", "reason=reset", "ended_by=upstream", "ended=refused", "kept_as=trouble",
        "kept_as=refused,trouble", "route=cart&status=5xx&reason=reset&limit=1"}) {
    CAPTURE(fits);
    CHECK(found(fits) == 1);
  }
  for (const char* other : {"id=my", "client=203.0.113.9", "client=203.0.113.9:51645", "conn=6", "route=car",
                            "upstream=ap", "status=503", "status=4xx", "reason=timeout", "ended_by=proxy", "ended=cut",
                            "kept_as=fine", "kept_as=refused,fine", "route=cart&status=4xx"}) {
    CAPTURE(other);
    CHECK(found(other) == 0);
  }
}

TEST_CASE("a value that is none is told, with what would be right") {
  CHECK(wrong("limit=0") == "limit is a number from 1 to 1000");
  CHECK(wrong("limit=1001") == "limit is a number from 1 to 1000");
  CHECK(ask("limit=1000")->limit == 1000);
  CHECK(wrong("ended_by=me") == "ended_by is one of client upstream proxy");
  CHECK(wrong("ended=well") == "ended is one of complete cut refused tunnel");
  CHECK(wrong("kept_as=trouble,all") == "kept_as is one of trouble refused fine, or several with commas between them");
  CHECK(wrong("reason=bad").starts_with("reason is one of bad_request body_too_large "));
  CHECK(wrong("reason=bad").ends_with(" drain"));
  for (const char* bad : {"status=60", "status=600", "status=5x", "status=099", "status=5XX", "status=50x"}) {
    CAPTURE(bad);
    CHECK(wrong(bad) == "status is a status as 404, or 4xx");
  }
  for (const char* bad : {"conn=x", "conn=", "conn=-1"}) CHECK(wrong(bad).starts_with("conn is the number of"));
  for (const char* bad : {"id=", "id", "id=%", "id=%4", "id=%zz", "id=%+1"}) {
    CAPTURE(bad);
    CHECK(wrong(bad) == "id is a text of 1 to 256 bytes, with percent escapes where it needs them");
  }
  CHECK(ask("id=" + std::string(256, 'a')).has_value());
  CHECK_FALSE(ask("id=" + std::string(257, 'a')).has_value());
}

TEST_CASE("who asks for one request, connection or client wants to hear that it is not there") {
  CHECK(ask("id=a")->about_one());
  CHECK(ask("conn=1")->about_one());
  CHECK(ask("client=1.2.3.4:5")->about_one());
  CHECK(ask("client=1.2.3.4")->about_one());
  CHECK_FALSE(ask("route=a")->about_one());
}

TEST_CASE("of several workers: the latest ones, as many as asked for; sums; as far back as all of them go") {
  const auto said = [](std::initializer_list<int64_t> walls, Micros reaches) {
    Recent recent;
    for (const int64_t wall : walls) {
      const AccessRecord r{.wall = Micros{wall}, .conn = static_cast<uint64_t>(wall)};
      recent.add(wall % 2 == 0 ? RecentRing::fine : RecentRing::trouble, r, {peer, {}, {}});
    }
    RecentAnswer answer = runtime::answer_of(recent, {}, Micros{100});
    answer.rings[0].passed_over = 3;
    answer.rings[0].reaches = reaches;
    return answer;
  };
  const RecentAnswer all = runtime::merge_recent({.limit = 4}, {said({1, 2, 5}, Micros{-1}), said({3, 4}, Micros{3})});
  CHECK(conns(all) == std::vector<uint64_t>{5, 4, 3, 2});
  CHECK(all.rings[0].kept == 3);
  CHECK(all.rings[0].passed_over == 6);
  CHECK(all.rings[0].reaches == Micros{3});
  CHECK(all.rings[2].kept == 2);
  CHECK(all.rings[2].reaches == Micros{-1});
  CHECK(conns(runtime::merge_recent({}, {said({}, Micros{-1}), said({}, Micros{-1})})).empty());
}

TEST_CASE("a page as JSON and as text: hostile texts break neither") {
  Recent recent;
  AccessRecord r = record();
  r.path = "/\"\\\n\x1b[2J\xff?secret";
  r.method = "G\"ET\n";
  recent.add(RecentRing::trouble, r, {peer, {http::Kind::reset, http::Where::upstream}, {}});
  const RecentAnswer answer = runtime::answer_of(recent, {}, r.wall + Micros{3'000'000});
  const std::string json = runtime::recent_json(answer, 2);
  CHECK(json.find("\"path\":\"/\\\"\\\\\\u000a\\u001b[2J\\u00ff\"") != std::string::npos);
  CHECK(json.find("secret") == std::string::npos);
  CHECK(json.find("\"time\":\"2023-11-14T22:13:20.000000Z\",\"start\":\"2023-11-14T22:13:19.998000Z\",\"conn\":5") !=
        std::string::npos);
  CHECK(json.find("{\"kept_as\":\"trouble\",\"kept\":1,\"most\":1024,\"passed_over\":0,\"since\":null}") !=
        std::string::npos);
  const std::string text = runtime::recent_text(answer, 2);
  CHECK(text.starts_with("2023-11-14T22:13:20.000000Z  "));
  CHECK(text.find("/\\\"\\\\\\x0a\\x1b[2J") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK(text.find("request_id=my id trace_id=4bf92f3577b34da6a3ce929d0e0e4736 conn=5]\n") != std::string::npos);
  CHECK(text.ends_with("kept 1 of 1024 trouble, 0 of 256 refused, 0 of 256 fine\n"));
}

TEST_CASE("what is kept says how far back it goes, and what came too fast") {
  RecentAnswer answer;
  answer.wall = Micros{90'000'000};
  answer.rings = {{{512, 7, Micros{50'000'000}}, {1, 0, Micros{-1}}, {}}};
  CHECK(runtime::recent_text(answer, 1) ==
        "nothing like that has ended; kept 512 of 512 trouble (the last 40 s) (7 came too fast and were not kept), "
        "1 of 128 refused, 0 of 128 fine\n");
}
