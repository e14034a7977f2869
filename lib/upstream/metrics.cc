// Cells looked up once, and the series that the scrape computes from SharedUpstream. See metrics.h.
#include "upstream/metrics.h"

#include <cmath>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace sluice::upstream {

using metrics::Name;

UpstreamMetrics::UpstreamMetrics(metrics::Registry& registry, const std::string& upstream, unsigned writer)
    : connecting(registry.gauge(Name::upstream_connections, {upstream, "connecting"}, writer)),
      active(registry.gauge(Name::upstream_connections, {upstream, "active"}, writer)),
      idle(registry.gauge(Name::upstream_connections, {upstream, "idle"}, writer)),
      opened(registry.counter(Name::upstream_connections_opened_total, {upstream}, writer)),
      handed_over(registry.counter(Name::upstream_connections_handed_over_total, {upstream}, writer)),
      connect_seconds(registry.histogram(Name::upstream_connect_seconds, {upstream}, writer)),
      wait_served(registry.histogram(Name::upstream_pool_wait_seconds, {upstream, "served"}, writer)),
      wait_timeout(registry.histogram(Name::upstream_pool_wait_seconds, {upstream, "timeout"}, writer)),
      wait_left(registry.histogram(Name::upstream_pool_wait_seconds, {upstream, "left"}, writer)),
      waiting(registry.gauge(Name::upstream_pool_waiting, {upstream, "cap"}, writer)),
      waiting_connect(registry.gauge(Name::upstream_pool_waiting, {upstream, "connecting"}, writer)),
      timeouts(registry.counter(Name::upstream_pool_timeouts_total, {upstream}, writer)),
      pauses(registry.counter(Name::upstream_pauses_total, {upstream}, writer)),
      shed(registry.counter(Name::upstream_pool_shed_total, {upstream}, writer)),
      requests_fresh(registry.counter(Name::upstream_requests_total, {upstream, "false"}, writer)),
      requests_reused(registry.counter(Name::upstream_requests_total, {upstream, "true"}, writer)),
      registry_(registry),
      upstream_(upstream),
      writer_(writer) {}

void UpstreamMetrics::closed(http::CloseCause cause) {
  metrics::Counter*& cell = closed_[static_cast<unsigned>(cause)];
  if (cell == nullptr)
    cell = &registry_.counter(Name::upstream_connections_closed_total,
                              {upstream_, http::cause_word(cause), http::side_word(http::ended_by(cause))}, writer_);
  cell->add();
}

void UpstreamMetrics::protocol_error(http::Detail detail) {
  metrics::Counter*& cell = protocol_errors_[static_cast<unsigned>(detail)];
  if (cell == nullptr)
    cell = &registry_.counter(Name::protocol_errors_total, {"upstream", http::detail_word(detail)}, writer_);
  cell->add();
}

void UpstreamMetrics::ejected(std::string_view cause) {
  registry_.counter(Name::upstream_ejections_total, {upstream_, cause}, writer_).add();
}

void declare_pool(metrics::Registry& registry, std::string_view upstream) {
  for (const std::string_view state : {"connecting", "active", "idle"}) {
    registry.declare(Name::upstream_connections, {upstream, state});
  }
  for (const std::string_view reused : {"false", "true"}) {
    registry.declare(Name::upstream_requests_total, {upstream, reused});
  }
  for (const std::string_view outcome : {"served", "timeout", "left"}) {
    registry.declare(Name::upstream_pool_wait_seconds, {upstream, outcome});
  }
  for (const std::string_view why : {"cap", "connecting"}) {
    registry.declare(Name::upstream_pool_waiting, {upstream, why});
  }
  for (const std::string_view cause : {"gateway", "reset", "timeout", "connect", "error_share", "slow"}) {
    registry.declare(Name::upstream_ejections_total, {upstream, cause});
  }
  for (const Name name : {Name::upstream_connections_opened_total, Name::upstream_connections_handed_over_total,
                          Name::upstream_connect_seconds, Name::upstream_pool_timeouts_total,
                          Name::upstream_pauses_total, Name::upstream_pool_shed_total}) {
    registry.declare(name, {upstream});
  }
}

namespace {

// The limit of a share is worked out at the scrape: no request may have asked for it yet.
void export_classes(metrics::Registry& registry, const std::shared_ptr<SharedUpstream>& shared,
                    const UpstreamOptions& options) {
  std::vector<std::string> names;
  for (const PoolClassOptions& o : options.pool_classes) names.push_back(o.name);
  std::vector<std::string> before = shared->swap_exported_classes(names);
  std::unordered_set<std::string_view> left(before.begin(), before.end());
  for (const PoolClassOptions& o : options.pool_classes) left.erase(o.name);
  if (!left.empty()) registry.remove("upstream", shared->name(), "class", left);
  for (const PoolClassOptions& o : options.pool_classes) {
    const std::shared_ptr<PoolClass> one = shared->pool_class(o.name);
    registry.computed(Name::upstream_pool_class_in_flight, {shared->name(), o.name},
                      [one] { return static_cast<double>(one->in_flight()); });
    registry.computed(Name::upstream_pool_class_waiting, {shared->name(), o.name},
                      [one] { return static_cast<double>(one->waiting()); });
    registry.computed(Name::upstream_pool_class_limit, {shared->name(), o.name},
                      [shared, o, set = shared->endpoints(), max = options.pool.max_connections] {
                        return static_cast<double>(class_limit(o, shared->capacity(*set, max).connections));
                      });
  }
}

}  // namespace

void export_shared(metrics::Registry& registry, const std::shared_ptr<SharedUpstream>& shared,
                   const EndpointSet& before, const UpstreamOptions& options, const base::Clock& clock) {
  const std::uint32_t max_connections = options.pool.max_connections;
  export_classes(registry, shared, options);
  export_states(registry, shared, options, clock);
  export_tallies(registry, shared, options.health.has_value());
  const EndpointSetPtr now = shared->endpoints();
  // Answers of DNS replace hundreds at once, so nothing here may grow with old ones times new ones.
  std::unordered_set<std::string_view> left;
  for (const EndpointEntry& old : before.entries) left.insert(old.endpoint->name());
  for (const EndpointEntry& e : now->entries) left.erase(e.endpoint->name());
  if (!left.empty()) registry.remove("upstream", shared->name(), "endpoint", left);
  for (const EndpointEntry& entry : now->entries) {
    const std::shared_ptr<SharedEndpoint> e = entry.endpoint;
    registry.computed(Name::upstream_endpoint_healthy, {shared->name(), e->name()},
                      [e] { return e->healthy() ? 1.0 : 0.0; });
    registry.computed(Name::upstream_endpoint_ejected, {shared->name(), e->name()},
                      [e] { return e->standing().ejected() ? 1.0 : 0.0; });
    registry.computed(Name::upstream_idle_limit_seconds, {shared->name(), e->name()},
                      [e] { return static_cast<double>(e->last_idle_limit().count) / 1e6; });
    registry.computed(Name::upstream_endpoint_in_flight, {shared->name(), e->name()},
                      [e] { return static_cast<double>(e->in_flight()); });
    registry.computed(Name::upstream_endpoint_adaptive_limit, {shared->name(), e->name()},
                      [e] { return static_cast<double>(e->adaptive().limit()); });
  }
  const auto computed = [&](Name name, double (*value)(const Advisor::View&)) {
    registry.computed(name, {shared->name()}, [shared, value] { return value(shared->advisor().look()); });
  };
  computed(Name::upstream_pool_offered_load, [](const Advisor::View& v) { return v.offered; });
  computed(Name::upstream_service_seconds,
           [](const Advisor::View& v) { return static_cast<double>(v.service.count) / 1e6; });
  computed(Name::upstream_service_seconds_usual,
           [](const Advisor::View& v) { return static_cast<double>(v.usual.count) / 1e6; });
  computed(Name::upstream_slowdown_ratio, [](const Advisor::View& v) {
    return v.usual.count == 0 ? 0.0 : static_cast<double>(v.service.count) / static_cast<double>(v.usual.count);
  });
  registry.computed(Name::upstream_pool_recommended_connections, {shared->name()}, [shared, now, max_connections] {
    return std::ceil(shared->advisor().look().recommended / shared->capacity(*now, max_connections).requests_each());
  });
  registry.computed(Name::upstream_pool_limit_connections, {shared->name()}, [shared, now, max_connections] {
    return static_cast<double>(shared->capacity(*now, max_connections).connections);
  });
  registry.computed(Name::upstream_pool_oldest_wait_seconds, {shared->name()}, [shared, &clock] {
    const auto since = shared->board().oldest();
    return since ? (clock.now() - *since).seconds() : 0.0;
  });
  registry.computed(
      Name::upstream_retry_budget_used_ratio, {shared->name()},
      [shared, &clock, budget = options.retry.budget] { return shared->retries().used(clock.now(), budget); });
  registry.computed(Name::upstream_panic, {shared->name()}, [shared] { return shared->panic() ? 1.0 : 0.0; });
  registry.computed(Name::upstream_circuit_in_flight, {shared->name()},
                    [shared] { return static_cast<double>(shared->circuit().in_flight()); });
  registry.computed(Name::upstream_pool_max_connections, {shared->name()},
                    [max_connections] { return static_cast<double>(max_connections); });
}

}  // namespace sluice::upstream
