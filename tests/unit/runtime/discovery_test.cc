// Discovery in simulated time, over scripted queries: what becomes of answers, and what the metrics say of it.
#include "runtime/discovery.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dns_script.h"
#include "support/sim_loop.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::runtime;
using metrics::Name;
using test::Script;

struct Scene final : Discovery::User {
  Scene() : discovery({sim.loop(), script, registry, 2, 7, *this}) {}

  void send_endpoints(const upstream::SharedUpstream&, const upstream::EndpointSetPtr& set,
                      std::function<void()> told) override {
    sent.push_back(set);
    applied.push_back(std::move(told));
  }

  // One upstream `app` with these endpoints, published.
  EndpointSets publish(std::vector<std::string> endpoints, base::Millis slow_start = {}) {
    auto snapshot = std::make_shared<config::Snapshot>();
    upstream::UpstreamOptions& options = snapshot->upstreams.emplace_back();
    options.name = "app";
    options.slow_start = slow_start;
    for (const std::string& text : endpoints) {
      upstream::EndpointSpec& spec = options.endpoints.emplace_back();
      spec.name = text;
      if (auto address = net::Address::parse(text)) spec.address = *address;
    }
    Generation generation;
    generation.snapshot = snapshot;
    generation.upstreams.push_back(
        Backing{shared, std::make_shared<const upstream::UpstreamOptions>(options), nullptr, {}});
    generation.index.emplace(shared.get(), 0);
    return discovery.publish(generation);
  }
  double value(Name name) const {
    double sum = 0;
    for (const metrics::Sample& s : registry.collect(name)) {
      sum += s.value;
      for (const std::uint64_t n : s.buckets) sum += static_cast<double>(n);
    }
    return sum;
  }
  void tell_workers() {
    for (const auto& told : std::exchange(applied, {})) {
      told();
      told();   // two workers
    }
  }

  support::SimLoop sim;
  metrics::Registry registry{2};
  Script script{sim};
  std::shared_ptr<upstream::SharedUpstream> shared = std::make_shared<upstream::SharedUpstream>("app", 2);
  std::vector<upstream::EndpointSetPtr> sent;
  std::vector<std::function<void()>> applied;
  Discovery discovery;
};

TEST_CASE("a name's addresses become a set; until then there is an empty one, and nothing waits") {
  Scene s;
  s.script.zone["a.test"] = {"10.0.0.1", "10.0.0.2"};
  const EndpointSets sets = s.publish({"a.test:80"});
  CHECK(sets.at(0)->entries.empty());
  CHECK_FALSE(s.discovery.settled());
  REQUIRE(s.sim.until([&] { return s.discovery.settled(); }, base::Millis{2'000}));
  REQUIRE(s.sent.size() == 1);
  CHECK(s.sent[0]->entries.size() == 2);
  CHECK(s.sent[0]->entries[0].endpoint->host() == "a.test:80");
  CHECK(s.value(Name::dns_lookups_total) >= 2);
}

TEST_CASE("the same answer again and again publishes nothing") {
  Scene s;
  s.script.zone["a.test"] = {"10.0.0.1"};
  s.publish({"a.test:80"});
  s.sim.run_for(base::Millis{30'000});
  CHECK(s.script.asked > 20);
  CHECK(s.sent.size() == 1);
}

TEST_CASE("an address that left: the gauge counts its connections, the histogram tells when the last one has closed") {
  Scene s;
  s.script.zone["a.test"] = {"10.0.0.1", "10.0.0.2"};
  s.publish({"a.test:80"});
  s.sim.run_for(base::Millis{1'500});
  upstream::SharedEndpoint& first = *s.shared->endpoints()->entries[0].endpoint;
  REQUIRE(first.open_slot(10));
  REQUIRE(first.open_slot(10));
  const auto keep = s.shared->endpoints();
  s.script.zone["a.test"] = {"10.0.0.2"};
  REQUIRE(s.sim.until([&] { return s.sent.size() == 2; }, base::Millis{3'000}));
  CHECK(s.value(Name::upstream_connections_leaving) == 2);
  const base::Micros left = s.sim.now();
  s.sim.run_for(base::Millis{100});
  first.close_slot();
  first.close_slot();
  s.sim.run_for(base::Millis{100});
  CHECK(s.value(Name::upstream_connections_leaving) == 0);
  CHECK(s.value(Name::dns_propagation_seconds) == 0);   // a worker may still open one: none has the new set
  s.tell_workers();
  s.sim.run_for(base::Millis{100});
  CHECK(s.value(Name::dns_propagation_seconds) == 1);
  CHECK((s.sim.now() - left).count <= 310'000);
}

TEST_CASE("newcomers of a later answer slow-start; those of the first answers of all names do not") {
  Scene s;
  s.script.zone["a.test"] = {"10.0.0.1"};
  s.script.missing = dns::Outcome::servfail;
  s.publish({"a.test:80", "b.test:80"}, base::Millis{10'000});
  s.sim.run_for(base::Millis{1'000});
  s.script.zone["b.test"] = {"10.0.0.2"};
  REQUIRE(s.sim.until([&] { return s.sent.size() == 2; }, base::Millis{30'000}));
  for (const auto& e : s.sent.back()->entries) CHECK(e.endpoint->ramp_since().count == 0);
  s.script.zone["a.test"] = {"10.0.0.1", "10.0.0.3"};
  REQUIRE(s.sim.until([&] { return s.sent.size() == 3; }, base::Millis{30'000}));
  for (const auto& e : s.sent.back()->entries) {
    CHECK((e.endpoint->ramp_since().count != 0) == (e.endpoint->name() == "10.0.0.3:80"));
  }
}

TEST_CASE("a reload keeps what is known of a name that stays, without a lookup, and lets go of the rest") {
  Scene s;
  s.script.zone["a.test"] = {"10.0.0.1"};
  s.script.zone["b.test"] = {"10.0.0.2"};
  s.publish({"a.test:80", "b.test:80"});
  REQUIRE(s.sim.until([&] { return s.discovery.settled(); }, base::Millis{2'000}));
  s.sim.settle();
  const auto before = s.shared->endpoints();
  const EndpointSets sets = s.publish({"a.test:80", "10.0.0.9:80"});
  REQUIRE(sets[0]->entries.size() == 2);
  CHECK(sets[0]->entries[0].endpoint == before->entries[0].endpoint);
  s.sim.settle();
  REQUIRE(s.discovery.status().size() == 1);
  CHECK(s.discovery.status()[0].name == "a.test");
  for (const metrics::Sample& sample : s.registry.collect(Name::dns_lookups_total)) CHECK(sample.labels[0] != "b.test");
}

TEST_CASE("required at start: every name that does not resolve is named, within a bounded time") {
  Scene s;
  s.script.zone["a.test"] = {"10.0.0.1"};
  auto snapshot = std::make_shared<config::Snapshot>();
  upstream::UpstreamOptions& options = snapshot->upstreams.emplace_back();
  options.name = "app";
  for (const char* const text : {"a.test:80", "gone.test:80"}) options.endpoints.emplace_back().name = text;
  s.discovery.follow(*snapshot);
  const config::Problems problems = s.discovery.await_all([] { return false; });
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].message.find("upstream app: gone.test:80 does not resolve: ") == 0);
}

TEST_CASE("required at start: nothing is awaited, and nothing complained of, once it is given up") {
  Scene s;
  auto snapshot = std::make_shared<config::Snapshot>();
  upstream::UpstreamOptions& options = snapshot->upstreams.emplace_back();
  options.name = "app";
  options.endpoints.emplace_back().name = "gone.test:80";
  s.discovery.follow(*snapshot);
  int turns = 0;
  CHECK(s.discovery.await_all([&] { return ++turns > 1; }).empty());
  CHECK_FALSE(s.discovery.settled());
}

}  // namespace
