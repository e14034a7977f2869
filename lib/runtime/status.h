// GET /status: the state of the process as JSON. Pure: from values to text.
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "admin/backend.h"
#include "admin/query.h"
#include "dns/directory.h"
#include "runtime/advice.h"
#include "runtime/arrivals.h"
#include "runtime/confirmation.h"
#include "runtime/drain.h"
#include "runtime/generation.h"
#include "runtime/holders.h"
#include "runtime/port_forecast.h"
#include "runtime/rates.h"
#include "upstream/cluster_impl.h"

namespace sluice::runtime {

// What the process shares of an upstream, at the moment of the snapshot.
struct UpstreamView {
  struct Class {
    std::string name;
    uint64_t in_flight = 0, limit = 0, waiting = 0;
  };
  upstream::Advisor::View load;
  upstream::Capacity capacity;
  std::vector<Class> classes;
  base::Micros oldest_wait{};  // of what waits at its caps
  bool checked = false;  // it has [upstream.health]
};
UpstreamView view_of(const Backing& backing, base::Micros now);

// What is in force, and what became of the last reload.
struct ConfigurationFacts {
  uint64_t generation = 0;
  base::Micros loaded{}, tried{};  // on the wall's clock; tried later than loaded: the last reload was refused
  std::string changes, refused;  // of the last reload
};

struct StatusFacts {
  static constexpr size_t routes_most = 100;
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
  std::vector<UpstreamView> upstreams;
  std::vector<std::vector<uint32_t>> listener_connections;     // [worker][listener]
  std::vector<dns::NameStatus> names;
  std::string advice = "[]";                                   // as JSON: Observer's
  std::vector<PortRow> ports;                                  // the fullest first
  base::Micros wall{};                                         // now
  std::vector<base::Micros> worker_ages;                       // of what each worker said; -1: nothing yet
  Holders holders;                                             // while it drains
  std::string log_level;
  base::Micros log_level_left{};                               // until it comes back; 0: it is the configuration's
  uint32_t connections_most = 0;
  Rate all;                                                    // of the last ten seconds
  std::vector<std::pair<std::string, Rate>> routes;            // likewise; the busiest routes_most
  std::vector<LimitFacts> limits;
  ConfigurationFacts configuration;
};

// What is asked for of it. Empty: all.
struct StatusView {
  std::string part;                                            // one of status_parts()
  std::string upstream;                                        // only this one
  base::Micros age{};                                          // of the facts, now
  bool shows(std::string_view which) const { return part.empty() || part == which; }
};

// Above this age the figures of a worker are told to be old.
inline constexpr base::Millis word_is_old{2'000};

// One endpoint over all workers: what each of them counts is summed, what the process shares is the same in each.
struct EndpointRow {
  const upstream::EndpointStatus* of = nullptr;
  uint64_t connecting = 0, active = 0, idle = 0;
  uint64_t answers = 0, answers_5xx = 0, errors = 0, head_micros = 0;
};
// Of one upstream, as each worker says it; an endpoint that leaves may be known to one of them alone.
std::vector<EndpointRow> endpoint_rows(const std::vector<const upstream::ClusterStatus*>& workers);

std::span<const std::string_view> status_parts();
// The error is a sentence that says what would be right.
std::expected<StatusView, std::string> read_status_view(const admin::Query& query, const Generation& generation);
std::string status_json(const Generation& generation, const StatusFacts& facts, const StatusView& view);

}  // namespace sluice::runtime
