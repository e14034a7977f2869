// Fleet in simulated time, over scripted queries: how many replicas there are, and what that means for servers with a
// limit.
#include "runtime/fleet.h"

#include <string>
#include <vector>

#include "dns_script.h"
#include "support/sim_loop.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::runtime;
using metrics::Name;
using Addresses = std::vector<std::string>;

struct Scene {
  Scene() {
    dns::DnsOptions options;
    options.stale_max = options.nx_hold = base::Millis{5'000};
    directory.configure(options);
  }
  // An upstream of 2 endpoints of 10 connections each.
  void publish(std::uint32_t replicas, const std::string& name, std::uint32_t limit) {
    auto snapshot = std::make_shared<config::Snapshot>();
    snapshot->runtime.replicas = replicas;
    snapshot->runtime.replicas_dns = name;
    upstream::UpstreamOptions& options = snapshot->upstreams.emplace_back();
    options.name = "app";
    options.server_limit = limit;
    options.pool.max_connections = 10;
    generation.snapshot = snapshot;
    generation.upstreams = {Backing{shared, std::make_shared<const upstream::UpstreamOptions>(options), nullptr, {}}};
    endpoints(2);
    fleet.publish(generation);
  }
  void endpoints(std::uint16_t count) {
    std::vector<upstream::EndpointSpec> specs;
    for (std::uint16_t i = 1; i <= count; ++i)
      specs.push_back({.name = std::to_string(i), .address = net::Address::ipv4(0x0A000001, i)});
    shared->set_endpoints(specs, 50);
  }
  // -1: there is no such series.
  double value(Name name) const {
    const auto samples = registry.collect(name);
    return samples.empty() ? -1 : samples.front().value;
  }
  std::uint32_t after(const Addresses& addresses) {
    script.zone["fleet.test"] = addresses;
    sim.run_for(base::Millis{3'000});
    return fleet.replicas();
  }

  support::SimLoop sim;
  metrics::Registry registry{2};
  test::Script script{sim};
  std::shared_ptr<upstream::SharedUpstream> shared = std::make_shared<upstream::SharedUpstream>("app", 2);
  Generation generation;
  dns::Directory directory{sim.loop(), script, 7};
  Fleet fleet{directory, registry};
};

TEST_CASE("a number of the file: all its connections count, and only where a limit is stated") {
  Scene s;
  s.publish(3, "", 60);
  CHECK(s.value(Name::fleet_replicas) == 3);
  CHECK(s.value(Name::upstream_fleet_connections) == 60);
  CHECK(s.value(Name::upstream_server_limit_connections) == 60);
  s.endpoints(4);
  s.fleet.look();
  CHECK(s.value(Name::upstream_fleet_connections) == 120);
  s.publish(1, "", 0);
  CHECK(s.value(Name::fleet_replicas) == 1);
  CHECK(s.value(Name::upstream_fleet_connections) == -1);
  CHECK(s.value(Name::upstream_server_limit_connections) == -1);
}

TEST_CASE("a name: its addresses are counted by its TTL; of two families the one that has more") {
  Scene s;
  s.script.zone["fleet.test"] = {"10.0.0.1", "10.0.0.2"};
  s.publish(1, "fleet.test", 100);
  CHECK(s.fleet.replicas() == 1);  // nothing is known yet
  s.sim.run_for(base::Millis{1'000});
  CHECK(s.fleet.replicas() == 2);
  CHECK(s.value(Name::upstream_fleet_connections) == 40);
  CHECK(s.after({"10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2", "fd00::3"}) == 3);
  CHECK(s.after({"10.0.0.1", "fd00::1", "fd00::2"}) == 2);
  CHECK(s.value(Name::fleet_replicas) == 2);
}

TEST_CASE("a name that is lost: what was known goes on; one that never resolved stands for one process") {
  Scene s;
  s.script.missing = dns::Outcome::servfail;
  s.publish(1, "fleet.test", 100);
  s.sim.run_for(base::Millis{20'000});
  CHECK(s.fleet.replicas() == 1);
  s.script.zone["fleet.test"] = {"10.0.0.1", "10.0.0.2", "10.0.0.3"};
  s.sim.run_for(base::Millis{12'000});  // the next try comes after up to 10 s
  CHECK(s.fleet.replicas() == 3);
  s.script.zone.clear();
  s.sim.run_for(base::Millis{60'000});
  CHECK(s.fleet.replicas() == 3);
  s.script.missing = dns::Outcome::nxdomain;
  s.sim.run_for(base::Millis{60'000});
  CHECK(s.fleet.replicas() == 3);
}

TEST_CASE("reloads: the same name keeps what is known, another one begins with it, a number takes its place") {
  Scene s;
  s.script.zone["fleet.test"] = {"10.0.0.1", "10.0.0.2"};
  s.publish(1, "fleet.test", 100);
  s.sim.run_for(base::Millis{1'000});
  const int asked = s.script.asked;
  s.publish(1, "fleet.test", 50);
  CHECK(s.fleet.replicas() == 2);
  CHECK(s.script.asked == asked);
  CHECK(s.value(Name::upstream_server_limit_connections) == 50);
  s.publish(1, "other.test", 50);
  s.sim.run_for(base::Millis{5'000});
  CHECK(s.fleet.replicas() == 2);
  s.publish(7, "", 50);
  CHECK(s.fleet.replicas() == 7);
  CHECK(s.value(Name::upstream_fleet_connections) == 140);
  const int before = s.script.asked;
  s.sim.run_for(base::Millis{30'000});
  CHECK(s.script.asked == before);  // nobody follows a name any more
}

TEST_CASE("a name that cannot be one is a warning, not an end") {
  Scene s;
  s.publish(1, std::string(300, 'a'), 100);
  s.sim.run_for(base::Millis{1'000});
  CHECK(s.fleet.replicas() == 1);
}

}  // namespace
