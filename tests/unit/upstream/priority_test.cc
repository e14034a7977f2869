// Priorities (SRV): the lowest with a usable endpoint takes everything, the next one when all of it are unusable, and
// back.
#include <string>
#include <vector>

#include "fakes.h"
#include "upstream/balancer.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using fakes::Request;
using fakes::World;

EndpointSpec spec(std::uint32_t i, std::uint16_t priority, std::uint32_t weight = 1) {
  const std::string name = "10.0.0." + std::to_string(i) + ":80";
  return EndpointSpec{.name = name, .address = *net::Address::parse(name), .weight = weight, .priority = priority};
}

struct Tiers {
  explicit Tiers(const std::vector<EndpointSpec>& specs, Balance kind = Balance::p2c) : balancer(3, shared.turns()) {
    set = shared.set_endpoints(specs, 50, Newcomers::at_full_weight, {}, kind);
    balancer.use(set, base::Millis{0});
  }
  SharedEndpoint& at(std::size_t i) { return *set->entries[i].endpoint; }
  std::vector<int> picks(std::uint32_t failed = Balancer::none, int n = 2'000) {
    AvoidList avoid;
    if (failed != Balancer::none) avoid.add(at(failed).id());
    std::vector<int> counts(set->entries.size());
    now = now + base::Micros{1'000};  // another turn
    for (int i = 0; i < n; ++i) ++counts[balancer.pick({now, shared.panic(), &avoid})];
    return counts;
  }
  base::Micros now{10'000'000};
  SharedUpstream shared{"app", 1};
  EndpointSetPtr set;
  Balancer balancer;
};

TEST_CASE("only the lowest priority is used, whatever the order of the set, and its weights count") {
  for (const Balance kind : {Balance::p2c, Balance::p2c_ewma, Balance::round_robin, Balance::least_requests}) {
    CAPTURE(static_cast<int>(kind));
    Tiers t({spec(1, 20), spec(2, 10, 3), spec(3, 30), spec(4, 10, 1)}, kind);
    const std::vector<int> counts = t.picks();
    CHECK(counts[0] == 0);
    CHECK(counts[2] == 0);
    CHECK(counts[1] == doctest::Approx(1'500).epsilon(0.1));
    CHECK(counts[3] == doctest::Approx(500).epsilon(0.2));
  }
}

TEST_CASE("the next priority takes over when all of one are unusable, and gives back at the first that recovers") {
  for (const Balance kind : {Balance::p2c, Balance::p2c_ewma, Balance::round_robin, Balance::least_requests}) {
    CAPTURE(static_cast<int>(kind));
    Tiers t({spec(1, 1), spec(2, 1), spec(3, 2), spec(4, 2), spec(5, 3)}, kind);
    t.shared.set_health(t.at(0), Health::down);
    CHECK(t.picks()[1] == 2'000);
    REQUIRE(t.at(1).connect_failed(t.now, SharedEndpoint::Trial::no));  // the last one is set aside
    std::vector<int> counts = t.picks();
    CHECK(counts[2] + counts[3] == 2'000);
    CHECK(counts[2] > 500);
    CHECK(counts[3] > 500);
    t.shared.set_health(t.at(2), Health::down);
    t.shared.set_health(t.at(3), Health::down);
    CHECK(t.picks()[4] == 2'000);
    t.shared.set_health(t.at(3), Health::up);
    CHECK(t.picks()[3] == 2'000);
    t.at(1).connected(t.now, SharedEndpoint::Trial::no);
    CHECK(t.picks()[1] == 2'000);
  }
}

// Two primaries whose checks fail and one healthy backup: fewer than half are healthy, which is panic, but the backup
// is there for this.
TEST_CASE("panic counts within all and does not keep a dead priority in use while another one is healthy") {
  Tiers t({spec(1, 1), spec(2, 1), spec(3, 2)});
  t.shared.set_health(t.at(0), Health::down);
  t.shared.set_health(t.at(1), Health::down);
  REQUIRE(t.shared.panic());
  CHECK(t.picks()[2] == 2'000);
  CHECK(t.picks(2)[2] == 2'000);  // also for a request that would rather avoid it: the dead are no better
  t.shared.set_health(t.at(2), Health::down);
  const std::vector<int> counts = t.picks();  // nobody is healthy: as if all were
  CHECK(counts[0] + counts[1] == 2'000);
  CHECK(counts[2] == 0);
}

TEST_CASE("a request that has just failed at the only endpoint of a priority goes to the next one") {
  Tiers t({spec(1, 1), spec(2, 2), spec(3, 3)});
  CHECK(t.picks(0)[1] == 2'000);
}

TEST_CASE("a pick costs no pass over the endpoints while the first priority is live") {
  std::vector<EndpointSpec> specs;
  for (std::uint32_t i = 0; i < 200; ++i) specs.push_back(spec(i, i % 2 == 0 ? 1 : 2));
  Tiers t(specs);
  t.picks();
  CHECK(t.balancer.full_passes() == 0);
}

TEST_CASE("a priority at its caps does not spill into the next one: requests wait, and its connections serve them") {
  World w;
  w.options->pool.max_connections = 1;
  w.specs = {spec(1, 1), spec(2, 2)};
  w.start();
  Request& first = w.ask();
  Request& second = w.ask();
  w.sim.settle();
  CHECK(first.served());
  CHECK_FALSE(second.served());
  CHECK(w.dials() == 1);
  first.finish();
  w.sim.settle();
  REQUIRE(second.served());
  CHECK(second.endpoint() == "10.0.0.1:80");
  second.finish();
}

TEST_CASE("a retry that must go to the next priority is given the one connection made for it there") {
  World w;
  w.specs = {spec(1, 1), spec(2, 2)};
  w.start();
  Request& failed = w.ask();
  w.sim.settle();
  REQUIRE(failed.served());
  Want want;
  want.fresh = true;  // an idle connection had died under it
  AvoidList avoid;
  avoid.add(endpoint_id(*failed.grant.lease.endpoint()));
  want.avoid = &avoid;
  Request& retry = w.ask(0, want);
  Request& other = w.ask();
  w.sim.settle();
  REQUIRE(retry.served());
  CHECK(retry.endpoint() == "10.0.0.2:80");
  REQUIRE(other.served());
  CHECK(other.endpoint() == "10.0.0.1:80");
  CHECK(w.dials() == 3);
  for (Request* r : {&failed, &retry, &other}) r->finish();
}

TEST_CASE(
    "a failover and back: who waits is served by the priority in use, a freed connection of the backup serves nobody") {
  World w;
  w.options->pool.max_connections = 1;
  w.specs = {spec(1, 1), spec(2, 2)};
  w.start();
  w.shared->set_health(w.endpoint(0), Health::down);
  Request& away = w.ask();
  w.sim.settle();
  REQUIRE(away.served());
  CHECK(away.endpoint() == "10.0.0.2:80");
  w.shared->set_health(w.endpoint(0), Health::up);
  w.sim.settle();
  Request& home = w.ask();
  w.sim.settle();
  REQUIRE(home.served());
  CHECK(home.endpoint() == "10.0.0.1:80");
  Request& waits = w.ask();
  w.sim.settle();
  away.finish();  // the backup's connection is free
  w.sim.settle();
  CHECK_FALSE(waits.served());
  home.finish();
  w.sim.settle();
  REQUIRE(waits.served());
  CHECK(waits.endpoint() == "10.0.0.1:80");
  waits.finish();
}

}  // namespace
