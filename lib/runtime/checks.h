// Checks: the health checks of all upstreams, on control's loop. Those of one upstream go on over reloads.
#pragma once

#include <memory>
#include <unordered_map>

#include "runtime/control_env.h"
#include "runtime/generation.h"
#include "upstream/health_probe.h"

namespace sluice::runtime {

class Checks final : private upstream::HealthListener {
 public:
  // `network`: what they connect by.
  Checks(ControlEnv& env, net::Network& network) : env_(env), network_(network) {}
  // Of this generation from now on; what left the configuration is checked no more.
  void place(const Generation& generation, const EndpointSets& sets);
  // DNS changed the endpoints of one.
  void set_endpoints(const upstream::SharedUpstream& upstream, const upstream::EndpointSetPtr& set);

 private:
  void on_health(const upstream::SharedUpstream& upstream, const upstream::SharedEndpoint& endpoint,
                 upstream::Health health) override;

  struct Placement {
    std::unique_ptr<upstream::HealthChecker> checker;
    UpstreamOptionsPtr options;
    upstream::WayPtr way;  // of its connector
  };
  void place(const Backing& backing, const upstream::EndpointSetPtr& set);

  ControlEnv& env_;
  net::Network& network_;
  std::unordered_map<const upstream::SharedUpstream*, Placement> checkers_;  // of upstreams that have checks
};

}  // namespace sluice::runtime
