// The metric cells that control writes: drain, reloads, certificates, build, the log's losses.
#pragma once

#include <set>
#include <string>

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
  void reloaded(bool good);
  void rolled_back();
  void on_turn(base::Micros took) override { turn_.observe(took); }
  void certificates(const Generation& generation);   // of this one, and no others, in the scrape
  void log_dropped(const exchange::AccessLog* access);   // computed at each scrape; nullptr: there is no access log

 private:
  metrics::Registry& registry_;
  metrics::Gauge& phase_;
  metrics::Gauge& seconds_left_;
  metrics::Gauge& remaining_;
  metrics::Gauge& deregistered_;
  metrics::Counter& reload_good_;
  metrics::Counter& reload_bad_;
  metrics::Counter& rolled_back_;
  metrics::Gauge& last_good_;
  metrics::Histogram& turn_;
  std::set<std::string> certificates_;            // that have a series
};

}  // namespace sluice::runtime
