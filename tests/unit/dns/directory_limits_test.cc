// What is bounded about names, and what is told of them: limits at and above, the status, the history, the meter. In
// simulated time.
#include <map>
#include <string>
#include <vector>

#include "dns/directory.h"
#include "world.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::dns_test;
using base::millis;
using base::seconds;
using dns::Outcome;
using dns::RecordState;
using dns::Type;

namespace {
const std::string app = "app.example";
}

TEST_CASE("names that cannot be") {
  World w;
  for (const char* name : {"", ".", "a..b"})
    CHECK_FALSE(w.directory.follow({dns::Kind::address, name, 80}, w.follower).has_value());
}

TEST_CASE("as many targets as allowed, one more is refused, and one that left makes room") {
  World w;
  std::vector<dns::Subscription> all;
  for (std::size_t i = 0; i < dns::followed_max; ++i) {
    auto made = w.directory.follow({dns::Kind::address, "n" + std::to_string(i) + ".example", 80}, w.follower);
    REQUIRE(made.has_value());
    all.push_back(std::move(*made));
  }
  const auto above = w.directory.follow({dns::Kind::address, "above.example", 80}, w.follower);
  REQUIRE_FALSE(above.has_value());
  CHECK(above.error().message == "more than 1024 names to follow");
  CHECK(w.directory.follow({dns::Kind::address, "n7.example", 80}, w.follower).has_value());  // no new one
  all.pop_back();
  CHECK(w.directory.follow({dns::Kind::address, "above.example", 80}, w.follower).has_value());
}

TEST_CASE("endpoints of a target at the limit and one above") {
  for (const std::size_t count : {dns::endpoints_max, dns::endpoints_max + 1}) {
    World w;
    Texts v4, v6;
    for (std::size_t i = 0; i < count; ++i)
      (i % 2 == 0 ? v4 : v6)
          .push_back(i % 2 == 0 ? net::Address::ipv4(0x0a000000 + static_cast<std::uint32_t>(i), 0).ip_text()
                                : "2001:db8::" + std::to_string(i));
    w.script.addresses(app, v4, 60, v6);
    w.follow();
    w.run(millis(100));
    CHECK(w.follower.last.endpoints.size() == dns::endpoints_max);
  }
}

TEST_CASE("the status of a name, and its history bounded") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 10);
  w.follow();
  w.run(seconds(4));
  const auto s = w.status();
  CHECK(s.followed);
  CHECK(s.kind == dns::Kind::address);
  CHECK(s.state == RecordState::fresh);
  REQUIRE(s.records.size() == 2);
  CHECK(s.records[0].type == Type::a);
  CHECK(s.records[0].records == Texts{"10.0.0.1"});
  CHECK(s.records[0].ttl_left > seconds(5));
  CHECK(s.records[0].ttl_left <= millis(6'002));
  CHECK(s.records[0].age >= millis(3'900));
  CHECK(s.records[0].next_query_in > seconds(4));
  CHECK(s.records[0].next_query_in < s.records[0].ttl_left);
  CHECK(s.records[0].lookups == 1);
  CHECK(s.records[1].state == RecordState::gone);
  REQUIRE(s.history.size() == 1);
  CHECK(s.history[0].added == Texts{"10.0.0.1"});
  for (std::size_t i = 0; i <= dns::history_max; ++i) {
    w.script.addresses(app, {"10.0.1." + std::to_string(i)}, 10);
    w.run(seconds(11));
  }
  const auto later = w.status();
  REQUIRE(later.history.size() == dns::history_max);
  CHECK(later.history.back().added == Texts{"10.0.1.8"});
  CHECK(later.history.back().removed == Texts{"10.0.1.7"});
  CHECK(later.history.back().why == "answer");
  CHECK(later.history.front().added == Texts{"10.0.1.1"});
}

TEST_CASE("a large change is listed in part") {
  World w;
  Texts many;
  for (int i = 0; i < 500; ++i) many.push_back("10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250));
  w.script.addresses(app, many);
  w.follow();
  w.run(seconds(1));
  CHECK(w.follower.last.endpoints.size() == 500);
  CHECK(w.status().history[0].added.size() == dns::listed_max);
  CHECK(w.status().history[0].more == 500 - dns::listed_max);
}

TEST_CASE("the meter hears of every lookup") {
  struct Count final : dns::Meter {
    void on_lookup(std::string_view name, Outcome outcome, base::Micros took) override {
      CHECK(name == app);
      CHECK(took == base::Micros{millis(1)});
      ++seen[std::string(dns::outcome_name(outcome))];
    }
    void on_ignored(std::string_view, dns::Ignored, std::uint32_t) override {}
    std::map<std::string, int> seen;
  } count;
  World w(1, &count);
  w.script.addresses(app, {"10.0.0.1"}, 1);
  w.follow();
  w.run(millis(5'500));
  w.script.at(app, Type::a).outcome = Outcome::servfail;
  w.run(seconds(1));
  CHECK(count.seen["ok"] == 6);
  CHECK(count.seen["empty"] == 2);  // AAAA, without an SOA
  CHECK(count.seen["servfail"] == 1);
}
