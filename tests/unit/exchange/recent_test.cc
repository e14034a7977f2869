// The rings of the last ends: what is kept, what pushes out what, and that hostile texts stay within their limits.
#include <string>
#include <vector>

#include "exchange/recent.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Micros;
using exchange::AccessRecord;
using exchange::Recent;
using exchange::RecentEnd;
using exchange::RecentRing;
using exchange::Try;

namespace {

const net::Address peer = *net::Address::parse("203.0.113.9:51644");
constexpr Micros second{1'000'000};

void add(Recent& to, RecentRing ring, const AccessRecord& record, const net::Address& from = peer) {
  to.add(ring, record, {from, {}, exchange::NotRepeated::unsaid});
}

std::vector<uint64_t> conns(const Recent& of, RecentRing ring) {
  std::vector<uint64_t> all;
  of.each(ring, [&](const RecentEnd& end) {
    all.push_back(end.conn);
    return true;
  });
  return all;
}

RecentEnd one(const AccessRecord& record, const net::Address& from = peer) {
  Recent recent;
  add(recent, RecentRing::fine, record, from);
  RecentEnd found;
  recent.each(RecentRing::fine, [&](const RecentEnd& end) {
    found = end;
    return false;
  });
  return found;
}

}  // namespace

TEST_CASE("a ring keeps as many as it may, the latest first; one more pushes out its own oldest only") {
  Recent recent;
  CHECK(conns(recent, RecentRing::trouble).empty());
  const uint32_t most = exchange::recent_most[0];
  add(recent, RecentRing::fine, {.conn = 7777});
  for (uint64_t i = 1; i <= most; ++i)
    add(recent, RecentRing::trouble, {.wall = Micros{static_cast<int64_t>(i)}, .conn = i});
  auto all = conns(recent, RecentRing::trouble);
  CHECK(all.size() == most);
  CHECK(all.front() == most);
  CHECK(all.back() == 1);
  CHECK(recent.look(RecentRing::trouble).reaches == Micros{1});
  add(recent, RecentRing::trouble, {.conn = most + 1});
  all = conns(recent, RecentRing::trouble);
  CHECK(all.size() == most);
  CHECK(all.front() == most + 1);
  CHECK(all.back() == 2);
  CHECK(recent.look(RecentRing::trouble).kept == most);
  CHECK(recent.look(RecentRing::trouble).reaches == Micros{2});
  CHECK(conns(recent, RecentRing::fine) == std::vector<uint64_t>{7777});
  CHECK(recent.look(RecentRing::fine).reaches == Micros{-1});
}

TEST_CASE("a ring takes a quarter of its places in a second, counts the rest, and goes on in the next") {
  Recent recent;
  const uint32_t share = exchange::recent_most[1] / exchange::recent_share;
  for (uint32_t i = 0; i < share; ++i) CHECK(recent.takes(RecentRing::refused, second));
  CHECK_FALSE(recent.takes(RecentRing::refused, second));
  CHECK_FALSE(recent.takes(RecentRing::refused, second + second - Micros{1}));
  CHECK(recent.takes(RecentRing::trouble, second));
  CHECK(recent.look(RecentRing::refused).passed_over == 2);
  CHECK(recent.takes(RecentRing::refused, second + second));
  CHECK_FALSE(recent.takes(RecentRing::none, second));
}

TEST_CASE("an end says what the line of the log says; the path comes without its query") {
  const std::vector<Try> tries{{"10.0.1.11:80", "reset", Micros{900}}, {"", "status_503", Micros{20}}};
  AccessRecord record{.wall = Micros{5}, .conn = 81723, .client = "198.51.100.1", .listener = "https"};
  record.route = "cart";
  record.method = "GET";
  record.host = "shop.test";
  record.path = "/x?token=secret";
  record.status = 200;
  record.upstream = "app";
  record.endpoint = "10.0.1.10:80";
  record.request_id = "id";
  record.trace_id = "trace";
  record.tries = tries;
  const RecentEnd end = one(record);
  CHECK(end.text(RecentEnd::path) == "/x");
  CHECK(end.text(RecentEnd::client) == "198.51.100.1");
  CHECK(end.text(RecentEnd::peer) == "203.0.113.9:51644");
  CHECK(end.text(RecentEnd::listener) == "https");
  CHECK(end.text(RecentEnd::route) == "cart");
  CHECK(end.text(RecentEnd::method) == "GET");
  CHECK(end.text(RecentEnd::host) == "shop.test");
  CHECK(end.text(RecentEnd::upstream) == "app");
  CHECK(end.text(RecentEnd::endpoint) == "10.0.1.10:80");
  CHECK(end.text(RecentEnd::request_id) == "id");
  CHECK(end.text(RecentEnd::trace_id) == "trace");
  CHECK(end.conn == 81723);
  CHECK(end.status == 200);
  REQUIRE(end.tries() == 2);
  CHECK(end.tried(0).endpoint == "10.0.1.11:80");
  CHECK(end.tried(0).reason == "reset");
  CHECK(end.tried(0).took == Micros{900});
  CHECK(end.tried(1).endpoint == "");
  CHECK(end.tried(1).reason == "status_503");
}

TEST_CASE("peers are written as their addresses are") {
  for (const char* text : {"203.0.113.9:1", "[2001:db8::1]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"}) {
    CHECK(one({}, *net::Address::parse(text)).text(RecentEnd::peer) == text);
  }
  CHECK(one({}, net::Address::unix_socket("/run/x")).text(RecentEnd::peer) == "unix:");
}

TEST_CASE("texts are cut at their limits, with an end that says so; all of them together stay in their room") {
  AccessRecord record;
  record.path = std::string_view("/23456789");
  CHECK(one(record).text(RecentEnd::path) == "/23456789");
  const std::string at(128, 'a');
  record.path = at;
  CHECK(one(record).text(RecentEnd::path) == at);
  const std::string above(129, 'a');
  record.path = above;
  CHECK(one(record).text(RecentEnd::path) == std::string(125, 'a') + "...");

  const std::string vast(100'000, '\xff');
  const std::vector<Try> tries(exchange::tries_told, Try{vast, vast, Micros{1}});
  AccessRecord hostile{.client = vast, .listener = vast, .route = vast, .method = vast, .host = vast, .path = vast};
  hostile.upstream = hostile.endpoint = hostile.request_id = hostile.trace_id = vast;
  hostile.tries = tries;
  const RecentEnd end = one(hostile);
  size_t held = 0;
  for (int i = 0; i < RecentEnd::texts; ++i) held += end.text(static_cast<RecentEnd::Text>(i)).size();
  CHECK(end.tries() == exchange::tries_told);
  for (uint32_t i = 0; i < end.tries(); ++i) held += end.tried(i).endpoint.size() + end.tried(i).reason.size();
  CHECK(held <= RecentEnd::text_bytes);
  CHECK(held > RecentEnd::text_bytes - 30);
  CHECK(end.text(RecentEnd::request_id).size() == 128);
  CHECK(end.text(RecentEnd::path).ends_with("..."));
}
