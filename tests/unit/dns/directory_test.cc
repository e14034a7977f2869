// Names with addresses: families, TTLs, changes, what happens while the DNS fails or takes a name back. In simulated
// time.
#include "dns/directory.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "support/random.h"
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

TEST_CASE("both families, in order, with the port") {
  World w;
  w.script.addresses(app, {"10.0.0.2", "10.0.0.1"}, 60, {"2001:db8::1"});
  w.follow("APP.example.");
  CHECK(w.follower.resolutions == 0);  // not within follow()
  CHECK(w.state() == RecordState::resolving);
  w.run(millis(10));
  CHECK(w.follower.resolutions == 1);
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"});
  CHECK(w.follower.last.state == RecordState::fresh);
  CHECK(w.follower.last.endpoints[0].host == app);
  CHECK(w.follower.last.endpoints[0].weight == 1);
  CHECK(w.follower.last.changed > w.sim.now() - base::Micros{millis(10)});
  CHECK(w.follower.last.changed < w.sim.now() - base::Micros{millis(5)});
  CHECK(w.follower.last.changed_wall == w.sim.clock().wall() - (w.sim.now() - w.follower.last.changed));
}

TEST_CASE("another order, another TTL, TTL 0: no news") {
  World w;
  w.script.addresses(app, {"10.0.0.1", "10.0.0.2"}, 0);
  w.follow();
  for (int i = 0; i < 20; ++i) {
    w.run(millis(1'500));
    w.script.addresses(app, {"10.0.0.2", "10.0.0.1"}, static_cast<std::uint32_t>(i % 3));
    w.run(millis(1'500));
    w.script.addresses(app, {"10.0.0.1", "10.0.0.2"}, 1);
  }
  CHECK(w.script.count(app, Type::a) > 20);
  CHECK(w.follower.resolutions == 1);
}

TEST_CASE("a silent family delays the first resolution by a moment, and nothing later") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 5);
  w.script.at(app, Type::aaaa) = {.outcome = Outcome::timeout, .latency = seconds(4)};
  w.follow();
  w.run(millis(dns::other_family_wait.count));
  CHECK(w.follower.resolutions == 0);
  w.run(millis(5));
  CHECK(w.follower.resolutions == 1);
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80"});
  w.script.addresses(app, {"10.0.0.2"}, 5);
  w.script.at(app, Type::aaaa) = {.outcome = Outcome::timeout, .latency = seconds(4)};
  w.run(seconds(5));
  CHECK(w.follower.texts() == Texts{"10.0.0.2:80"});
  CHECK(w.state() == RecordState::fresh);
}

TEST_CASE("families are refreshed apart") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 2, {"2001:db8::1"});
  w.script.at(app, Type::aaaa).ttl = 100;
  w.follow();
  w.run(seconds(60));
  CHECK(w.script.count(app, Type::a) >= 30);
  CHECK(w.script.count(app, Type::aaaa) == 1);
}

TEST_CASE("a change moves within the TTL: median T/2 + 0.1 s, worst T + 0.1 s") {
  for (const std::uint32_t ttl : {0U, 1U, 2U, 5U, 60U}) {
    CAPTURE(ttl);
    std::vector<std::int64_t> delays;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
      World w(seed);
      support::Random random(seed);
      w.script.addresses(app, {"10.0.0.0"}, ttl);
      w.follow();
      w.run(seconds(ttl));
      for (int i = 1; i <= 5; ++i) {  // at any moment of the cycle, some cycles later
        w.run(millis(2'000 + static_cast<std::int64_t>(random.below(10'000 * ttl + 2'000))));
        const base::Micros changed = w.sim.now();
        const int before = w.follower.resolutions;
        w.script.addresses(app, {"10.0.0." + std::to_string(i)}, ttl);
        REQUIRE(w.sim.until([&] { return w.follower.resolutions > before; }));
        CHECK(w.follower.texts() == Texts{"10.0.0." + std::to_string(i) + ":80"});
        delays.push_back((w.sim.now() - changed).count / 1000);
      }
    }
    std::sort(delays.begin(), delays.end());
    const std::int64_t t = 1'000 * std::max(ttl, 1U);
    CHECK(delays[delays.size() / 2] <= t / 2 + 100);
    CHECK(delays.back() <= t + 100);
  }
}

TEST_CASE("behind a cache that counts the TTL down a change moves within TTL + 1 s") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    constexpr std::int64_t ttl = 10;
    World w(seed);
    support::Random random(seed);
    // The cache: it took the zone's answer at `taken` and counts down in whole seconds.
    base::Micros taken = w.sim.now();
    std::string zone = "10.0.0.1", cached = zone;
    std::function<void()> tick = [&] {
      if (w.sim.now() - taken >= base::Micros{seconds(ttl)}) taken = w.sim.now(), cached = zone;
      w.script.addresses(app, {cached}, static_cast<std::uint32_t>(ttl - (w.sim.now() - taken).count / 1'000'000));
      w.sim.post(millis(10), tick);
    };
    tick();
    w.follow();
    w.run(millis(static_cast<std::int64_t>(20'000 + random.below(10'000))));
    zone = "10.0.0.2";
    const base::Micros changed = w.sim.now();
    REQUIRE(w.sim.until([&] { return w.follower.texts() == Texts{"10.0.0.2:80"}; }));
    CHECK((w.sim.now() - changed).count <= (ttl + 1) * 1'000'000 + 50'000);
  }
}

TEST_CASE("at most one query a second a name and type, never two in flight") {
  for (const Outcome outcome :
       {Outcome::ok, Outcome::servfail, Outcome::refused, Outcome::nxdomain, Outcome::empty, Outcome::unreachable}) {
    CAPTURE(dns::outcome_name(outcome));
    World w;
    w.options.min_ttl = millis(100);
    w.options.negative_ttl_max = millis(100);
    w.options.nx_hold = seconds(5);
    w.configure();
    w.script.addresses(app, {"10.0.0.1"}, 0, {"2001:db8::1"});
    w.follow();
    w.run(seconds(2));
    w.script.outcome(app, outcome, 0);
    for (int i = 0; i < 20; ++i) {
      w.run(seconds(1));
      w.options.servers = {"127.0.0." + std::to_string(i + 1) + ":53"};  // reloads make failing names try at once
      w.configure();
    }
    std::map<Type, base::Micros> last;
    for (const auto& q : w.script.queries) {
      if (last.contains(q.type)) CHECK((q.at - last[q.type]).count >= 1'000'000);
      last[q.type] = q.at;
    }
    CHECK(w.script.queries.size() > 10);
    CHECK_FALSE(w.script.twice_in_flight);
  }
}

TEST_CASE("a slow server: the next query does not wait for the TTL from the answer on") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 5);
  for (const Type t : {Type::a, Type::aaaa}) w.script.at(app, t).latency = seconds(2);
  w.follow();
  w.run(seconds(60));
  CHECK(w.script.count(app, Type::a) >= 12);
  CHECK(w.state() == RecordState::fresh);
  CHECK(w.follower.resolutions == 1);
}

TEST_CASE("min_ttl and max_ttl clamp") {
  World w;
  w.options.min_ttl = seconds(10);
  w.options.max_ttl = seconds(20);
  w.configure();
  w.script.addresses(app, {"10.0.0.1"}, 1, {"2001:db8::1"});
  w.script.at(app, Type::aaaa).ttl = 86'400;
  w.follow();
  w.run(seconds(90));
  CHECK(w.script.count(app, Type::a) >= 10);
  CHECK(w.script.count(app, Type::a) <= 11);
  CHECK(w.script.count(app, Type::aaaa) == 5);
}

TEST_CASE("a name that is not there: said once, cached by the SOA, found when it is born") {
  World w;
  w.script.outcome(app, Outcome::nxdomain, 10);
  w.follow();
  w.run(seconds(1));
  CHECK(w.follower.resolutions == 1);
  CHECK(w.follower.last.state == RecordState::gone);
  CHECK(w.follower.last.endpoints.empty());
  w.run(seconds(8));
  CHECK(w.script.count(app, Type::a) == 1);
  w.script.addresses(app, {"10.0.0.1"});
  w.run(seconds(2));
  CHECK(w.follower.resolutions == 2);
  CHECK(w.follower.texts() == Texts{"10.0.0.1:80"});
}

TEST_CASE("negative answers: under negative_ttl_max, and a short time without an SOA") {
  World w;
  w.script.outcome(app, Outcome::empty, 86'400);
  w.follow();
  w.run(seconds(100));
  CHECK(w.script.count(app, Type::a) == 4);  // 30 s
  World without;
  without.script.outcome(app, Outcome::empty);
  without.follow();
  without.run(seconds(100));
  CHECK(without.script.count(app, Type::a) >= 20);  // 5 s
  CHECK(without.script.count(app, Type::a) <= 22);
}

TEST_CASE("no such name any more: the addresses serve until it has repeated for nx_hold") {
  for (const Outcome outcome : {Outcome::nxdomain, Outcome::empty}) {
    World w;
    w.script.addresses(app, {"10.0.0.1"}, 5);
    w.follow();
    w.run(seconds(10));
    w.script.outcome(app, outcome, 300);
    while (w.state() != RecordState::stale) w.run(millis(10));
    const base::Micros held = w.sim.now();
    w.run(seconds(25));
    CHECK(w.follower.resolutions == 1);
    CHECK(w.state() == RecordState::stale);
    CHECK(w.directory.gauges()[0].stale_for >= base::Micros{seconds(24)});
    REQUIRE(w.sim.until([&] { return w.follower.resolutions == 2; }, seconds(10)));
    CHECK(w.follower.last.endpoints.empty());
    CHECK(w.state() == RecordState::gone);
    CHECK(w.sim.now() - held <= base::Micros{millis(30'100)});
    CHECK(w.status().history.back().why == (outcome == Outcome::nxdomain ? "no such name" : "no such records"));
    CHECK(w.directory.gauges()[0].stale_for.count == 0);
  }
}

TEST_CASE("the hold lasts its time also when the negative answer is asked for often") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 2);
  w.follow();
  w.run(seconds(10));
  w.script.outcome(app, Outcome::nxdomain, 1);
  const std::size_t before = w.script.count(app, Type::a);
  REQUIRE(w.sim.until([&] { return w.script.count(app, Type::a) == before + 1; }));
  w.run(millis(29'900));
  CHECK(w.follower.resolutions == 1);
  CHECK(w.script.count(app, Type::a) > before + 20);
  w.run(millis(200));
  CHECK(w.state() == RecordState::gone);
}

TEST_CASE("no such name by a slip: nothing is noticed") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 5);
  w.follow();
  w.run(seconds(10));
  w.script.outcome(app, Outcome::nxdomain, 300);
  w.run(seconds(20));
  w.script.addresses(app, {"10.0.0.1"}, 5);
  w.run(seconds(60));
  CHECK(w.follower.resolutions == 1);
  CHECK(w.state() == RecordState::fresh);
  // A second slip is held as long as the first: the time starts anew.
  w.script.outcome(app, Outcome::nxdomain, 300);
  w.run(seconds(25));
  CHECK(w.follower.resolutions == 1);
}

TEST_CASE("failures within the hold do not repeat the negative answer") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 5);
  w.follow();
  w.run(seconds(10));
  w.script.outcome(app, Outcome::nxdomain, 300);
  w.run(seconds(6));
  w.script.outcome(app, Outcome::servfail);
  w.run(seconds(60));
  CHECK(w.follower.resolutions == 1);
  w.script.outcome(app, Outcome::nxdomain, 300);
  w.run(seconds(12));
  CHECK(w.follower.resolutions == 2);
  CHECK(w.state() == RecordState::gone);
}

TEST_CASE("nx_hold = 0: given up at the first answer") {
  World w;
  w.options.nx_hold = millis(0);
  w.configure();
  w.script.addresses(app, {"10.0.0.1"}, 5);
  w.follow();
  w.run(seconds(10));
  w.script.outcome(app, Outcome::nxdomain, 300);
  w.run(seconds(5));
  CHECK(w.state() == RecordState::gone);
  CHECK(w.follower.resolutions == 2);
}

TEST_CASE("one family taken away: believed when the other one is answered again") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 5, {"2001:db8::1"});
  w.script.at(app, Type::aaaa).ttl = 300;
  w.follow();
  w.run(seconds(10));
  w.script.at(app, Type::a).outcome = Outcome::empty;
  w.run(millis(5'100));
  CHECK(w.follower.resolutions == 2);
  CHECK(w.follower.texts() == Texts{"[2001:db8::1]:80"});
  CHECK(w.state() == RecordState::fresh);
}

TEST_CASE("one family taken away while the other one fails: the failing one still backs off") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 5, {"2001:db8::1"});
  w.follow();
  w.run(seconds(10));
  w.script.at(app, Type::a).outcome = Outcome::empty;
  w.script.at(app, Type::aaaa).outcome = Outcome::servfail;
  w.run(seconds(15));
  const std::size_t before = w.script.count(app, Type::aaaa);
  w.run(seconds(14));
  CHECK(w.script.count(app, Type::aaaa) - before <= 3);
  CHECK(w.follower.resolutions == 1);
}

TEST_CASE("both families emptied at once are held, and so is 'no such name' of one") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 5, {"2001:db8::1"});
  w.follow();
  w.run(seconds(10));
  SUBCASE("both empty") { w.script.addresses(app, {}); }
  SUBCASE("NXDOMAIN of one") { w.script.at(app, Type::a).outcome = Outcome::nxdomain; }
  const std::size_t before = w.script.queries.size();
  w.run(seconds(25));
  CHECK(w.follower.resolutions == 1);
  CHECK(w.script.queries.size() - before < 15);  // they do not urge each other on
  w.run(seconds(15));
  CHECK(w.follower.resolutions >= 2);
}

TEST_CASE("while the DNS fails the last good answer serves, up to stale_max after its TTL") {
  for (const Outcome outcome :
       {Outcome::servfail, Outcome::refused, Outcome::timeout, Outcome::unreachable, Outcome::malformed}) {
    CAPTURE(dns::outcome_name(outcome));
    World w;
    w.options.stale_max = seconds(100);
    w.configure();
    w.script.addresses(app, {"10.0.0.1"}, 5);
    w.follow();
    w.run(seconds(10));
    w.script.outcome(app, outcome);
    w.run(seconds(90));
    CHECK(w.follower.resolutions == 1);
    CHECK(w.state() == RecordState::stale);
    const auto a = w.status().records[0];
    CHECK(a.stale_for >= seconds(80));
    CHECK(a.last_error == std::string(dns::outcome_name(outcome)) + " from script:53");
    CHECK(a.failures > 5);
    CHECK(w.script.count(app, Type::a) < 25);  // backs off
    w.run(seconds(20));
    CHECK(w.follower.resolutions == 2);
    CHECK(w.state() == RecordState::gone);
    CHECK(w.status().history.back().why == "stale for 100 s");
    w.script.addresses(app, {"10.0.0.1"}, 5);
    w.run(millis(dns::retry_max.count + 100));
    CHECK(w.follower.resolutions == 3);
    CHECK(w.state() == RecordState::fresh);
    CHECK(w.status().records[0].last_error.empty());
  }
}

TEST_CASE("stale_max = 0 gives up at the end of the TTL, but not while a lookup is under way") {
  World w;
  w.options.stale_max = millis(0);
  w.configure();
  w.script.addresses(app, {"10.0.0.1"}, 1);
  w.script.at(app, Type::a).latency = millis(400);
  w.follow();
  w.run(seconds(30));
  w.script.at(app, Type::a).latency = millis(900);  // the next answer comes after the end of the last one's TTL
  w.run(seconds(10));
  CHECK(w.follower.resolutions == 1);
  w.script.outcome(app, Outcome::servfail);
  w.run(seconds(3));
  CHECK(w.state() == RecordState::gone);
}

TEST_CASE("a failed start is told once, and is got over") {
  World w;
  w.script.outcome(app, Outcome::servfail);
  w.follow();
  w.run(seconds(30));
  CHECK(w.follower.unresolved == 1);
  CHECK(w.follower.reason == "servfail from script:53");
  CHECK(w.follower.resolutions == 0);
  CHECK(w.state() == RecordState::resolving);
  w.script.addresses(app, {"10.0.0.1"});
  w.run(millis(dns::retry_max.count + 100));
  CHECK(w.follower.resolutions == 1);
}

TEST_CASE("a reload keeps what is known: no query more, and the new follower hears it at once") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 60);
  w.follow();
  w.run(seconds(5));
  const std::size_t asked = w.script.count(app, Type::a);
  Follower second;
  w.options.max_ttl = seconds(100);
  w.configure();
  auto made = w.directory.follow({dns::Kind::address, app, 80}, second);
  REQUIRE(made.has_value());
  CHECK(texts(made->resolved()) == Texts{"10.0.0.1:80"});
  w.subscription.reset();
  CHECK(second.resolutions == 0);
  w.run(seconds(5));
  CHECK(second.resolutions == 1);
  CHECK(second.texts() == Texts{"10.0.0.1:80"});
  CHECK(w.script.count(app, Type::a) == asked);
  CHECK(w.script.configured == 2);
}

TEST_CASE("two ports of one name share its queries; nobody left: it is asked for no more") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 1);
  w.follow();
  Follower other;
  auto made = w.directory.follow({dns::Kind::address, app, 8080}, other);
  REQUIRE(made.has_value());
  w.run(seconds(1));
  CHECK(w.script.count(app, Type::a) == 1);
  CHECK(other.texts() == Texts{"10.0.0.1:8080"});
  made->reset();
  w.run(seconds(10));
  const std::size_t asked = w.script.count(app, Type::a);
  CHECK(asked >= 10);
  w.subscription.reset();
  w.run(seconds(10));
  CHECK(w.script.count(app, Type::a) == asked);
  CHECK(w.directory.status().empty());
}

TEST_CASE("a lookup under way is cancelled with its last subscription") {
  World w;
  w.script.addresses(app, {"10.0.0.1"});
  w.script.at(app, Type::a).latency = seconds(1);
  w.follow();
  w.run(millis(10));
  CHECK(w.script.in_flight == 1);
  w.subscription.reset();
  w.run(millis(10));
  CHECK(w.script.in_flight == 0);
  w.run(seconds(3));
  CHECK(w.follower.resolutions == 0);
}

TEST_CASE("an upcall may drop its subscription and follow another name") {
  World w;
  w.script.addresses(app, {"10.0.0.1"}, 1);
  w.script.addresses("next.example", {"10.0.0.9"});
  w.follow();
  w.follower.on_news = [&] {
    w.follower.on_news = nullptr;
    w.subscription.reset();
    w.follow("next.example");
  };
  w.run(seconds(10));
  CHECK(w.follower.resolutions == 2);
  CHECK(w.follower.texts() == Texts{"10.0.0.9:80"});
  CHECK(w.directory.status().size() == 1);
}
