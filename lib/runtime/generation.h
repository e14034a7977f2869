// Generation: everything workers need of one loaded configuration, built by control, immutable afterwards, shared by
// pointer. Listening sockets and upstreams that a reload keeps are the same objects as in the generation before.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "config/diff.h"
#include "config/load.h"
#include "exchange/concurrency_limiter.h"
#include "exchange/error_pages.h"
#include "exchange/log_plan.h"
#include "exchange/rate_limiter.h"
#include "metrics/request_counters.h"
#include "route/router.h"
#include "runtime/listen_socket.h"
#include "tls/context.h"
#include "upstream/shared.h"
#include "upstream/way.h"

namespace sluice::runtime {

// One listener: its options, its certificates and its sockets. The sockets pass on to the next generation as long as
// the address stays; options and certificates of a connection are those it was accepted under.
struct Listening {
  uint32_t index = 0;  // in the snapshot, and in every Site
  config::ListenerOptions options;
  std::shared_ptr<const tls::ServerContext> tls;  // nullptr: in the clear
  std::vector<std::shared_ptr<ListenSocket>> sockets;  // one per address
  std::shared_ptr<exchange::ConcurrencyLimiter> per_client;  // its connections by address; nullptr: no limit
};

using UpstreamOptionsPtr = std::shared_ptr<const upstream::UpstreamOptions>;

// One upstream: what the process shares about it, and how connections to it are made. Who has placed the same options
// and the same way before has nothing to do.
struct Backing {
  std::shared_ptr<upstream::SharedUpstream> shared;
  UpstreamOptionsPtr options;  // the same object as long as nothing of it changes; likewise the way
  upstream::WayPtr way;
  std::string tls_files;  // what identifies the files that its context was made from
};

struct Generation {
  std::shared_ptr<const config::Snapshot> snapshot;
  std::unique_ptr<const route::Router> router;
  std::vector<std::shared_ptr<const Listening>> listeners;  // by index
  std::vector<Backing> upstreams;  // by index
  std::vector<std::shared_ptr<exchange::RateLimiter>> rate_limiters;  // by route; nullptr: it has none
  std::vector<std::shared_ptr<exchange::ConcurrencyLimiter>> concurrency_limiters;  // likewise
  std::unique_ptr<const exchange::LogPlan> log_plan;
  std::vector<exchange::ErrorPages> listener_pages;  // by listener
  std::vector<exchange::ErrorPages> route_pages;  // by route
  std::string hash;  // of the configuration without its secrets, as 16 hex digits: the same in every process and build
  std::vector<config::Waiting> waiting;  // what the file says and only a restart takes
  std::shared_ptr<const metrics::RequestLabels> labels;
  std::unordered_map<const upstream::SharedUpstream*, uint32_t> index;  // of `upstreams`
  std::vector<uint32_t> warm;  // upstreams with min_idle: their connections are made before anybody asks

  // nullptr: that upstream has left, or is still to come.
  const Backing* backing_of(const upstream::SharedUpstream* shared) const {
    const auto it = index.find(shared);
    return it == index.end() ? nullptr : &upstreams[it->second];
  }
};
using GenerationPtr = std::shared_ptr<const Generation>;

// The endpoints of each upstream, by index, as they were when the generation was published.
using EndpointSets = std::vector<upstream::EndpointSetPtr>;
using EndpointSetsPtr = std::shared_ptr<const EndpointSets>;

// none: simulations bring connections themselves.
enum class Sockets : uint8_t { open, none };

// Loads certificates, compiles routes, opens the sockets that `previous` (nullptr: a cold start) does not have, makes
// the endpoint sets of new upstreams that have no names. Changes nothing of `previous`; when it fails, nothing has
// changed at all. Warnings are appended. May run on any thread, one at a time.
std::expected<GenerationPtr, config::Problems> build_generation(const config::Loaded& loaded,
                                                                const Generation* previous, uint32_t workers,
                                                                base::Micros wall, config::Problems& warnings,
                                                                Sockets sockets = Sockets::open,
                                                                std::vector<config::Waiting> waiting = {});

// What config::load() asks about files, answered by the TLS library.
config::FileChecks file_checks(base::Micros wall);

}  // namespace sluice::runtime
