// Site: one configuration generation as one worker's exchanges see it: routes, clusters, listeners, metric cells. An
// exchange keeps the one it began with to its end; the count is a plain integer because a Site never leaves its worker.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "exchange/ids.h"
#include "exchange/options.h"
#include "metrics/cell.h"
#include "metrics/request_counters.h"
#include "net/address.h"
#include "net/loop.h"
#include "route/router.h"
#include "upstream/cluster.h"

namespace sluice::exchange {

class AccessLog;

struct ListenerSite {
  std::string name;
  std::vector<net::Cidr> trusted_proxies;
  ForwardedBy forwarded_by = ForwardedBy::x_forwarded_for;
  base::Millis body_timeout{};  // as http::DownstreamOptions
};

struct RouteCells {
  metrics::Histogram* duration = nullptr;  // request_duration_seconds{route}
  metrics::Gauge* in_flight = nullptr;  // requests_in_flight{route}
};

struct UpstreamCells {
  metrics::Histogram* duration = nullptr;  // upstream_request_duration_seconds{upstream}
  metrics::Counter* retried = nullptr;  // upstream_retries_total{upstream,outcome="retried"}
  metrics::Counter* retry_over_budget = nullptr;  // ...{outcome="budget"}
  std::vector<metrics::Counter*> errors;  // upstream_errors_total{upstream,reason}, by http::Kind
};

// Counts that do not change with the configuration. Cells of this worker, filled by the runtime.
class Meter {
 public:
  virtual void local_reply(http::Kind kind) = 0;
  virtual void protocol_error(http::Where side, http::Detail detail) = 0;

 protected:
  ~Meter() = default;
};

inline constexpr uint32_t no_route = UINT32_MAX;

class Site {
 public:
  // Owned by the worker, which is told when an exchange, or who else uses it, let go.
  class Owner {
   public:
    virtual void on_site_let_go(Site& site) = 0;

   protected:
    ~Owner() = default;
  };
  Site(Owner& owner, const route::Router& by, metrics::RequestCounters counters)
      : router(by), requests(std::move(counters)), owner_(owner) {}
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  void ref() { ++count_; }
  void unref() {
    DCHECK(count_ > 0);
    --count_;
    owner_.on_site_let_go(*this);
  }
  bool unused() const { return count_ == 0; }

  const route::Router& router;
  metrics::RequestCounters requests;  // requests_total{listener,route,method,code}
  std::vector<ListenerSite> listeners;  // by index in the snapshot
  std::vector<RouteCells> routes;  // likewise; one more at the end: requests without a route
  std::vector<UpstreamCells> upstreams;
  std::vector<upstream::Cluster*> clusters;

 private:
  Owner& owner_;
  uint32_t count_ = 0;
};

// What a worker lends to all its exchanges.
struct Env {
  net::Loop& loop;
  Random& random;
  Meter& meter;
  AccessLog* access_log = nullptr;  // nullptr: off
  uint32_t worker = 0;
  std::string pseudonym;  // ours in Via, one per process
};

}  // namespace sluice::exchange
