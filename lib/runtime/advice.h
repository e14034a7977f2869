// Advice: what an operator should know now, in sentences that carry their figures and the key to set. Pure: from facts,
// which Observer gathers once a second, to sentences. Every sentence names its evidence; without it there is none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "config/diff.h"
#include "runtime/activity.h"
#include "runtime/rates.h"
#include "upstream/load.h"
#include "upstream/shared.h"

namespace sluice::runtime {

enum class Grade : std::uint8_t { notice, warning };

struct Advice {
  std::string_view code;  // a word of a closed list, docs/observability.md: label `code` of the metric
  std::string subject;  // what it is about: an upstream, a name, a certificate, a limit
  std::string text;  // one sentence or two, without a full stop of its own at the end
  Grade grade = Grade::warning;
  base::Millis after{0};  // the cause has to last for so long before it is said
};

struct EndpointFacts {
  std::string name;
  std::string_view why;  // "down (its checks fail)", ...
};

// An upstream with which something may be wrong.
struct UpstreamFacts {
  static constexpr std::size_t listed_most = 5;
  std::string name;
  std::size_t endpoints = 0;
  std::size_t out = 0;  // that get no requests,
  std::size_t failing = 0;  // and of these and the others: whose last request or connect failed
  std::vector<EndpointFacts> listed;  // the first of those that are out
  bool panic = false;
  std::uint32_t panic_threshold = 0;  // percent
  bool checked = false;  // [upstream.health] is there
  std::uint32_t waiting = 0;
  upstream::Advice pool = upstream::Advice::none;
  upstream::Advisor::View load;
  upstream::Capacity capacity;
  // Of addresses that have left it, by an answer of DNS or a reload, and still have connections:
  std::uint32_t held = 0;  // connections
  std::string held_by;  // the address that left first
  base::Micros held_for{};  // since then
};

struct NameFacts {
  std::string name;
  std::string error;  // of the last query
  std::uint32_t failures = 0;  // in a row
  bool known = false;  // addresses are served
  base::Millis stale_for{0};
};

struct CertificateLife {
  std::string name;
  std::string file;
  std::int64_t not_before = 0;  // Unix seconds, likewise the next
  std::int64_t not_after = 0;
};

// Something that runs out: used of most.
struct LimitFacts {
  std::string_view resource;  // "client_connections", "memory", "ports"
  std::string subject;  // "process", "10.0.0.1>10.0.0.2:80"
  std::string fix;  // what to do, as the end of a sentence
  double used = 0;
  double most = 0;
  std::optional<base::Micros> runs_out;  // if it goes on as now; none: it does not rise
};

struct AdviceFacts {
  std::int64_t now = 0;  // Unix seconds
  std::vector<UpstreamFacts> upstreams;
  std::vector<NameFacts> names;
  base::Millis stale_max{0};
  std::vector<CertificateLife> certificates;
  std::vector<LimitFacts> limits;
  std::vector<config::Waiting> waiting;  // for a restart
  std::string refused;  // what was wrong with the last reload; "" = nothing
  bool file_in_force = true;
  std::optional<base::Micros> trial_left;  // until a reload on trial is taken back
  std::uint64_t log_dropped = 0;  // lines, since the facts before these
  bool draining = false;
  std::uint64_t drain_connections = 0;
  base::Micros drain_left{};
  ActivityWindow activity;
  Counted routes;  // what came in that window
};

std::vector<Advice> advise(const AdviceFacts& facts);
// A part of it.
void advise_on(const ActivityWindow& activity, const Counted& routes, std::vector<Advice>& to);

}  // namespace sluice::runtime
