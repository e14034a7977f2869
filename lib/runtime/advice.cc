#include "runtime/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sluice::runtime {
namespace {

constexpr double near_share = 0.8;  // of a limit
constexpr base::Micros full_soon{600'000'000};
constexpr base::Micros held_long{60'000'000};
constexpr std::int64_t a_day = 24 * 3'600;

double ms(base::Micros span) { return static_cast<double>(span.count) / 1e3; }

std::string span_text(std::int64_t seconds) {
  if (seconds >= 2 * a_day) return fmt::format("{} d", seconds / a_day);
  if (seconds >= 2 * 3'600) return fmt::format("{} h", seconds / 3'600);
  return seconds >= 120 ? fmt::format("{} min", seconds / 60) : fmt::format("{} s", seconds);
}

using List = std::vector<Advice>;

void pool(const UpstreamFacts& u, List& to) {
  const double each = u.capacity.requests_each();
  const double needs = std::ceil(u.load.recommended / each);
  const auto endpoints = static_cast<double>(std::max(u.capacity.endpoints, 1u));
  const std::string answers =
      u.load.service.count == 0 ? "" : fmt::format("; it answers in {:.1f} ms, as usual", ms(u.load.service));
  if (u.pool == upstream::Advice::raise_max_connections)
    to.push_back({"pool_small",
                  u.name,
                  fmt::format("{} needs about {:.0f} connections and may have {} ({} wait): set pool.max_connections = "
                              "{:.0f} in its [upstream.pool], or add endpoints{}",
                              u.name, needs, u.capacity.connections, u.waiting, std::ceil(needs / endpoints), answers),
                  Grade::warning,
                  {}});
  if (u.pool == upstream::Advice::upstream_slow)
    to.push_back({"upstream_slow",
                  u.name,
                  fmt::format("{} answers in {:.1f} ms, usually {:.1f} ms, and {} wait: more connections would add to "
                              "its load (it needs {:.0f} now and may have {})",
                              u.name, ms(u.load.service), ms(u.load.usual), u.waiting, needs, u.capacity.connections),
                  Grade::warning,
                  {}});
}

void endpoints(const UpstreamFacts& u, List& to) {
  if (u.endpoints == 0)
    to.push_back({"no_endpoint", u.name,
                  fmt::format("{} has no endpoint: its requests get 503 no_endpoint; its names do not resolve, or to "
                              "nothing",
                              u.name),
                  Grade::warning, base::Millis{2'000}});
  if (u.out != 0) {
    std::string who;
    for (const EndpointFacts& e : u.listed) who += fmt::format("{}{} {}", who.empty() ? "" : ", ", e.name, e.why);
    if (u.out > u.listed.size()) who += fmt::format(", and {} more", u.out - u.listed.size());
    to.push_back({"endpoints_out",
                  u.name,
                  fmt::format("{} of {} endpoints of {} get no requests: {}", u.out, u.endpoints, u.name, who),
                  Grade::warning,
                  {}});
  }
  if (u.panic)
    to.push_back(
        {"panic",
         u.name,
         fmt::format("fewer than {} % of the endpoints of {} are healthy (panic_threshold): health is ignored, "
                     "all {} get requests",
                     u.panic_threshold, u.name, u.endpoints),
         Grade::warning,
         {}});
  if (u.held != 0 && u.held_for >= held_long)
    to.push_back({"old_address_held",
                  u.name,
                  fmt::format("{} connections of {} still use addresses that have left it, {} for {}: GET "
                              "/debug/requests names who holds them",
                              u.held, u.name, u.held_by, span_text(u.held_for.count / 1'000'000)),
                  Grade::notice,
                  {}});
  if (u.failing != 0 && !u.checked)
    to.push_back({"unchecked", u.name,
                  fmt::format("{} of {} endpoints of {} fail, and nothing checks them: add [upstream.health]",
                              u.failing, u.endpoints, u.name),
                  Grade::notice, base::Millis{10'000}});
}

void names(const AdviceFacts& facts, List& to) {
  for (const NameFacts& n : facts.names) {
    if (!n.known) {
      to.push_back({"name_unresolved", n.name,
                    fmt::format("{} has never been resolved: {} ({} times in a row); see [dns] servers", n.name,
                                n.error, n.failures),
                    Grade::warning, base::Millis{2'000}});
      continue;
    }
    const bool half = n.stale_for.count * 2 >= facts.stale_max.count;
    to.push_back({"name_stale", n.name,
                  fmt::format("{} is not resolved: {} ({} times in a row); the last addresses are served for {}, {} at "
                              "most (dns.stale_max)",
                              n.name, n.error, n.failures, span_text(n.stale_for.count / 1'000),
                              span_text(facts.stale_max.count / 1'000)),
                  half ? Grade::warning : Grade::notice, base::Millis{5'000}});
  }
}

// By the share of its lifetime that is left: six days are a long life for some, and a short rest for others.
void certificates(const AdviceFacts& facts, List& to) {
  for (const CertificateLife& c : facts.certificates) {
    const std::int64_t left = c.not_after - facts.now;
    const std::int64_t life = std::max<std::int64_t>(c.not_after - c.not_before, 1);
    if (left * 3 > life) continue;
    const std::string ends = left <= 0 ? fmt::format("ended {} ago", span_text(-left))
                                       : fmt::format("ends in {} of {}", span_text(left), span_text(life));
    to.push_back({"certificate_ends",
                  c.name,
                  fmt::format("certificate {} {}: renew {} and reload (SIGHUP)", c.name, ends, c.file),
                  left * 10 <= life ? Grade::warning : Grade::notice,
                  {}});
  }
}

void limits(const AdviceFacts& facts, List& to) {
  for (const LimitFacts& l : facts.limits) {
    const bool soon = l.runs_out && *l.runs_out < full_soon;
    if (l.most <= 0 || (l.used < near_share * l.most && !soon)) continue;
    const std::string when = l.runs_out ? ", full in " + span_text(l.runs_out->count / 1'000'000) : "";
    to.push_back({"limit_near",
                  l.resource == "ports" ? l.subject : std::string(l.resource),
                  fmt::format("{:.0f} % of {} are used, {:.0f} of {:.0f}{}: {}", 100 * l.used / l.most,
                              l.resource == "ports" ? "the local ports " + l.subject : std::string(l.resource), l.used,
                              l.most, when, l.fix),
                  Grade::warning,
                  {}});
  }
}

void configuration(const AdviceFacts& facts, List& to) {
  for (const config::Waiting& one : facts.waiting) {
    to.push_back(
        {"restart_pending",
         one.key,
         fmt::format("the file says {} = {}, which only a restart takes: the running value stays", one.key, one.value),
         Grade::notice,
         {}});
  }
  if (!facts.refused.empty())
    to.push_back({"reload_refused",
                  "configuration",
                  fmt::format("the last reload was refused, what was in force stays: {}", facts.refused),
                  Grade::warning,
                  {}});
  if (!facts.file_in_force)
    to.push_back({"rolled_back",
                  "configuration",
                  "the file is not what runs: it was rolled back, and a reload or a restart takes it again",
                  Grade::warning,
                  {}});
  if (facts.trial_left)
    to.push_back({"confirmation_awaited",
                  "configuration",
                  fmt::format("the last reload is taken back in {}, unless POST /confirm comes",
                              span_text(facts.trial_left->count / 1'000'000)),
                  Grade::notice,
                  {}});
}

}  // namespace

std::vector<Advice> advise(const AdviceFacts& facts) {
  List all;
  if (facts.draining && facts.drain_connections != 0)
    all.push_back({"drain",
                   "process",
                   fmt::format("draining: {} connections are left, they are cut in {} (drain.deadline)",
                               facts.drain_connections, span_text(facts.drain_left.count / 1'000'000)),
                   Grade::notice,
                   {}});
  for (const UpstreamFacts& u : facts.upstreams) {
    pool(u, all);
    endpoints(u, all);
  }
  names(facts, all);
  certificates(facts, all);
  limits(facts, all);
  configuration(facts, all);
  advise_on(facts.activity, facts.routes, all);
  if (facts.log_dropped != 0)
    all.push_back({"log_dropped",
                   "log",
                   fmt::format("{} lines of the logs were dropped in the last second: their output takes too little",
                               facts.log_dropped),
                   Grade::warning,
                   {}});
  std::ranges::stable_sort(all, std::ranges::greater{}, &Advice::grade);
  return all;
}

}  // namespace sluice::runtime
