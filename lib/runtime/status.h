// GET /status: the state of the process as JSON. Pure: from values to text.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "admin/backend.h"
#include "dns/directory.h"
#include "runtime/arrivals.h"
#include "runtime/confirmation.h"
#include "runtime/drain.h"
#include "runtime/generation.h"
#include "runtime/port_forecast.h"
#include "upstream/cluster_impl.h"

namespace sluice::runtime {

struct StatusFacts {
  admin::Readiness ready;
  DrainPhase phase = DrainPhase::serving;
  bool registered = true;
  base::Micros deregistered_for{};
  Arrivals::Counts arrivals;                                   // of all workers; while not registered
  std::optional<Confirmation> trial;                           // a configuration that waits for POST /confirm
  bool file_in_force = true;                                   // false: rolled back since it was read
  base::Micros now{};
  base::Micros uptime{};
  base::Micros drain_left{};
  uint32_t connections = 0;
  std::vector<std::vector<upstream::ClusterStatus>> workers;   // [worker][upstream]
  std::vector<std::vector<uint32_t>> listener_connections;     // [worker][listener]
  std::vector<dns::NameStatus> names;
  std::string advice = "[]";                                   // as JSON: Observer's
  std::vector<PortRow> ports;                                  // the fullest first
  base::Micros wall{};                                         // now
};

std::string status_json(const Generation& generation, const StatusFacts& facts);

}  // namespace sluice::runtime
