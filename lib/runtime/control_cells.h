// The metric cells that control writes: drain, reloads, certificates, build, the log's losses.
#pragma once

#include <set>
#include <string>
#include <utility>

#include "metrics/registry.h"
#include "net/loop.h"
#include "runtime/drain.h"
#include "runtime/generation.h"

namespace sluice::exchange {
class AccessLog;
}

namespace sluice::runtime {

class ControlCells : public net::TurnWatch {
 public:
  explicit ControlCells(metrics::Registry& registry);
  void drain(DrainPhase phase, base::Micros left, uint64_t connections);
  void deregistered(bool on);
  void reloaded(bool good, base::Micros wall);
  void in_force(const Generation& generation, base::Micros wall);  // from now on
  void rolled_back();
  // What the series of the configuration say.
  struct Loaded {
    uint64_t generation = 0;
    base::Micros at{}, tried{};  // on the wall's clock
  };
  const Loaded& loaded() const { return loaded_; }
  void on_turn(base::Micros took) override { turn_.observe(took); }
  void log_dropped(const exchange::AccessLog* access);   // computed at each scrape; nullptr: there is no access log

 private:
  void certificates(const Generation& generation);

  metrics::Registry& registry_;
  metrics::Gauge& phase_;
  metrics::Gauge& seconds_left_;
  metrics::Gauge& remaining_;
  metrics::Gauge& deregistered_;
  metrics::Counter& reload_good_;
  metrics::Counter& reload_bad_;
  metrics::Counter& rolled_back_;
  metrics::Gauge& last_good_;
  metrics::Gauge& loaded_at_;
  metrics::Gauge& tried_at_;
  metrics::Gauge& restart_pending_;
  metrics::Histogram& turn_;
  std::set<std::pair<std::string, std::string>> certificates_;  // that have a series: listener, name
  Loaded loaded_;
  std::string hash_;                                            // of what is in force: a label of config_info
};

}  // namespace sluice::runtime
