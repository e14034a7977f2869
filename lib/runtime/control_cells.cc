#include "runtime/control_cells.h"

#include <utility>

#include "base/log_thread.h"
#include "base/pages.h"
#include "exchange/access_log.h"
#include "runtime/cpus.h"
#include "runtime/version.h"

namespace sluice::runtime {

using metrics::Name;

ControlCells::ControlCells(metrics::Registry& registry)
    : registry_(registry),
      phase_(registry.gauge(Name::drain_phase, {}, registry.control())),
      seconds_left_(registry.gauge(Name::drain_seconds_left, {}, registry.control())),
      remaining_(registry.gauge(Name::drain_remaining, {"connections"}, registry.control())),
      deregistered_(registry.gauge(Name::deregistered, {}, registry.control())),
      reload_good_(registry.counter(Name::config_reloads_total, {"ok"}, registry.control())),
      reload_bad_(registry.counter(Name::config_reloads_total, {"failed"}, registry.control())),
      rolled_back_(registry.counter(Name::config_reloads_total, {"rolled_back"}, registry.control())),
      last_good_(registry.gauge(Name::config_last_reload_success, {}, registry.control())),
      loaded_at_(registry.gauge(Name::config_last_load_timestamp_seconds, {}, registry.control())),
      tried_at_(registry.gauge(Name::config_last_attempt_timestamp_seconds, {}, registry.control())),
      restart_pending_(registry.gauge(Name::config_restart_pending, {}, registry.control())),
      turn_(registry.histogram(Name::control_turn_seconds, {}, registry.control())) {
  last_good_.set(1);
  registry.gauge(Name::build_info, {version()}, registry.control()).set(1);
  registry.computed(Name::memory_held_bytes, {}, [] { return static_cast<double>(base::Pages::held()); });
  if (Throttling throttling; throttling.known()) {
    registry.computed(Name::cpu_throttled_seconds_total, {},
                      [throttling = std::move(throttling)] { return throttling.seconds(); });
  }
  registry.computed(Name::memory_limit_bytes, {}, [] { return static_cast<double>(base::MemoryLimit::bytes()); });
}

void ControlCells::drain(DrainPhase phase, base::Micros left, uint64_t connections) {
  phase_.set(phase == DrainPhase::gone ? 3 : static_cast<double>(phase));
  seconds_left_.set(left.seconds());
  remaining_.set(static_cast<double>(phase == DrainPhase::serving ? 0 : connections));
}

void ControlCells::deregistered(bool on) { deregistered_.set(on ? 1 : 0); }

void ControlCells::reloaded(bool good, base::Micros wall) {
  loaded_.tried = wall;
  tried_at_.set(wall.seconds());
  (good ? reload_good_ : reload_bad_).add();
  last_good_.set(good ? 1 : 0);
}

void ControlCells::rolled_back() {
  rolled_back_.add();
  last_good_.set(0);
}

void ControlCells::in_force(const Generation& generation, base::Micros wall) {
  loaded_at_.set(wall.seconds());
  loaded_.at = wall;
  if (loaded_.generation == 0) {
    loaded_.tried = wall;
    tried_at_.set(wall.seconds());
  }
  restart_pending_.set(static_cast<double>(generation.waiting.size()));
  if (loaded_.generation != 0) registry_.remove(Name::config_info, {hash_, std::to_string(loaded_.generation)});
  hash_ = generation.hash;
  ++loaded_.generation;
  registry_.gauge(Name::config_info, {hash_, std::to_string(loaded_.generation)}, registry_.control()).set(1);
  certificates(generation);
}

// Of this one, and no others, in the scrape.
void ControlCells::certificates(const Generation& generation) {
  const std::set<std::pair<std::string, std::string>> before = std::exchange(certificates_, {});
  for (const auto& listening : generation.listeners) {
    if (listening->tls == nullptr) continue;
    for (const tls::CertificateFacts& facts : listening->tls->certificates()) {
      registry_
          .gauge(Name::certificate_expiry_timestamp_seconds, {listening->options.name, facts.name}, registry_.control())
          .set(static_cast<double>(facts.not_after));
      certificates_.emplace(listening->options.name, facts.name);
    }
  }
  for (const auto& one : before) {
    if (!certificates_.contains(one))
      registry_.remove(Name::certificate_expiry_timestamp_seconds, {one.first, one.second});
  }
}

void ControlCells::log_dropped(const exchange::AccessLog* access) {
  registry_.computed(Name::log_dropped_total, {"process"}, [] { return static_cast<double>(base::log_dropped()); });
  if (access != nullptr)
    registry_.computed(Name::log_dropped_total, {"access"},
                       [access] { return static_cast<double>(access->dropped()); });
}

}  // namespace sluice::runtime
