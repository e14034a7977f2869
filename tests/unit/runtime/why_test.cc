// Why a request ended as it did, in a sentence: each kind of end by each side; every reason has words of its own.
#include "runtime/why.h"

#include <set>
#include <string>

#include "exchange/recent.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Micros;
using exchange::AccessRecord;
using exchange::NotRepeated;
using exchange::Phase;
using exchange::Recent;
using exchange::RecentEnd;
using exchange::RecentRing;
using exchange::Try;
using http::Detail;
using http::Kind;
using http::Where;

namespace {

struct Row {
  const char* says;
  AccessRecord record;
  http::Failure failure{};
  NotRepeated not_repeated = NotRepeated::unsaid;
};

AccessRecord get(uint16_t status, std::string_view ended) {
  AccessRecord r;
  r.method = "GET";
  r.path = "/cart";
  r.route = "cart";
  r.upstream = "app";
  r.endpoint = "10.0.1.10:8080";
  r.status = status;
  r.ended = ended;
  r.attempts = 1;
  r.first_byte = Micros{-1};
  return r;
}

AccessRecord with(AccessRecord r, std::initializer_list<std::pair<Phase, int64_t>> spent) {
  for (const auto& [phase, us] : spent) {
    r.phase[static_cast<size_t>(phase)] = Micros{us};
    r.total = r.total + Micros{us};
  }
  return r;
}

AccessRecord during(AccessRecord r, std::string_view part, std::string_view detail = {}) {
  r.during = part;
  r.detail = detail;
  return r;
}

AccessRecord answered(AccessRecord r, uint64_t bytes, int64_t first_byte) {
  r.bytes_out = bytes;
  r.first_byte = Micros{first_byte};
  return r;
}

std::string sentence(const Row& row) {
  Recent recent;
  recent.add(RecentRing::trouble, row.record, {*net::Address::parse("1.2.3.4:5"), row.failure, row.not_repeated});
  std::string text;
  recent.each(RecentRing::trouble, [&](const RecentEnd& end) {
    text = runtime::sentence_of(end);
    return false;
  });
  return text;
}

constexpr http::Failure by_upstream(Kind kind) { return {kind, Where::upstream, Detail::none, false}; }
constexpr http::Failure by_client(Kind kind) { return {kind, Where::downstream, Detail::none, false}; }
constexpr http::Failure by_proxy(Kind kind) { return {kind, Where::proxy, Detail::none, false}; }

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) CHECK(sentence(row) == row.says);
}

}  // namespace

TEST_CASE("complete, slow, and after tries that failed") {
  AccessRecord fine = answered(with(get(200, "complete"), {{Phase::upstream_head, 8'200}}), 20'000, 8'000);
  AccessRecord slow = answered(
      with(get(200, "complete"), {{Phase::upstream_head, 196}, {Phase::upstream_body, 5'199'000}, {Phase::proxy, 904}}),
      1, 196);
  slow.limited_by = "upstream";
  const std::vector<Try> tries{{"10.0.1.11:8080", "connect_failed", Micros{900}},
                               {"10.0.1.12:8080", "status_503", Micros{12'300}}};
  AccessRecord third = fine;
  third.attempts = 3;
  third.tries = tries;
  AccessRecord call = fine;
  call.grpc_status = 14;
  check({
      {"GET /cart, 200, complete: 20,000 bytes in 8.2 ms from endpoint 10.0.1.10:8080", fine},
      {"GET /cart, 200, complete: 1 byte in 5.2 s from endpoint 10.0.1.10:8080; slow: upstream_body 5.2 s "
       "(limited by upstream)",
       slow},
      {"GET /cart, 200, complete: 20,000 bytes in 8.2 ms from endpoint 10.0.1.10:8080; tried before: "
       "10.0.1.11:8080: connect_failed after 0.9 ms, 10.0.1.12:8080: status_503 after 12 ms",
       third},
      {"GET /cart, 200 with gRPC status 14, complete: 20,000 bytes in 8.2 ms from endpoint 10.0.1.10:8080", call},
  });
}

TEST_CASE("cut: by the upstream, by the client, by us") {
  const AccessRecord body = during(
      answered(with(get(200, "cut"), {{Phase::upstream_head, 2'000}, {Phase::upstream_body, 300'000}}), 20'000, 2'000),
      "response_body");
  AccessRecord truncated = body;
  truncated.detail = "truncated";
  AccessRecord unread = body;
  unread.phase[static_cast<size_t>(Phase::client_write)] = Micros{900'000};
  AccessRecord stalled = unread;
  stalled.detail = "slow_read";
  const AccessRecord waited = during(with(get(499, "cut"), {{Phase::queue, 2'000'000}}), "queue");
  const AccessRecord owed = during(with(get(499, "cut"), {{Phase::upstream_head, 2'000'000}}), "response_head");
  const AccessRecord dialled = during(with(get(499, "cut"), {{Phase::connect, 2'000'000}}), "connect");
  const AccessRecord unsent = during(with(get(499, "cut"), {{Phase::client_request, 2'000'000}}), "request_body");
  check({
      {"GET /cart, 200, cut after 20,000 bytes: endpoint 10.0.1.10:8080 reset the connection 300 ms into the body; not "
       "repeated, the answer had begun; its time: upstream_body 300 ms",
       body, by_upstream(Kind::reset), NotRepeated::answer_begun},
      {"GET /cart, 200, cut after 20,000 bytes: endpoint 10.0.1.10:8080 ended its answer 300 ms into the body, before "
       "it was whole; its time: upstream_body 300 ms",
       truncated, by_upstream(Kind::bad_response)},
      {"GET /cart, 200, cut after 20,000 bytes: the answer of endpoint 10.0.1.10:8080 took longer than it may 300 ms "
       "into the body (stream_idle_timeout, or the call's deadline); its time: upstream_body 300 ms",
       body, by_upstream(Kind::timeout)},
      {"GET /cart, 200, cut after 20,000 bytes: the client left 300 ms into the body; its time: upstream_body 300 ms",
       body, by_client(Kind::client_closed)},
      {"GET /cart, 200, cut after 20,000 bytes: the client left 300 ms into the body, with bytes waiting for it; its "
       "time: client_write 900 ms, upstream_body 300 ms",
       unread, by_client(Kind::client_closed)},
      {"GET /cart, 200, cut after 20,000 bytes: the client took too little of the answer in too long a time "
       "(slow_read); its time: client_write 900 ms, upstream_body 300 ms",
       stalled, by_client(Kind::request_timeout)},
      {"GET /cart, 200, cut after 20,000 bytes: sluice was draining, and the drain's deadline ended it; its time: "
       "upstream_body 300 ms",
       body, by_proxy(Kind::shutdown)},
      {"GET /cart, 499, no answer: the client left after 2.0 s, while it waited for a place at upstream app; its time: "
       "queue 2.0 s",
       waited, by_client(Kind::client_closed)},
      {"GET /cart, 499, no answer: the client left after 2.0 s, while endpoint 10.0.1.10:8080 owed the answer; its "
       "time: upstream_head 2.0 s",
       owed, by_client(Kind::client_closed)},
      {"GET /cart, 499, no answer: the client left after 2.0 s, while a connection to endpoint 10.0.1.10:8080 was "
       "made; its time: connect 2.0 s",
       dialled, by_client(Kind::client_closed)},
      {"GET /cart, 499, no answer: the client left after 2.0 s, before its request was whole; its time: "
       "client_request 2.0 s",
       unsent, by_client(Kind::client_closed)},
  });
}

TEST_CASE("refused: queue, connects, timeouts, limits; what was tried, and why not again") {
  const AccessRecord queued = during(with(get(503, "refused"), {{Phase::queue, 5'000'000}}), "queue");
  AccessRecord shed = queued;
  shed.detail = "shed";
  AccessRecord hung = with(queued, {{Phase::connect, 1'000'000}});
  const AccessRecord head = during(with(get(504, "refused"), {{Phase::upstream_head, 60'000'000}}), "response_head");
  AccessRecord posted = during(with(get(502, "refused"), {{Phase::upstream_head, 2'000}}), "response_head");
  posted.method = "POST";
  const std::vector<Try> tries{{"10.0.1.11:8080", "connect_failed", Micros{900}}};
  AccessRecord connect = during(with(get(502, "refused"), {{Phase::connect, 2'000}}), "connect");
  connect.tries = tries;
  connect.attempts = 2;
  AccessRecord spare = connect;
  spare.fallback = "connect_failed";
  AccessRecord limited = get(429, "refused");
  AccessRecord open = limited;
  open.detail = "concurrency_limit";
  AccessRecord nowhere = get(404, "refused");
  nowhere.route = nowhere.upstream = nowhere.endpoint = {};
  AccessRecord garbage = during(get(400, "refused"), "request_head", "request_line");
  garbage.method = {};
  check({
      {"GET /cart, 503, answered by sluice: it waited 5.0 s for a connection to upstream app, and got none "
       "(pool.acquire_timeout); its time: queue 5.0 s",
       queued, by_proxy(Kind::pool_timeout)},
      {"GET /cart, 503, answered by sluice: it waited 5.0 s for a connection to upstream app, and got none: the queue "
       "gave up its oldest (shed); its time: queue 5.0 s",
       shed, by_proxy(Kind::pool_timeout)},
      {"GET /cart, 503, answered by sluice: it waited 5.0 s for a connection to upstream app, and got none; one was "
       "being made for 1.0 s of it (pool.acquire_timeout); its time: queue 5.0 s, connect 1.0 s",
       hung, by_proxy(Kind::pool_timeout)},
      {"GET /cart, 504, answered by sluice: endpoint 10.0.1.10:8080 did not answer in 60.0 s (timeout of route cart); "
       "its time: upstream_head 60.0 s",
       head, by_upstream(Kind::timeout)},
      {"POST /cart, 502, answered by sluice: endpoint 10.0.1.10:8080 reset the connection before it answered, after "
       "2.0 ms; not repeated, it may have been processed, and POST is not idempotent",
       posted, by_upstream(Kind::reset), NotRepeated::unsafe},
      {"GET /cart, 502, answered by sluice: no connection to endpoint 10.0.1.10:8080 could be made; 2 tries are what "
       "retry.attempts allows; tried before: 10.0.1.11:8080: connect_failed after 0.9 ms",
       connect, by_upstream(Kind::connect_failed), NotRepeated::attempts},
      {"GET /cart, 502, answered by the fallback of route cart: no connection to endpoint 10.0.1.10:8080 could be "
       "made; not repeated, the retry budget is used up (retry.budget); tried before: 10.0.1.11:8080: connect_failed "
       "after 0.9 ms",
       spare, by_upstream(Kind::connect_failed), NotRepeated::budget},
      {"GET /cart, 429, answered by sluice: its key had sent more than rate_limit of route cart allows", limited,
       by_client(Kind::rate_limited)},
      {"GET /cart, 429, answered by sluice: its key had more requests open than concurrency_limit of route cart "
       "allows",
       open, by_proxy(Kind::rate_limited)},
      {"GET /cart, 404, answered by sluice: no route is for this host, path and method", nowhere,
       by_client(Kind::no_route)},
      {"a request that was not whole, 400, answered by sluice: the client sent what is no valid request "
       "(request_line)",
       garbage, by_client(Kind::bad_request)},
  });
}

TEST_CASE("tunnels, by who ended them") {
  AccessRecord tunnel = answered(with(get(101, "tunnel"), {{Phase::upstream_body, 7'200'000'000}}), 1'000, 1'000);
  tunnel.bytes_in = 2'000'000;
  tunnel.during = "response_body";
  const std::string head = "GET /cart, 101, a tunnel of 7200.0 s: 1,000 bytes to the client, 2,000,000 bytes from it; ";
  CHECK(sentence({"", tunnel}) == head + "both ends closed it");
  CHECK(sentence({"", tunnel, by_client(Kind::client_closed)}) == head + "the client ended it");
  CHECK(sentence({"", tunnel, by_proxy(Kind::shutdown)}) ==
        head + "sluice was draining, and the drain's deadline ended it");
  CHECK(sentence({"", tunnel, by_upstream(Kind::reset)}).starts_with(head + "endpoint 10.0.1.10:8080 reset"));
}

TEST_CASE("every reason has a sentence of its own, in every part of an exchange, and none is without its facts") {
  std::set<std::string> seen;
  for (unsigned kind = 1; kind < http::kinds; ++kind) {
    const auto why = static_cast<Kind>(kind);
    const AccessRecord refused = with(get(http::status_of(why), "refused"), {{Phase::upstream_head, 1'000}});
    const std::string text = sentence({"", refused, by_upstream(why)});
    CAPTURE(text);
    CHECK(seen.insert(text.substr(text.find(": "))).second);
    for (const char* part : {"request_head", "request_body", "queue", "connect", "response_head", "response_body"}) {
      const std::string there = sentence({"", during(answered(refused, 1, 10), part), by_upstream(why)});
      CAPTURE(there);
      CHECK(there.find(": ") != std::string::npos);
      CHECK(there.find("  ") == std::string::npos);
      CHECK_FALSE(there.ends_with(' '));
    }
  }
  for (unsigned i = 1; i < exchange::not_repeated_words; ++i) {
    const auto why = static_cast<NotRepeated>(i);
    CHECK(seen.insert(sentence({"", get(502, "refused"), by_upstream(Kind::reset), why})).second);
    CHECK(seen.insert(std::string(exchange::not_repeated_word(why))).second);
  }
  for (const char* detail : {"late", "max_memory", ""}) {
    const AccessRecord r = during(get(503, "refused"), "request_head", detail);
    CHECK(seen.insert("overloaded " + sentence({"", r, by_proxy(Kind::overloaded)})).second);
  }
}

TEST_CASE("what a peer chose is escaped") {
  AccessRecord r = get(200, "complete");
  r.path = "/\x1b[2J\n\"";
  r.endpoint = "unix:/\n";
  const std::string text = sentence({"", r});
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
}
