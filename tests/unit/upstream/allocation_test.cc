// The steady state of a pool touches no heap: acquire, finish, and waiting at the cap.
#include "support/count_allocations.h"

#include "fakes.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using fakes::Request;
using fakes::World;

TEST_CASE("acquire and release allocate nothing, with any balancer, with 1 or 1,000 endpoints") {
  for (const Balance kind : {Balance::p2c, Balance::round_robin, Balance::least_requests}) {
    for (const std::uint32_t endpoints : {1u, 1'000u}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(endpoints);
      World w;
      w.options->balance = kind;
      w.options->pool.min_idle = 2;            // a connection everywhere
      w.some_endpoints(endpoints);
      w.start();
      w.sim.run_for(base::seconds(10));
      REQUIRE(w.clusters[0]->warm());
      Request r(w.sim.now());
      auto once = [&] {
        w.clusters[0]->acquire({}, r, r, r.grant);
        REQUIRE(r.served());
        r.finish();
      };
      for (std::uint32_t i = 0; i < 20'000; ++i) once();   // every connection was used, every pool is at its size
      w.sim.settle();
      const std::uint64_t before = support::allocations();
      for (int i = 0; i < 5'000; ++i) once();
      CHECK(support::allocations() == before);
    }
  }
}

TEST_CASE("waiting at the cap allocates nothing") {
  World w;
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  Request a(w.sim.now());
  Request b(w.sim.now());
  auto turn = [&](Request& holds, Request& waits) {
    w.clusters[0]->acquire({}, waits, waits, waits.grant);
    holds.finish();
    w.sim.loop().turn(base::Micros{0});
    w.sim.loop().turn(base::Micros{0});
    return waits.served();
  };
  w.clusters[0]->acquire({}, a, a, a.grant);
  w.sim.settle();
  REQUIRE(turn(a, b));
  REQUIRE(turn(b, a));
  const std::uint64_t before = support::allocations();
  bool all = true;
  for (int i = 0; i < 1'000; ++i) all = turn(a, b) && turn(b, a) && all;
  const std::uint64_t after = support::allocations();
  CHECK(all);
  CHECK(after == before);
  a.finish();
}

}  // namespace
