// Readiness: from the start until the process may get traffic: every worker has the configuration, DNS has answered for
// every name, every pool holds its min_idle; at most warm_timeout.
#pragma once

#include <cstdint>

#include "exchange/standing.h"
#include "net/timer.h"
#include "runtime/control_env.h"
#include "runtime/discovery.h"
#include "runtime/epochs.h"

namespace sluice::runtime {

class Readiness {
 public:
  Readiness(ControlEnv& env, const Discovery& discovery, const Epochs& epochs);
  // Once, when the first generation is published.
  void begin(base::Millis warm_timeout);
  // starting, warming or ready: what holds unless we are deregistered or leave.
  exchange::Standing now() const;
  base::Micros started() const { return started_; }

 private:
  void look();
  void ask_warm();
  void tell();

  ControlEnv& env_;
  const Discovery& discovery_;
  const Epochs& epochs_;
  net::Timer timer_;
  base::Micros started_;
  base::Micros limit_{};
  bool asked_ = false;
  bool warm_ = false;
};

}  // namespace sluice::runtime
