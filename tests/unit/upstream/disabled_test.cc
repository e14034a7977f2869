// An endpoint that an operator disabled: no new request, whatever else; what is under way ends as it would. And the
// word for how an endpoint stands.
#include <set>

#include "fakes.h"
#include "upstream/endpoint_state.h"
#include "upstream/metrics.h"

#include <doctest/doctest.h>

namespace sluice::upstream {
namespace {

using namespace fakes;
using Is = EndpointState::Is;
using By = EndpointState::By;

struct Switched : World {
  explicit Switched(std::uint32_t endpoints, std::uint32_t workers = 1) : World(workers) {
    options->balance = Balance::round_robin;
    some_endpoints(endpoints);
    start();
  }
  void set(std::size_t i, bool disabled) {
    shared->set_disabled(endpoint(i), disabled, sim.now());
    for (auto& c : clusters) c->endpoint_switched(endpoint(i).id());
    sim.settle();
  }
  Request& asked(std::uint32_t worker = 0) {
    Request& r = ask(worker);
    sim.settle();
    return r;
  }
  std::set<std::string> met(int n, std::uint32_t worker = 0) {
    std::set<std::string> names;
    for (int i = 0; i < n; ++i) {
      Request& r = asked(worker);
      if (!r.served()) continue;
      names.insert(r.endpoint());
      r.finish();
      sim.settle();
    }
    return names;
  }
};

TEST_CASE("disabled: what is under way ends, idle connections close, and nothing new comes; until it is enabled") {
  for (const std::uint32_t workers : {1u, 2u}) {
    CAPTURE(workers);
    Switched w(2, workers);
    Request* there = &w.asked();
    while (there->endpoint() != w.endpoint(0).name()) there = &w.asked();
    CHECK(w.met(4, workers - 1).size() == 2);
    w.set(0, true);
    CHECK(w.closed(http::CloseCause::disabled) > 0);
    CHECK(w.endpoint(0).connections() == 1);  // of the one under way
    CHECK(w.met(10) == std::set<std::string>{w.endpoint(1).name()});
    there->finish();
    w.sim.settle();
    CHECK(w.endpoint(0).connections() == 0);
    w.set(0, false);
    CHECK(w.met(4).size() == 2);
  }
}

TEST_CASE("disabled: neither panic nor the last resort brings it back; the last one leaves nobody") {
  for (const std::uint32_t threshold : {0u, 50u, 100u}) {
    CAPTURE(threshold);
    Switched w(3);
    w.options->panic_threshold = threshold;
    w.publish(http::CloseCause::reload);
    w.set(0, true);
    CHECK_FALSE(w.shared->panic());  // two of two do well
    w.shared->set_health(w.endpoint(1), Health::down, w.sim.now());
    w.shared->set_health(w.endpoint(2), Health::down, w.sim.now());
    CHECK(w.met(20).contains(w.endpoint(0).name()) == false);
    w.set(1, true);
    w.set(2, true);
    CHECK(w.asked().refused.kind == http::Kind::no_endpoint);
    CHECK(w.shared->capacity(*w.shared->endpoints(), 8).endpoints == 0);
  }
}

TEST_CASE("disabled: who waits for a connect to it finds another place; with none left it is refused") {
  Switched w(2);
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
  Request& a = w.asked();
  Request& b = w.asked();
  CHECK(w.connectors[0]->hanging.size() == 2);
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::accept; };
  w.set(0, true);
  CHECK(a.served() != b.served());
  const Request& served = a.served() ? a : b;
  CHECK(served.endpoint() == w.endpoint(1).name());
  w.set(1, true);
  CHECK((a.served() ? b : a).refused.kind == http::Kind::no_endpoint);
}

TEST_CASE("disabled: a set that keeps the endpoint keeps its state; a newcomer of its name is another one") {
  Switched w(3);
  w.set(0, true);
  w.some_endpoints(2);
  w.publish(http::CloseCause::dns_removed);
  CHECK(w.endpoint(0).disabled());
  w.options->panic_threshold = 100;
  w.publish(http::CloseCause::reload);
  CHECK(w.endpoint(0).disabled());
  w.endpoints({{"10.0.0.1:80", 1}});
  w.publish(http::CloseCause::dns_removed);
  w.some_endpoints(2);
  w.publish(http::CloseCause::dns_removed);
  CHECK_FALSE(w.endpoint(0).disabled());
}

TEST_CASE("disabled: it does not count for max_ejected_percent: one of two that are left may be ejected, not both") {
  Switched w(4);
  w.options->outlier = OutlierOptions{.consecutive_failures = 1};
  w.publish(http::CloseCause::reload);
  w.set(0, true);
  w.set(1, true);
  for (const std::size_t i : {2u, 3u}) {
    w.endpoint(i).apply({.kind = Event::Kind::outcome, .outcome = Outcome::reset}, w.sim.now());
    w.shared->ejections().eject(w.endpoint(i), Ejections::Cause::row, w.sim.now());
  }
  CHECK(w.endpoint(2).standing().ejected());
  CHECK_FALSE(w.endpoint(3).standing().ejected());
}

TEST_CASE("disabled: min_idle is not kept there, and its lack does not keep the worker cold") {
  Switched w(2);
  auto next = std::make_shared<UpstreamOptions>(*w.options);
  next->pool.min_idle = 2;
  w.set(0, true);
  w.clusters[0]->configure(next, w.shared->endpoints(), nullptr);
  w.sim.run_for(base::millis(500));
  CHECK(w.endpoint(0).connections() == 0);
  CHECK(w.endpoint(1).connections() == 2);
  CHECK(w.clusters[0]->warm());
  w.set(0, false);
  w.sim.run_for(base::millis(500));
  CHECK(w.endpoint(0).connections() == 2);
}

// ---- The word

struct Looked {
  Is is;
  By by;
  bool operator==(const Looked&) const = default;
};

TEST_CASE("state: no green without evidence, and the worst that is held against it counts") {
  Switched w(4);
  w.options->panic_threshold = 0;
  w.options->outlier = OutlierOptions{};
  w.publish(http::CloseCause::reload);
  SharedEndpoint& e = w.endpoint(0);
  const auto look = [&](bool checks = true) {
    const EndpointState s = state_of(e, w.shared->ejections(), checks, w.sim.now());
    return Looked{s.is, s.by};
  };
  CHECK(look() == Looked{Is::unchecked, By::none});
  e.note_checked(true, w.sim.now());
  CHECK(look() == Looked{Is::in_use, By::check});
  CHECK(look(false) == Looked{Is::unchecked, By::none});
  e.apply({.kind = Event::Kind::paused, .span = base::Millis{500}}, w.sim.now());
  CHECK(look() == Looked{Is::paused, By::traffic});
  w.sim.run_for(base::millis(600));
  CHECK(look() == Looked{Is::in_use, By::check});
  e.connect_failed(w.sim.now(), SharedEndpoint::Trial::no);
  CHECK(look() == Looked{Is::set_aside, By::traffic});
  e.apply({.kind = Event::Kind::ejected, .span = base::Millis{30'000}}, w.sim.now());
  CHECK(look() == Looked{Is::ejected, By::traffic});
  w.shared->set_health(e, Health::down, w.sim.now());
  CHECK(look() == Looked{Is::unhealthy, By::check});
  w.options->panic_threshold = 100;
  w.publish(http::CloseCause::reload);
  CHECK(look() == Looked{Is::in_use, By::panic});
  w.set(0, true);
  CHECK(look() == Looked{Is::disabled, By::the_operator});
}

TEST_CASE("state: since when") {
  Switched w(1);
  SharedEndpoint& e = w.endpoint(0);
  const auto since = [&] { return state_of(e, w.shared->ejections(), true, w.sim.now()).since; };
  const base::Micros came = w.sim.now();
  CHECK(since() == came);
  w.sim.run_for(base::millis(100));
  e.apply({.kind = Event::Kind::outcome, .outcome = Outcome::reset}, w.sim.now());  // of the same kind as before
  CHECK(since() == came);
  w.set(0, true);
  const base::Micros then = w.sim.now();
  w.sim.run_for(base::millis(100));
  w.set(0, true);
  CHECK(since() == then);
}

std::vector<metrics::Sample> states(World& w) {
  export_states(w.registry, w.shared, *w.options, w.sim.clock());
  return w.registry.collect(metrics::Name::upstream_endpoint_state);
}

TEST_CASE("state: one series an endpoint, with one value; it goes when the upstream does") {
  Switched w(2);
  w.options->health.emplace();
  w.endpoint(0).note_checked(true, w.sim.now());
  w.set(1, true);
  const auto found = states(w);
  REQUIRE(found.size() == 2);
  CHECK(found[0].labels == std::vector<std::string>{"app", w.endpoint(0).name(), "in_use", "check"});
  CHECK(found[1].labels == std::vector<std::string>{"app", w.endpoint(1).name(), "disabled", "operator"});
  CHECK((found[0].value == 1 && found[1].value == 1));
  const auto since = w.registry.collect(metrics::Name::upstream_endpoint_state_since_timestamp_seconds);
  REQUIRE(since.size() == 2);
  CHECK(since[1].value == doctest::Approx(w.sim.clock().wall().seconds()));
  w.registry.retire("upstream", {"app"});
  CHECK(w.registry.collect(metrics::Name::upstream_endpoint_state).empty());
}

TEST_CASE("state: at 256 endpoints each has its series; one more is counted, and never one that needs a look") {
  for (const std::uint32_t n : {256u, 257u, 400u}) {
    CAPTURE(n);
    Switched w(n);
    w.shared->set_disabled(w.endpoint(n - 1), true, w.sim.now());
    const auto found = states(w);
    CHECK(found.size() == (n == 256 ? 256 : 257));
    const auto named = [&](const metrics::Sample& s) { return s.labels[1] == w.endpoint(n - 1).name(); };
    CHECK(std::ranges::count_if(found, named) == 1);
    double all = 0;
    for (const metrics::Sample& s : found) all += s.value;
    CHECK(all == n);
    CHECK((n == 256 || found.back().labels[1] == "other"));
    CHECK(w.registry.collect(metrics::Name::upstream_endpoint_state_since_timestamp_seconds).size() == 256);
  }
}

TEST_CASE("state: one that left is leaving while connections are open, by whom it was left out") {
  Switched w(2);
  Request* there = &w.asked();
  while (there->endpoint() != w.endpoint(0).name()) there = &w.asked();
  const std::string name = w.endpoint(0).name();
  w.endpoints({{"10.0.0.1:80", 1}});
  w.shared->set_by(SharedUpstream::SetBy::dns);
  w.publish(http::CloseCause::dns_removed);
  const auto leaving = [&] {
    const auto found = states(w);
    return std::ranges::count_if(found, [&](const metrics::Sample& s) {
      return s.labels == std::vector<std::string>{"app", name, "leaving", "dns"};
    });
  };
  CHECK(leaving() == 1);
  there->finish();
  w.sim.settle();
  CHECK(leaving() == 0);
}

}  // namespace
}  // namespace sluice::upstream
