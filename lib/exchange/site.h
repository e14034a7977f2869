// Site: one configuration generation as one worker's exchanges see it: routes, clusters, listeners, metric cells. An
// exchange keeps the one it began with to its end; the count is a plain integer because a Site never leaves its worker.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "exchange/answers.h"
#include "exchange/error_pages.h"
#include "exchange/ids.h"
#include "exchange/options.h"
#include "exchange/overload.h"
#include "exchange/record.h"
#include "exchange/retry.h"
#include "exchange/standing.h"
#include "metrics/cell.h"
#include "metrics/exemplars.h"
#include "metrics/request_counters.h"
#include "net/address.h"
#include "net/chunk.h"
#include "net/loop.h"
#include "route/router.h"
#include "upstream/cluster.h"

namespace sluice::exchange {

class HeldWatch;
class Recent;

class AccessLog;
class ConcurrencyLimiter;
class LogPlan;
class RateLimiter;

struct ListenerSite {
  std::string name;
  std::vector<net::Cidr> trusted_proxies;
  ForwardedBy forwarded_by = ForwardedBy::x_forwarded_for;
  base::Millis body_timeout{};  // as http::DownstreamOptions
  std::string health_path;  // "": none
  const ErrorPages* error_pages = nullptr;  // of its generation; nullptr: none
  bool access_log = true;
};

// Of a route with a rate_limit: its buckets, which are the process's, and rate_limit_total{route,outcome}.
struct RateCells {
  RateLimiter* limiter = nullptr;  // nullptr: no limit
  metrics::Counter* allowed = nullptr;
  metrics::Counter* limited = nullptr;
  metrics::Counter* would_limit = nullptr;
};

// Of a route with a concurrency_limit, likewise: concurrency_limit_total{route,outcome}.
struct ConcurrencyCells {
  ConcurrencyLimiter* limiter = nullptr;
  metrics::Counter* allowed = nullptr;
  metrics::Counter* limited = nullptr;
  metrics::Counter* would_limit = nullptr;
  metrics::Counter* uncounted = nullptr;
};

// Of a route with a fallback: fallbacks_total{route,outcome}.
struct FallbackCells {
  metrics::Counter* served = nullptr;
  metrics::Counter* failed = nullptr;
};

struct RouteCells {
  metrics::Histogram* duration = nullptr;  // request_duration_seconds{route}
  metrics::Exemplars* exemplars = nullptr;  // its
  metrics::Gauge* in_flight = nullptr;  // requests_in_flight{route}
  metrics::Counter* bytes_in = nullptr;  // request_bytes_total{route}
  metrics::Counter* bytes_out = nullptr;  // response_bytes_total{route}
  RateCells rate;
  FallbackCells fallback;
  ConcurrencyCells concurrency;
  const ErrorPages* error_pages = nullptr;  // of its generation; nullptr: none
  std::array<metrics::Counter*, phases> phase{};  // request_phase_seconds_total{route,phase}
  std::array<metrics::Counter*, sides> slow{};  // requests_slow_total{route,limited_by}
};

struct UpstreamCells {
  metrics::Histogram* duration = nullptr;  // upstream_request_duration_seconds{upstream}
  metrics::Counter* first_tries = nullptr;  // upstream_tries_total{upstream,kind}
  metrics::Counter* further_tries = nullptr;
  metrics::Counter* race_replayed = nullptr;  // upstream_idle_races_total{upstream,outcome}
  metrics::Counter* race_lost = nullptr;
};

// Why a request was refused for want of room: requests_shed_total{reason,priority}.
enum class Shed : uint8_t { late, max_memory };
inline constexpr size_t shed_reasons = static_cast<size_t>(Shed::max_memory) + 1;

// Counts that do not change with the configuration. Cells of this worker, filled by the runtime.
class Meter {
 public:
  virtual void local_reply(http::Kind kind) = 0;
  virtual void shed(Shed why, http::Lane lane) = 0;
  virtual void protocol_error(http::Where side, http::Detail detail) = 0;
  // The request that began last was a balancer's question (health_path).
  virtual void health_asked() = 0;

 protected:
  ~Meter() = default;
};

inline constexpr uint32_t no_route = UINT32_MAX;

// A configuration may have thousands of routes and upstreams of which a worker's requests use a few. What a route or an
// upstream needs here is made when the first request comes to it, so that a reload costs a worker what it uses.
class Site {
 public:
  // Owned by the worker, which makes what is asked for, and is told when an exchange, or who else uses it, let go.
  class Owner {
   public:
    virtual void on_site_let_go(Site& site) = 0;
    // Once for each; `route` may be no_route, which has cells of its own.
    virtual RouteCells make_route_cells(const Site& site, uint32_t route) = 0;
    virtual UpstreamCells make_upstream_cells(const Site& site, uint32_t upstream) = 0;
    virtual metrics::Counter& cut_cell(const Site& site, uint32_t route, http::Where by, http::Kind kind) = 0;
    virtual metrics::Counter& error_cell(const Site& site, uint32_t upstream, http::Kind kind) = 0;
    virtual metrics::Counter& retry_cell(const Site& site, uint32_t upstream, RetryCause cause, bool helped) = 0;
    virtual metrics::Counter& refused_cell(const Site& site, uint32_t upstream, NotRepeated why) = 0;
    // Valid as long as the site is.
    virtual upstream::Cluster& make_cluster(const Site& site, uint32_t upstream) = 0;

   protected:
    ~Owner() = default;
  };
  Site(Owner& owner, const route::Router& by, size_t routes, size_t upstreams, metrics::RequestCounters counters)
      : router(by),
        requests(std::move(counters)),
        owner_(owner),
        routes_(routes + 1),
        cuts_(routes + 1),
        upstreams_(upstreams) {}
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  void ref() { ++count_; }
  void unref() {
    DCHECK(count_ > 0);
    --count_;
    owner_.on_site_let_go(*this);
  }
  bool unused() const { return count_ == 0; }

  // By index in the snapshot; no_route is one, too.
  const RouteCells& route(uint32_t index) {
    RouteCells& cells = index == no_route ? routes_.back() : routes_[index];
    if (cells.duration == nullptr) cells = owner_.make_route_cells(*this, index);
    return cells;
  }
  const UpstreamCells& upstream(uint32_t index) {
    Used& used = upstreams_[index];
    if (used.cells.duration == nullptr) used.cells = owner_.make_upstream_cells(*this, index);
    return used.cells;
  }
  upstream::Cluster& cluster(uint32_t index) {
    Used& used = upstreams_[index];
    if (used.cluster == nullptr) used.cluster = &owner_.make_cluster(*this, index);
    return *used.cluster;
  }
  // The body of a page, made once a site: answers refer to it and copy nothing. Not empty.
  const net::Slice& bytes_of(const ErrorPage& page);
  // An answer that had begun broke off: responses_cut_total{route,by,reason}.
  void count_cut(uint32_t route, http::Where by, http::Kind kind) {
    std::unique_ptr<CutCells>& cells = cuts_[route == no_route ? cuts_.size() - 1 : route];
    if (cells == nullptr) cells = std::make_unique<CutCells>();
    metrics::Counter*& cell = (*cells)[static_cast<size_t>(by)][static_cast<size_t>(kind)];
    if (cell == nullptr) cell = &owner_.cut_cell(*this, route, by, kind);
    cell->add();
  }
  // An attempt failed: upstream_errors_total{upstream,reason}.
  void count_error(uint32_t upstream, http::Kind kind) {
    std::unique_ptr<ErrorCells>& cells = upstreams_[upstream].errors;
    if (cells == nullptr) cells = std::make_unique<ErrorCells>();
    metrics::Counter*& cell = (*cells)[static_cast<size_t>(kind)];
    if (cell == nullptr) cell = &owner_.error_cell(*this, upstream, kind);
    cell->add();
  }

  // A further try ended: upstream_retries_total{upstream,reason,outcome}.
  void count_retry(uint32_t upstream, RetryCause cause, bool helped) {
    Retries& cells = retries_of(upstream);
    metrics::Counter*& cell = cells.made[static_cast<size_t>(cause)][helped ? 1 : 0];
    if (cell == nullptr) cell = &owner_.retry_cell(*this, upstream, cause, helped);
    cell->add();
  }
  // There was none: upstream_retries_refused_total{upstream,why}.
  void count_refused(uint32_t upstream, NotRepeated why) {
    metrics::Counter*& cell = retries_of(upstream).refused[static_cast<size_t>(why)];
    if (cell == nullptr) cell = &owner_.refused_cell(*this, upstream, why);
    cell->add();
  }

  const route::Router& router;
  metrics::RequestCounters requests;  // requests_total{listener,route,method,code}
  std::vector<ListenerSite> listeners;  // by index in the snapshot
  const LogPlan* log_plan = nullptr;  // of its generation; nullptr: nothing is logged

 private:
  using ErrorCells = std::array<metrics::Counter*, http::kinds>;
  using CutCells = std::array<std::array<metrics::Counter*, http::kinds>, http::wheres>;
  struct Retries {
    std::array<std::array<metrics::Counter*, 2>, retry_causes> made{};  // failed, then success
    std::array<metrics::Counter*, not_repeated_words> refused{};
  };
  struct Used {
    UpstreamCells cells;
    upstream::Cluster* cluster = nullptr;
    std::unique_ptr<ErrorCells> errors;
    std::unique_ptr<Retries> retries;
  };
  Retries& retries_of(uint32_t upstream) {
    std::unique_ptr<Retries>& cells = upstreams_[upstream].retries;
    if (cells == nullptr) cells = std::make_unique<Retries>();
    return *cells;
  }
  Owner& owner_;
  std::vector<RouteCells> routes_;  // the last one: requests without a route
  std::vector<std::unique_ptr<CutCells>> cuts_;  // likewise
  std::vector<Used> upstreams_;
  std::unordered_map<const ErrorPage*, net::Slice> page_bytes_;
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
  const std::atomic<Standing>& standing;  // of the process
  Answers& answers;
  HeldWatch& held;
  Overload& overload;
  Recent& recent;
};

}  // namespace sluice::exchange
