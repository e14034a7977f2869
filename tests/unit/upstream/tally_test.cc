// What is counted of waits and of each endpoint, and how it stands in the scrape.
#include <string>
#include <vector>

#include "fakes.h"
#include "upstream/metrics.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using namespace sluice::upstream;
using namespace sluice::upstream::fakes;
using metrics::Name;

namespace {

struct Counted : World {
  explicit Counted(std::uint32_t endpoints, std::uint32_t workers = 1) : World(workers) {
    some_endpoints(endpoints);
    start();
    tell({});
  }
  void tell(const EndpointSet& before) { export_shared(registry, shared, before, *options, sim.clock()); }

  double value(Name name, const std::vector<std::string>& labels) const {
    for (const metrics::Sample& s : registry.collect(name)) {
      if (s.labels == labels) return s.value;
    }
    return -1;
  }
  double answers(const std::string& endpoint, const std::string& of_class) const {
    return value(Name::upstream_endpoint_requests_total, {"app", endpoint, of_class});
  }
  double connections(const std::string& endpoint, const std::string& state) const {
    return value(Name::upstream_endpoint_connections, {"app", endpoint, state});
  }
  std::uint64_t waits(const std::string& outcome) const {
    std::uint64_t count = 0;
    for (const metrics::Sample& s : registry.collect(Name::upstream_pool_wait_seconds)) {
      for (const std::uint64_t n : s.buckets) count += s.labels[1] == outcome ? n : 0;
    }
    return count;
  }
};

const std::string first = "10.0.0.0:80";

}  // namespace

TEST_CASE("answers are counted by the class of their status, with the time to their heads, for all workers") {
  Counted w(1, 2);
  for (const std::uint32_t worker : {0u, 1u}) {
    for (const std::uint16_t status : {std::uint16_t{204}, std::uint16_t{503}, std::uint16_t{101}}) {
      Request& r = w.ask(worker);
      w.sim.settle();
      REQUIRE(r.served());
      w.sim.run_for(base::Millis{250});
      r.grant.lease.head(Outcome::answered, status);
      r.finish();
      w.sim.settle();
    }
  }
  CHECK(w.answers(first, "1xx") == 2);
  CHECK(w.answers(first, "2xx") == 2);
  CHECK(w.answers(first, "3xx") == 0);
  CHECK(w.answers(first, "5xx") == 2);
  CHECK(w.value(Name::upstream_endpoint_head_seconds_total, {"app", first}) == doctest::Approx(1.5));
}

TEST_CASE("failures of tries stand by their reason from their first time on") {
  Counted w(2);
  CHECK(w.registry.collect(Name::upstream_endpoint_errors_total).empty());
  Request& r = w.ask();
  w.sim.settle();
  note_error(*r.grant.lease.endpoint(), http::Kind::reset);
  note_error(*r.grant.lease.endpoint(), http::Kind::reset);
  CHECK(w.registry.collect(Name::upstream_endpoint_errors_total).size() == 1);
  CHECK(w.value(Name::upstream_endpoint_errors_total, {"app", r.endpoint(), "reset"}) == 2);
  r.finish();
}

TEST_CASE("connections of an endpoint by state; those of one that left are leaving until they end") {
  Counted w(1);
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
  Request& r = w.ask();
  w.sim.settle();
  CHECK(w.connections(first, "connecting") == 1);
  w.connectors[0]->hanging.front()->succeed();
  w.sim.settle();
  CHECK(w.connections(first, "connecting") == 0);
  CHECK(w.connections(first, "active") == 1);
  w.sim.run_for(base::seconds(3));

  const EndpointSetPtr before = w.shared->endpoints();
  w.endpoints({{"10.9.9.9:80", 1}});
  w.publish(http::CloseCause::dns_removed);
  w.tell(*before);
  w.sim.run_for(base::seconds(2));
  CHECK(w.connections(first, "active") == -1);
  CHECK(w.connections(first, "leaving") == 1);
  CHECK(w.value(Name::upstream_oldest_leaving_seconds, {"app"}) == doctest::Approx(2.0));
  r.finish();
  w.sim.settle();
  CHECK(w.connections(first, "leaving") == -1);
  CHECK(w.value(Name::upstream_oldest_leaving_seconds, {"app"}) == 0);
}

TEST_CASE("what an endpoint counted stays while it stays in the set, whatever happens around it") {
  Counted w(2);
  Request& r = w.ask();
  w.sim.settle();
  r.grant.lease.head(Outcome::answered, 200);
  const std::string name = r.endpoint();
  r.finish();
  const EndpointSetPtr before = w.shared->endpoints();
  w.endpoints({{name, 1}, {"10.9.9.9:80", 1}});
  w.publish(http::CloseCause::reload);
  w.tell(*before);
  CHECK(w.answers(name, "2xx") == 1);
  CHECK(w.answers("10.9.9.9:80", "2xx") == 0);
}

TEST_CASE("so many endpoints have series of their own, the others are summed") {
  for (const std::uint32_t more : {0u, 1u, 30u}) {
    CAPTURE(more);
    Counted w(endpoint_series_max + more);
    std::size_t named = 0;
    for (const metrics::Sample& s : w.registry.collect(Name::upstream_endpoint_connections)) {
      named += s.labels[1] != "other" && s.labels[2] == "idle" ? 1 : 0;
    }
    CHECK(named == endpoint_series_max);
    CHECK(w.connections("other", "idle") == (more == 0 ? -1 : 0));
    for (std::uint32_t i = 0; i < endpoint_series_max + more; ++i) {
      w.endpoint(i).tally(0).answered(200, base::Micros{1});
    }
    CHECK(w.answers("other", "2xx") == (more == 0 ? -1.0 : more));
  }
}

TEST_CASE("endpoints by state, all states from the start") {
  Counted w(3);
  CHECK(w.value(Name::upstream_endpoints, {"app", "unchecked"}) == 3);
  CHECK(w.value(Name::upstream_endpoints, {"app", "disabled"}) == 0);
  w.shared->set_disabled(w.endpoint(1), true, w.sim.now());
  CHECK(w.value(Name::upstream_endpoints, {"app", "unchecked"}) == 2);
  CHECK(w.value(Name::upstream_endpoints, {"app", "disabled"}) == 1);
}

TEST_CASE("waits at the caps end served, in vain or given up; a connect is none, and says so while it lasts") {
  Counted w(1);
  w.options->pool.max_connections = 1;
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
  Request& busy = w.ask();
  w.sim.settle();
  CHECK(w.gauge(Name::upstream_pool_waiting, "connecting") == 1);
  CHECK(w.gauge(Name::upstream_pool_waiting, "cap") == 0);
  w.sim.run_for(base::Millis{100});
  w.connectors[0]->hanging.front()->succeed();
  w.sim.settle();
  REQUIRE(busy.served());
  CHECK(w.gauge(Name::upstream_pool_waiting, "connecting") == 0);
  CHECK(w.waits("served") == 0);

  Request& served = w.ask();
  Request& late = w.ask();
  Request& gone = w.ask();
  w.sim.run_for(base::Millis{300});
  CHECK(w.gauge(Name::upstream_pool_waiting, "cap") == 3);
  CHECK(w.value(Name::upstream_pool_oldest_wait_seconds, {"app"}) == doctest::Approx(0.3).epsilon(0.01));
  gone.unlink();
  busy.finish();
  w.sim.settle();
  REQUIRE(served.served());
  w.sim.run_for(base::Millis{900});
  CHECK(late.refused.kind == http::Kind::pool_timeout);
  CHECK(w.waits("served") == 1);
  CHECK(w.waits("timeout") == 1);
  CHECK(w.waits("left") == 1);
  CHECK(w.value(Name::upstream_pool_oldest_wait_seconds, {"app"}) == 0);
  served.finish();
}
