// Room for a request that is slow itself, and whether it takes a connection from others at all.
#include "fakes.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using fakes::Answer;
using fakes::Request;
using fakes::World;

TEST_CASE(
    "there is room while half of an endpoint's connections, or its only one, are free; connects under way count") {
  for (const std::uint32_t most : {1U, 2U, 3U, 8U}) {
    CAPTURE(most);
    World w;
    w.options->pool.max_connections = most;
    w.some_endpoints(1);
    w.start();
    ClusterImpl& cluster = *w.clusters[0];
    std::vector<Request*> busy;
    for (std::uint32_t i = 0; i < std::max(most / 2, 1U); ++i) {
      CHECK(cluster.has_room());
      busy.push_back(&w.ask());
    }
    CHECK_FALSE(cluster.has_room());
    w.sim.settle();
    CHECK_FALSE(cluster.has_room());
    busy[0]->finish();
    w.sim.settle();
    CHECK(cluster.has_room());
  }
}

TEST_CASE("no room while anybody waits, in any worker") {
  World w(2);
  w.some_endpoints(1);
  w.start();
  REQUIRE(w.shared->enter_queue(1));
  for (auto& cluster : w.clusters) CHECK_FALSE(cluster->has_room());
  w.shared->leave_queue();
  for (auto& cluster : w.clusters) CHECK(cluster->has_room());
}

TEST_CASE("a tunnel takes no room: it has left max_connections") {
  World w;
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  Request& r = w.ask();
  w.sim.settle();
  CHECK_FALSE(w.clusters[0]->has_room());
  r.session().become_tunnel();
  CHECK(w.clusters[0]->has_room());
}

TEST_CASE("an endpoint that is set aside, down or of a priority that is not in use has no room for anybody") {
  World w;
  w.options->pool.max_connections = 1;
  w.some_endpoints(2);
  w.specs[1].priority = 1;
  w.start();
  ClusterImpl& cluster = *w.clusters[0];
  Request& r = w.ask();
  w.sim.settle();
  CHECK(r.endpoint() == w.endpoint(0).name());
  CHECK_FALSE(cluster.has_room());               // the other is for worse times
  w.shared->set_health(w.endpoint(0), Health::down);
  w.sim.run_for(base::millis(1));
  CHECK(cluster.has_room());
  REQUIRE(w.endpoint(1).connect_failed(w.sim.now(), SharedEndpoint::Trial::no));
  w.sim.run_for(base::millis(1));
  CHECK_FALSE(cluster.has_room());
}

TEST_CASE("connections that carry many requests: by protocol; with auto until one is found that does not") {
  for (const Protocol protocol : {Protocol::http1, Protocol::http2, Protocol::any}) {
    World w;
    w.options->protocol = protocol;
    w.some_endpoints(2);
    w.start();
    ClusterImpl& cluster = *w.clusters[0];
    CHECK(cluster.multiplexes() == (protocol != Protocol::http1));
    w.endpoint(1).note_multiplexes(false);
    w.sim.run_for(base::millis(1));
    CHECK(cluster.multiplexes() == (protocol == Protocol::http2));
    w.endpoint(1).note_multiplexes(true);
    w.sim.run_for(base::millis(1));
    CHECK(cluster.multiplexes() == (protocol != Protocol::http1));
  }
}

}  // namespace
