// Sets that discovery changes: who stays keeps everything, who left is closed bit by bit, who is new or recovered
// slow-starts.
#include <map>
#include <string>
#include <vector>

#include "fakes.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using fakes::Answer;
using fakes::Request;
using fakes::World;
using http::CloseCause;

EndpointSpec found(const std::string& address, const std::string& host) {
  return EndpointSpec{.name = address, .address = *net::Address::parse(address), .host = host};
}

TEST_CASE("an endpoint that was found is labelled by its address and asked for by the name") {
  SharedUpstream shared("app", 1);
  const EndpointSetPtr set = shared.set_endpoints(std::vector{found("10.0.0.1:80", "app.internal:80")}, 50);
  CHECK(set->entries[0].endpoint->name() == "10.0.0.1:80");
  CHECK(set->entries[0].endpoint->host() == "app.internal:80");
  SharedUpstream written("app", 1);
  const EndpointSetPtr by_hand = written.set_endpoints(std::vector{found("10.0.0.1:80", "")}, 50);
  CHECK(by_hand->entries[0].endpoint->host() == "10.0.0.1:80");
}

TEST_CASE("an address that stays is the same endpoint in any order; under another name it is another endpoint") {
  SharedUpstream shared("app", 1);
  const EndpointSpec a = found("10.0.0.1:80", "app.internal:80");
  const EndpointSpec b = found("10.0.0.2:80", "app.internal:80");
  const EndpointSetPtr before = shared.set_endpoints(std::vector{a, b}, 50);
  const EndpointSetPtr turned = shared.set_endpoints(std::vector{b, a}, 50);
  CHECK(turned->entries[0].endpoint == before->entries[1].endpoint);
  CHECK(turned->entries[1].endpoint == before->entries[0].endpoint);
  const EndpointSetPtr renamed = shared.set_endpoints(std::vector{found("10.0.0.1:80", "other.internal:80")}, 50);
  CHECK(renamed->entries[0].endpoint !=
        before->entries[0].endpoint);  // its connections were verified for the other name
}

TEST_CASE("499 of 500 addresses leave: connections end a part at a time, requests go to what is left at once") {
  World w;
  w.options->balance = Balance::round_robin;
  w.some_endpoints(500);
  w.start();
  std::vector<Request*> all;
  for (int i = 0; i < 500; ++i) all.push_back(&w.ask());
  w.sim.settle();
  for (Request* const r : all) r->finish();
  w.sim.settle();
  REQUIRE(w.gauge(metrics::Name::upstream_connections, "idle") == 500);
  w.specs.resize(1);
  w.publish(CloseCause::dns_removed);
  w.sim.loop().turn(base::Micros{0});
  const std::uint64_t first_turns = w.closed(CloseCause::dns_removed);
  CHECK(first_turns <= 2 * ClusterImpl::closes_per_turn);
  Request& r = w.ask();
  REQUIRE(r.served());
  CHECK(r.endpoint() == w.specs[0].name);
  std::uint64_t closed = first_turns;
  std::uint64_t most = 0;
  for (int turns = 0; turns < 100 && closed < 499; ++turns) {
    w.sim.loop().turn(base::Micros{0});
    const std::uint64_t n = w.closed(CloseCause::dns_removed);
    most = std::max(most, n - closed);
    closed = n;
  }
  CHECK(closed == 499);
  CHECK(most <= ClusterImpl::closes_per_turn);
  CHECK(w.gauge(metrics::Name::upstream_connections, "idle") == 0);
  r.finish();
  w.requests.clear();  // and with them their leases
  w.sim.settle();
  CHECK(w.clusters[0]->status().endpoints.size() == 1);
}

TEST_CASE("a connect that ends well at an address that left meanwhile serves nobody and is closed") {
  World w;
  w.options->pool.max_connections = 1'000;
  w.some_endpoints(2);
  w.start();
  for (auto* c : w.connectors) {
    c->answer = [&w](const SharedEndpoint& e) { return &e == &w.endpoint(0) ? Answer::hang : Answer::accept; };
  }
  std::vector<Request*> all;
  while (w.connectors[0]->hanging.size() < ClusterImpl::closes_per_turn + 10) all.push_back(&w.ask());
  w.sim.settle();
  const std::string left = w.specs[0].name;
  w.specs.erase(w.specs.begin());
  for (auto* c : w.connectors) c->answer = [](const SharedEndpoint&) { return Answer::accept; };
  w.publish(CloseCause::dns_removed);
  w.connectors[0]->hanging.back()->succeed();  // before the rest of the connects were let go of
  w.sim.settle();
  for (Request* const r : all) {
    REQUIRE(r->served());
    CHECK(r->endpoint() != left);
  }
  CHECK(w.connectors[0]->hanging.empty());
  for (Request* const r : all) r->finish();
}

TEST_CASE("active connections of an address that left finish their request; in tunnels nothing is cut") {
  World w;
  w.some_endpoints(1);
  w.start();
  Request& active = w.ask();
  Request& tunnel = w.ask();
  w.sim.settle();
  tunnel.session().become_tunnel();
  w.some_endpoints(0);
  w.publish(CloseCause::dns_removed);
  w.sim.settle();
  CHECK(w.closed(CloseCause::dns_removed) == 0);
  active.finish();
  w.sim.settle();
  CHECK(w.closed(CloseCause::dns_removed) == 1);
  CHECK(w.gauge(metrics::Name::upstream_connections, "active") == 1);
  tunnel.grant.lease.done(Outcome::answered);
  tunnel.session().end(CloseCause::tunnel_end);
  w.requests.clear();
  w.sim.settle();
  CHECK(w.clusters[0]->status().endpoints.empty());
}

// ---- slow start

struct Ramp {
  Ramp() {
    w.options->slow_start = base::Millis{10'000};
    w.options->balance = Balance::round_robin;
    w.options->pool.max_connections = 10'000;
    w.some_endpoints(2);
    w.start();
  }
  void grow() {
    w.some_endpoints(3);
    const EndpointSetPtr set = w.shared->set_endpoints(w.specs, 50, Newcomers::slow, w.sim.now(), Balance::round_robin);
    for (auto& c : w.clusters) c->set_endpoints(set, CloseCause::dns_removed);
  }
  // Of 3,000 requests at this moment, how many go to endpoint i?
  int share(std::size_t i) {
    int n = 0;
    for (int k = 0; k < 3'000; ++k) {
      Request& r = w.ask();
      w.sim.settle();
      n += r.endpoint() == w.specs[i].name ? 1 : 0;
      r.finish();
    }
    w.requests.clear();
    return n;
  }
  World w;
};

TEST_CASE("slow start: endpoints of the first set have their whole weight at once") {
  Ramp r;
  CHECK(r.share(0) == doctest::Approx(1'500).epsilon(0.1));
}

TEST_CASE(
    "slow start: a newcomer begins at a tenth of its weight, has half of it after half of the window, and all in the "
    "end") {
  Ramp r;
  r.grow();
  CHECK(r.share(2) == doctest::Approx(3'000 * 0.1 / 2.1).epsilon(0.2));
  r.w.sim.run_for(base::Millis{5'000});
  CHECK(r.share(2) == doctest::Approx(3'000 * 0.5 / 2.5).epsilon(0.1));
  r.w.sim.run_for(base::Millis{5'100});
  CHECK(r.share(2) == doctest::Approx(1'000).epsilon(0.05));
}

TEST_CASE(
    "slow start: a reload's newcomers, and those of an upstream that had no address, begin at their whole weight") {
  Ramp r;
  r.w.some_endpoints(3);
  r.w.publish(CloseCause::reload);
  CHECK(r.share(2) == doctest::Approx(1'000).epsilon(0.05));

  SharedUpstream shared("app", 1);
  const std::vector<EndpointSpec> one{found("10.0.0.1:80", "a:80")};
  const EndpointSetPtr set = shared.set_endpoints(one, 50, Newcomers::slow, base::Micros{5});
  CHECK(set->entries[0].endpoint->ramp_since().count == 0);
}

TEST_CASE("slow start: an endpoint that recovered begins anew") {
  Ramp r;
  r.w.some_endpoints(3);
  r.w.publish(CloseCause::reload);
  r.w.shared->set_health(r.w.endpoint(2), Health::down, r.w.sim.now());
  CHECK(r.share(2) == 0);
  r.w.shared->set_health(r.w.endpoint(2), Health::up, r.w.sim.now());
  CHECK(r.share(2) == doctest::Approx(3'000 * 0.1 / 2.1).epsilon(0.2));
  r.w.sim.run_for(base::Millis{10'100});
  CHECK(r.share(2) == doctest::Approx(1'000).epsilon(0.05));
}

}  // namespace
