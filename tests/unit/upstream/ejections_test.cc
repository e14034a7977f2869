// Ejection: for how long, how many at once, one trial request on return, and what several workers make of it.
#include <string>
#include <thread>
#include <vector>

#include "fakes.h"
#include "upstream/ejections.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using fakes::Request;
using fakes::World;

using Cause = Ejections::Cause;

base::Micros at(std::int64_t ms) { return base::Micros{ms * 1'000}; }

OutlierOptions rules(std::uint32_t percent = 50) {
  return {.enabled = true,
          .consecutive_failures = 5,
          .ejection = base::Millis{30'000},
          .max_ejection = base::Millis{300'000},
          .max_ejected_percent = percent};
}

// An upstream of `n` endpoints, without workers.
struct Set {
  explicit Set(std::uint32_t n, const OutlierOptions& options = rules()) { publish(n, options); }
  void publish(std::uint32_t n, const std::optional<OutlierOptions>& options, std::int64_t ms = 1) {
    std::vector<EndpointSpec> specs;
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::string name = "10.0.0." + std::to_string(i) + ":80";
      specs.push_back(EndpointSpec{name, *net::Address::parse(name), 1});
    }
    shared.set_outlier(options);
    shared.set_endpoints(specs, 50, Newcomers::at_full_weight, at(ms));
  }
  SharedEndpoint& operator[](std::size_t i) { return *shared.endpoints()->entries[i].endpoint; }
  std::optional<base::Millis> fail(std::size_t i, std::int64_t ms = 1, std::uint32_t times = 5) {
    for (std::uint32_t k = 0; k < times; ++k) {
      (*this)[i].apply({.kind = Event::Kind::outcome, .outcome = Outcome::gateway}, at(ms));
    }
    return shared.ejections().eject((*this)[i], Cause::row, at(ms));
  }
  // The trial at its end, as a worker reports it.
  std::optional<base::Millis> fail_trial(std::size_t i, std::int64_t ms) {
    REQUIRE((*this)[i].claim_trial(at(ms), base::Millis{1'000}) == SharedEndpoint::Trial::yes);
    (*this)[i].apply({.kind = Event::Kind::outcome, .trial = true, .outcome = Outcome::reset}, at(ms));
    return shared.ejections().eject((*this)[i], Cause::trial, at(ms));
  }
  void pass_trial(std::size_t i, std::int64_t ms) {
    REQUIRE((*this)[i].claim_trial(at(ms), base::Millis{1'000}) == SharedEndpoint::Trial::yes);
    (*this)[i].apply({.kind = Event::Kind::outcome, .trial = true, .outcome = Outcome::answered}, at(ms));
    shared.ejections().returned((*this)[i], at(ms));
  }
  std::size_t ejected() {
    std::size_t n = 0;
    for (const EndpointEntry& e : shared.endpoints()->entries) n += e.endpoint->standing().ejected() ? 1 : 0;
    return n;
  }
  SharedUpstream shared{"app", 1};
};

TEST_CASE("the span doubles each time, up to the longest; what did well for as long goes back a level") {
  const OutlierOptions o = rules();
  EjectionHistory h;
  std::int64_t ms = 1'000;
  for (const std::int64_t expected : {30'000, 60'000, 120'000, 240'000, 300'000, 300'000}) {
    CHECK(next_ejection(h, o, at(ms)).count == expected);
    ms += expected;  // its trial fails
  }
  const std::uint32_t level = h.level;
  h.returned = at(ms);
  EjectionHistory soon = h;
  CHECK(next_ejection(soon, o, at(ms + 299'999)).count == 300'000);
  CHECK(soon.level == level + 1);
  EjectionHistory once = h;
  next_ejection(once, o, at(ms + 300'000));
  CHECK(once.level == level);
  EjectionHistory long_after = h;
  CHECK(next_ejection(long_after, o, at(ms + 300'000 * 20)).count == 30'000);
  CHECK(long_after.level == 0);
  for (int i = 0; i < 100; ++i) CHECK(next_ejection(h, o, at(ms)).count == 300'000);
}

TEST_CASE("how many may be away: the share rounded down, one at least, none of one") {
  CHECK(away_most(0, 50) == 0);
  CHECK(away_most(1, 100) == 0);
  CHECK(away_most(2, 50) == 1);
  CHECK(away_most(3, 10) == 1);
  CHECK(away_most(3, 0) == 0);
  CHECK(away_most(3, 66) == 1);
  CHECK(away_most(3, 67) == 2);
  CHECK(away_most(10, 50) == 5);
  CHECK(away_most(10, 100) == 10);
}

TEST_CASE("at the limit and one above it: who may not be ejected is counted anew") {
  Set s(4);
  CHECK_FALSE(s.fail(0, 1, 4).has_value());
  CHECK(s.fail(0, 1, 1) == base::Millis{30'000});
  CHECK_FALSE(s.fail(0).has_value());  // it is already
  CHECK(s.fail(1).has_value());
  CHECK_FALSE(s.fail(2).has_value());
  CHECK(+s[2].standing().failures == 0);
  CHECK(s.ejected() == 2);
  s.pass_trial(0, 30'002);
  CHECK_FALSE(s.fail(2, 30'003, 4).has_value());
  CHECK(s.fail(2, 30'003, 1).has_value());
}

TEST_CASE("one that is alone is never ejected") {
  Set s(1);
  CHECK_FALSE(s.fail(0).has_value());
  CHECK(s.ejected() == 0);
}

TEST_CASE("a trial that fails doubles; a late failure of an older one does not double again") {
  Set s(2);
  REQUIRE(s.fail(0, 1).has_value());
  CHECK(s.fail_trial(0, 30'001) == base::Millis{60'000});
  CHECK_FALSE(s.shared.ejections().eject(s[0], Cause::trial, at(30'500)).has_value());
  s[0].apply({.kind = Event::Kind::trial_left}, at(30'600));  // nor is it due at once
  CHECK(s[0].aside(at(90'000)));
  CHECK(s.fail_trial(0, 90'001) == base::Millis{120'000});
}

TEST_CASE("ejected ones count as unhealthy for panic, and panic ignores ejections") {
  Set s(4, rules(100));
  s.fail(0);
  s.fail(1);
  CHECK_FALSE(s.shared.panic());  // half
  s.fail(2);
  CHECK(s.shared.panic());
  CHECK(s[2].aside(at(2)));
  CHECK_FALSE(s[2].shunned(at(2), s.shared.panic()));
  s.pass_trial(0, 30'001);
  CHECK_FALSE(s.shared.panic());
}

TEST_CASE("checks that do well again end an ejection; those that did well all along do not") {
  Set s(2);
  s.fail(0);
  CHECK_FALSE(s.shared.set_health(s[0], Health::up, at(2)));
  CHECK(s[0].standing().ejected());
  s.shared.set_health(s[0], Health::down, at(3));
  s.shared.set_health(s[0], Health::up, at(4));
  CHECK_FALSE(s[0].standing().ejected());
  CHECK(s[0].ramp_since() == at(4));
}

TEST_CASE("other options, or a smaller set, reach who is ejected already") {
  Set s(4, rules(100));
  for (const std::size_t i : {0, 1, 2}) REQUIRE(s.fail(i, 1 + static_cast<std::int64_t>(i)).has_value());
  SUBCASE("off") {
    OutlierOptions off = rules();
    off.enabled = false;
    s.publish(4, off);
    CHECK(s.ejected() == 0);
    CHECK_FALSE(s.fail(0).has_value());
  }
  SUBCASE("no section at all") {
    s.publish(4, std::nullopt);
    CHECK(s.ejected() == 0);
  }
  SUBCASE("a smaller share: who would be back first is") {
    s.publish(4, rules(50));
    CHECK(s.ejected() == 2);
    CHECK_FALSE(s[0].standing().ejected());
  }
  SUBCASE("fewer endpoints") {
    s.publish(2, rules(50));
    CHECK(s.ejected() == 1);
    s.publish(1, rules(50));
    CHECK(s.ejected() == 0);
  }
  SUBCASE("a shorter span, then a longer one") {
    OutlierOptions o = rules(100);
    o.ejection = base::Millis{5'000};
    s.publish(4, o, 2'000);
    CHECK(s[0].standing().ends() == at(5'001));
    o.ejection = base::Millis{100};
    s.publish(4, o, 2'000);
    CHECK_FALSE(s[0].aside(at(2'000)));
    CHECK(s[0].standing().trial_due(at(2'000)));
  }
}

TEST_CASE("pauses: as many as may be away, not of one that is alone, 10 s at most, and no ejection waits for them") {
  Set s(4);
  Ejections& ejections = s.shared.ejections();
  CHECK(ejections.pause(s[0], base::Millis{3'600'000}, at(1)));
  CHECK(s[0].standing().ends() == at(10'001));
  CHECK_FALSE(s[0].standing().trial_due(at(10'001)));
  CHECK(ejections.pause(s[1], base::Millis{1'000}, at(1)));
  CHECK_FALSE(ejections.pause(s[2], base::Millis{1'000}, at(1)));
  CHECK(ejections.pause(s[2], base::Millis{1'000}, at(1'001)));  // the second is over
  s.fail(3, 10'002);
  CHECK_FALSE(ejections.pause(s[3], base::Millis{1'000}, at(10'003)));
  CHECK(s[3].standing().ejected());
  Set alone(1);
  CHECK_FALSE(alone.shared.ejections().pause(alone[0], base::Millis{1'000}, at(1)));
}

TEST_CASE("threads that eject at once never pass the limit") {
  for (int round = 0; round < 20; ++round) {
    Set s(8, rules(50));
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&s, t] {
        for (std::size_t i = 0; i < 8; ++i) s.fail((i + 2 * t) % 8);
      });
    }
    for (std::thread& t : threads) t.join();
    CHECK(s.ejected() == 4);
  }
}

// What three endpoints show in one window: share of errors in percent, and milliseconds.
struct Shown {
  int requests;
  int errors;
  std::int64_t ms;
};
std::vector<Ejections::Outlier> compare(Set& s, const std::vector<Shown>& shown, std::int64_t window) {
  Ejections& ejections = s.shared.ejections();
  ejections.compare(at(window * 10'000));
  for (std::size_t i = 0; i < shown.size(); ++i) {
    for (int k = 0; k < shown[i].requests; ++k) {
      ejections.count(s[i], k < shown[i].errors ? Outcome::server_error : Outcome::answered, at(shown[i].ms));
    }
  }
  CHECK(ejections.compare(at(window * 10'000 + 9'999)).empty());
  return ejections.compare(at(window * 10'000 + 10'000));
}

TEST_CASE("by comparison: five times the median of the siblings, at the limit and below it") {
  const auto outliers = [](const std::vector<Shown>& shown) {
    Set s(static_cast<std::uint32_t>(shown.size()), rules());
    return compare(s, shown, 1).size();
  };
  CHECK(outliers({{100, 0, 1}, {100, 0, 1}, {100, 0, 1}}) == 0);
  CHECK(outliers({{100, 10, 1}, {100, 0, 1}, {100, 0, 1}}) == 1);  // the floor
  CHECK(outliers({{100, 9, 1}, {100, 0, 1}, {100, 0, 1}}) == 0);
  CHECK(outliers({{100, 50, 1}, {100, 10, 1}, {100, 10, 1}}) == 1);
  CHECK(outliers({{100, 49, 1}, {100, 10, 1}, {100, 10, 1}}) == 0);
  CHECK(outliers({{100, 60, 1}, {100, 60, 1}, {100, 60, 1}}) == 0);  // all alike: the request is at fault
  CHECK(outliers({{100, 0, 50}, {100, 0, 10}, {100, 0, 10}}) == 1);
  CHECK(outliers({{100, 0, 49}, {100, 0, 10}, {100, 0, 10}}) == 0);
  CHECK(outliers({{100, 0, 9}, {100, 0, 1}, {100, 0, 1}}) == 0);  // the floor
  CHECK(outliers({{100, 0, 10}, {100, 0, 1}, {100, 0, 1}}) == 1);
  CHECK(outliers({{20, 10, 1}, {20, 0, 1}, {20, 0, 1}}) == 1);
  CHECK(outliers({{19, 19, 1}, {100, 0, 1}, {100, 0, 1}}) == 0);
  CHECK(outliers({{100, 50, 1}, {100, 0, 1}, {19, 0, 1}}) == 0);  // two are no siblings
  CHECK(outliers({{100, 50, 1}, {100, 0, 1}}) == 0);
}

TEST_CASE("by comparison: the limit of the set holds, the worst first; off, nobody") {
  Set s(5, rules(20));
  const std::vector<Shown> shown = {{100, 30, 1}, {100, 0, 1}, {100, 60, 1}, {100, 0, 1}, {100, 0, 1}};
  const auto found = compare(s, shown, 1);
  REQUIRE(found.size() == 1);
  CHECK(found[0].endpoint == &s[2]);
  CHECK_FALSE(found[0].slow);
  CHECK(found[0].own == doctest::Approx(0.6));
  CHECK(found[0].span == base::Millis{30'000});
  CHECK(s[2].aside(at(20'001)));
  s.publish(5, std::nullopt);
  CHECK(compare(s, shown, 3).empty());
}

// ---- with workers

World& with(World& w, std::uint32_t endpoints, const OutlierOptions& options = rules()) {
  w.some_endpoints(endpoints);
  w.options->outlier = options;
  w.options->balance = Balance::round_robin;
  w.start();
  return w;
}

// `n` requests one after the other, of both workers in turn; those at `bad` end with `outcome`. How many met it?
int ask(World& w, int n, const std::string& bad, Outcome outcome) {
  int met = 0;
  for (int i = 0; i < n; ++i) {
    Request& r = w.ask(static_cast<std::uint32_t>(i) % static_cast<std::uint32_t>(w.clusters.size()));
    w.sim.settle();
    if (!r.served()) continue;
    const bool there = r.endpoint() == bad;
    met += there ? 1 : 0;
    r.finish(there ? outcome : Outcome::answered);
    w.sim.settle();
  }
  return met;
}

TEST_CASE(
    "what fails five times in a row gets nothing for 30 s, whichever worker asks; then one trial, then its share") {
  World w(2);
  with(w, 3);
  const std::string bad = w.endpoint(1).name();
  for (const Outcome how : {Outcome::gateway, Outcome::reset, Outcome::timeout}) {
    CAPTURE(static_cast<int>(how));
    CHECK(ask(w, 60, bad, how) == 5);
    CHECK(w.endpoint(1).standing().ejected());
    CHECK(w.gauge(metrics::Name::upstream_ejections_total) >= 1);
    w.sim.run_for(base::Millis{299'000});
    w.sim.run_for(base::Millis{2'000});  // the longest
    CHECK(ask(w, 60, bad, Outcome::answered) >= 19);
    CHECK_FALSE(w.endpoint(1).standing().ejected());
  }
  for (const Outcome how : {Outcome::server_error, Outcome::refused, Outcome::idle_race, Outcome::unknown}) {
    CHECK(ask(w, 60, bad, how) == 20);
    CHECK_FALSE(w.endpoint(1).standing().ejected());
  }
}

TEST_CASE("while the trial is under way no other request goes there; if it fails, twice as long") {
  World w(2);
  with(w, 2);
  const std::string bad = w.endpoint(0).name();
  REQUIRE(ask(w, 40, bad, Outcome::reset) == 5);
  w.sim.run_for(base::Millis{30'001});
  Request* trial = nullptr;
  for (int i = 0; i < 20 && trial == nullptr; ++i) {
    Request& r = w.ask(static_cast<std::uint32_t>(i) % 2);
    w.sim.settle();
    REQUIRE(r.served());
    if (r.endpoint() == bad) trial = &r;
    if (trial == nullptr) r.finish();
  }
  REQUIRE(trial != nullptr);
  CHECK(ask(w, 40, bad, Outcome::answered) == 0);
  SUBCASE("fails") {
    trial->finish(Outcome::timeout);
    w.sim.run_for(base::Millis{59'000});
    CHECK(ask(w, 40, bad, Outcome::answered) == 0);
    w.sim.run_for(base::Millis{2'000});
    CHECK(ask(w, 40, bad, Outcome::answered) > 10);
  }
  SUBCASE("goes well") {
    trial->finish();
    CHECK(ask(w, 40, bad, Outcome::answered) == 20);
  }
  SUBCASE("nobody knows: the next one is") {
    trial->finish(Outcome::unknown);
    CHECK(w.endpoint(0).standing().ejected());
    CHECK(ask(w, 40, bad, Outcome::answered) > 10);
    CHECK_FALSE(w.endpoint(0).standing().ejected());
  }
  SUBCASE("does not report: another one after 10 s") {
    w.sim.run_for(base::Millis{10'001});
    CHECK(ask(w, 40, bad, Outcome::answered) > 10);
    trial->finish();
  }
}

TEST_CASE("connections of an ejected endpoint end; one that has to serve anyhow keeps its own") {
  World w;
  with(w, 2);
  REQUIRE(ask(w, 40, w.endpoint(0).name(), Outcome::gateway) == 5);
  CHECK(w.endpoint(0).connections() == 0);
  CHECK(w.endpoint(1).connections() == 1);
  // The other one is down: half are healthy, so there is no panic, and the ejected one is better than nothing.
  w.shared->set_health(w.endpoint(1), Health::down, w.sim.now());
  w.options->panic_threshold = 0;
  w.publish(http::CloseCause::reload);
  const std::uint32_t dials = w.dials();
  CHECK(ask(w, 10, w.endpoint(0).name(), Outcome::answered) == 10);
  CHECK(w.dials() == dials + 1);
}

TEST_CASE("after its trial an endpoint slow-starts, in every worker") {
  World w(2);
  w.options->slow_start = base::Millis{10'000};
  with(w, 2);
  const std::string bad = w.endpoint(0).name();
  REQUIRE(ask(w, 40, bad, Outcome::reset) == 5);
  w.sim.run_for(base::Millis{30'001});
  while (w.endpoint(0).standing().ejected()) ask(w, 1, bad, Outcome::answered);
  const int at_first = ask(w, 40, bad, Outcome::answered);
  CHECK(at_first >= 1);
  CHECK(at_first < 12);
  w.sim.run_for(base::Millis{11'000});
  CHECK(ask(w, 40, bad, Outcome::answered) == 20);
}

TEST_CASE("failed connects set aside and count once; their trials do not, and heal within 10 s") {
  World w;
  with(w, 2);
  const SharedEndpoint* const bad = &w.endpoint(0);
  w.connectors[0]->answer = [bad](const SharedEndpoint& e) {
    return &e == bad ? fakes::Answer::refuse : fakes::Answer::accept;
  };
  for (int i = 0; i < 120; ++i) {
    ask(w, 4, "", Outcome::answered);
    w.sim.run_for(base::Millis{500});
  }
  CHECK_FALSE(bad->standing().ejected());
  CHECK(+bad->standing().failures == 1);
  w.connectors[0]->answer = [](const SharedEndpoint&) { return fakes::Answer::accept; };
  w.sim.run_for(base::Millis{10'000});
  CHECK(ask(w, 40, bad->name(), Outcome::answered) > 15);
}

TEST_CASE("a pause: nobody new goes there, by any picker; alone it is used anyhow; nobody is ejected for it") {
  for (const Balance kind : {Balance::p2c, Balance::round_robin, Balance::least_requests}) {
    CAPTURE(static_cast<int>(kind));
    World w(2);
    w.some_endpoints(2);
    w.options->outlier = rules();
    w.options->balance = kind;
    w.start();
    const std::string busy = w.endpoint(0).name();
    int asked = 0;
    while (!w.endpoint(0).aside(w.sim.now())) {
      REQUIRE(++asked < 50);
      Request& r = w.ask(static_cast<std::uint32_t>(asked) % 2);
      w.sim.settle();
      r.finish(r.endpoint() == busy ? Outcome::refused : Outcome::answered,
               base::Millis{r.endpoint() == busy ? 2'000 : 0});
      w.sim.settle();
    }
    CHECK(ask(w, 40, busy, Outcome::refused) == 0);
    CHECK(w.gauge(metrics::Name::upstream_pauses_total) == 1);
    CHECK_FALSE(w.endpoint(0).standing().ejected());
    w.shared->set_health(w.endpoint(1), Health::down, w.sim.now());
    CHECK(ask(w, 10, busy, Outcome::answered) == 10);
    w.shared->set_health(w.endpoint(1), Health::up, w.sim.now());
    CHECK(ask(w, 10, busy, Outcome::answered) == 0);
    w.sim.run_for(base::Millis{3'000});
    CHECK(ask(w, 40, busy, Outcome::answered) > 5);
  }
}

}  // namespace
