// UpstreamMetrics: the metric cells of one upstream in one worker, looked up when the cluster is made. SharedUpstream's
// numbers (health, load, panic) are computed at the scrape: export_shared().
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "http/close_cause.h"
#include "http/failure.h"
#include "metrics/registry.h"
#include "upstream/shared.h"

namespace sluice::upstream {

class UpstreamMetrics {
 public:
  UpstreamMetrics(metrics::Registry& registry, const std::string& upstream, unsigned writer);

  metrics::Gauge& connecting;  // upstream_connections{state}
  metrics::Gauge& active;  // tunnels included
  metrics::Gauge& idle;
  metrics::Counter& opened;
  metrics::Counter& handed_over;  // taken over from another worker
  metrics::Histogram& connect_seconds;  // TLS included
  // Of requests that had to wait at the caps, connecting left out: upstream_pool_wait_seconds{outcome}.
  metrics::Histogram& wait_served;
  metrics::Histogram& wait_timeout;
  metrics::Histogram& wait_left;
  metrics::Gauge& waiting;  // upstream_pool_waiting{why}: at the caps
  metrics::Gauge& waiting_connect;  // for a connect of their own
  metrics::Counter& timeouts;
  metrics::Counter& pauses;
  metrics::Counter& shed;
  metrics::Counter& requests_fresh;  // upstream_requests_total{reused="false"}
  metrics::Counter& requests_reused;

  const std::string& upstream() const { return upstream_; }
  // Rare: made when a cause or detail shows up for the first time.
  void closed(http::CloseCause cause);
  void protocol_error(http::Detail detail);
  void ejected(std::string_view cause);

 private:
  metrics::Registry& registry_;
  std::string upstream_;
  unsigned writer_;
  std::array<metrics::Counter*, http::close_causes> closed_{};
  std::array<metrics::Counter*, http::details> protocol_errors_{};
};

// What UpstreamMetrics counts stands in the scrape, at zero, before a worker has a cluster for that upstream.
void declare_pool(metrics::Registry& registry, std::string_view upstream);

// Registers the computed series of `shared` as its set is now: endpoint health and load, panic, the cap, pool classes.
// `before` is the set it had (empty at first): series of endpoints and classes that left are retired. Control thread;
// call after every set_endpoints().
void export_shared(metrics::Registry& registry, const std::shared_ptr<SharedUpstream>& shared,
                   const EndpointSet& before, const UpstreamOptions& options, const base::Clock& clock);

// A part of it: states of endpoints, of so many of an upstream by name. The clock outlives the registry.
inline constexpr std::size_t endpoint_series_max = 256;
void export_states(metrics::Registry& registry, const std::shared_ptr<SharedUpstream>& shared,
                   const UpstreamOptions& options, const base::Clock& clock);
// Another part: what workers and checks count of each endpoint (EndpointTally), of as many, the first of the set; the
// others are one, "other".
void export_tallies(metrics::Registry& registry, const std::shared_ptr<SharedUpstream>& shared, bool checked);

}  // namespace sluice::upstream
