// PortWatch: looks every few seconds how many local ports are left towards the endpoints of all upstreams, and how many
// connections wait to be accepted at the listeners, on the helper's thread: metrics, /status, and what the observer
// advises when one becomes short.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/timer.h"
#include "runtime/control_env.h"
#include "runtime/generation.h"
#include "runtime/port_forecast.h"

namespace sluice::runtime {

class PortWatch {
 public:
  using Read = std::function<base::Result<PortsSeen>(const PortsWanted& wanted)>;
  static constexpr base::Millis every{5'000};

  // `read`: read_local_ports(); empty: nobody looks (simulations). `in_force`: as of each look.
  PortWatch(ControlEnv& env, Read read, const GenerationPtr& in_force);
  PortWatch(const PortWatch&) = delete;
  PortWatch& operator=(const PortWatch&) = delete;

  void begin();  // once, when a generation is in force
  const std::vector<PortRow>& rows() const { return forecast_.rows(); }
  struct Queue {
    std::string listener;
    std::uint32_t waiting = 0;
    std::uint32_t most = 0;
  };
  const std::vector<Queue>& queues() const { return queues_; }  // of listeners on TCP

 private:
  void look();
  void on_seen(const base::Result<PortsSeen>& seen);
  PortsWanted wanted() const;
  void sum_queues(const std::vector<AcceptQueue>& seen);
  using Subject = std::pair<std::string_view, std::string>;  // resource (a literal) and subject
  void show(const Subject& what, double used, double most, std::optional<base::Micros> runs_out);
  void forget(const Subject& what);

  ControlEnv& env_;
  Read read_;
  const GenerationPtr& in_force_;
  PortForecast forecast_;
  std::vector<Queue> queues_;
  std::set<Subject> shown_;  // with series
  bool told_blind_ = false;
  net::Timer timer_;
};

}  // namespace sluice::runtime
