// HealthChecker: active checks of one upstream's endpoints (`[upstream.health]`), on the control thread's loop. Each
// check makes a connection of its own, asks (http, grpc) or only connects (tcp, TLS included if the upstream has it),
// and closes. A new endpoint counts as healthy until `unhealthy_after` checks in a row have failed: a start must not
// wait for checks, and a request that meets a dead endpoint before that is retried elsewhere. Owned by control.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "upstream/balancer.h"
#include "upstream/connector.h"
#include "upstream/options.h"
#include "upstream/shared.h"

namespace sluice::upstream {

class HealthListener {
 public:
  // The bit of the endpoint has changed. Down: every worker gets ClusterImpl::endpoint_down(endpoint.id()).
  virtual void on_health(const SharedUpstream& upstream, const SharedEndpoint& endpoint, Health health) = 0;

 protected:
  ~HealthListener() = default;
};

// Is `status` in one of the ranges?
bool expected(const std::vector<StatusRange>& ranges, std::uint16_t status);

// The run of good and bad checks of one endpoint; says when the bit must change. Starts healthy.
class Verdict {
 public:
  // True if `health()` changed.
  bool note(Health seen, const HealthOptions& options);
  Health health() const { return health_; }
  std::uint32_t in_a_row() const { return in_a_row_; }

 private:
  Health health_ = Health::up;
  std::uint32_t in_a_row_ = 0;  // checks in a row that contradict health_
};

class HealthChecker {
 public:
  struct Setup {
    net::Loop& loop;
    std::shared_ptr<SharedUpstream> upstream;
    HealthListener& listener;
    std::uint64_t seed = 0;  // jitter
  };
  explicit HealthChecker(const Setup& setup);
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;
  ~HealthChecker();  // checks under way are abandoned

  // At first, and after every reload or change of the set: endpoints that stay keep their run of checks.
  // `options.health` empty (checks switched off): endpoints that were down are up again. `connector`: nullptr keeps the
  // one before. A check under way is let go of only if what is asked, or the way there, changed; a shorter interval
  // counts from the check before.
  void update(std::shared_ptr<const UpstreamOptions> options, const EndpointSetPtr& set,
              std::unique_ptr<Connector> connector);
  // DNS changed the set, and nothing else: checks under way of those that stay go on.
  void set_endpoints(const EndpointSetPtr& set);

  struct Status {
    std::string endpoint;
    Health health = Health::up;
    std::string last_error;  // of the last check; "" = it was good, or there was none yet
  };
  std::vector<Status> status() const;

 private:
  class Probe;
  friend class Probe;
  void judge(Probe& probe, Health seen);
  std::uint32_t jitter();  // per mille of the interval
  base::Millis interval(std::uint32_t permille) const;

  net::Loop& loop_;
  std::shared_ptr<SharedUpstream> upstream_;
  HealthListener& listener_;
  Random random_;
  std::shared_ptr<const UpstreamOptions> options_;
  std::unique_ptr<Connector> connector_;
  std::vector<std::unique_ptr<Probe>> probes_;
};

}  // namespace sluice::upstream
