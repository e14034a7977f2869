// PortWatch: looks every few seconds how many local ports are left towards the endpoints of all upstreams, on the
// helper's thread: metrics, /status, and what the observer advises when they become short.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "net/timer.h"
#include "runtime/control_env.h"
#include "runtime/generation.h"
#include "runtime/port_forecast.h"

namespace sluice::runtime {

class PortWatch {
 public:
  using Read = std::function<base::Result<PortsSeen>(const std::vector<net::Address>& destinations)>;
  static constexpr base::Millis every{5'000};

  // `read`: read_local_ports(); empty: nobody looks (simulations). `in_force`: as of each look.
  PortWatch(ControlEnv& env, Read read, const GenerationPtr& in_force);
  PortWatch(const PortWatch&) = delete;
  PortWatch& operator=(const PortWatch&) = delete;

  void begin();  // once, when a generation is in force
  const std::vector<PortRow>& rows() const { return forecast_.rows(); }

 private:
  void look();
  void on_seen(const base::Result<PortsSeen>& seen);
  std::vector<net::Address> destinations() const;

  ControlEnv& env_;
  Read read_;
  const GenerationPtr& in_force_;
  PortForecast forecast_;
  std::set<std::string> shown_;  // subjects with series
  bool told_blind_ = false;
  net::Timer timer_;
};

}  // namespace sluice::runtime
