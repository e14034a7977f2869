// The part of Advice that judges by what happened in the last ten seconds. See advice.h.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/advice.h"

namespace sluice::runtime {
namespace {

constexpr double starved_share = 0.05;  // of a worker's time without a processor
constexpr double throttled_share = 0.01;
constexpr double client_share = 0.5;  // of a route's time
constexpr std::uint64_t requests_least = 10;  // fewer say nothing about a route,
constexpr std::uint64_t time_least = 1'000'000;  // nor less of its time, microseconds,
constexpr double retries_least = 20;  // or about retries
constexpr double retries_many = 0.1;  // of all tries
constexpr double retries_help = 0.2;  // of those made
constexpr base::Millis lasting{5'000};

using Kind = ActivityKey::Kind;
using List = std::vector<Advice>;

void worker(const std::string& name, const Figures& f, double seconds, List& to) {
  if (f[Figures::run_delay] <= starved_share * seconds) return;
  to.push_back(
      {"proxy_starved", "worker " + name,
       fmt::format("worker {} waited {:.1f} of the last {:.0f} s for a processor: give sluice more CPU (cpu.max, "
                   "other processes), or fewer [runtime] workers; times of upstreams do not contain it",
                   name, f[Figures::run_delay], seconds),
       Grade::warning, lasting});
}

void process(const Figures& f, double seconds, List& to) {
  if (f[Figures::throttled] <= throttled_share * seconds) return;
  to.push_back({"proxy_starved", "cgroup",
                fmt::format("the cgroup held threads back for {:.1f} s in the last {:.0f} s: raise its cpu.max (the "
                            "container's CPU limit)",
                            f[Figures::throttled], seconds),
                Grade::warning, lasting});
}

void route(const std::string& name, const RouteCounts& counts, double seconds, List& to) {
  std::uint64_t all = 0;
  for (const std::uint64_t in_phase : counts.phase) all += in_phase;
  const double share = static_cast<double>(counts.phase[static_cast<std::size_t>(exchange::Phase::client_write)]) /
                       static_cast<double>(std::max<std::uint64_t>(all, 1));
  if (counts.requests < requests_least || all < time_least || share <= client_share) return;
  to.push_back(
      {"client_slow", name,
       fmt::format(
           "{:.0f} % of the time of route {} was spent on clients that took their answers slowly ({} requests in "
           "{:.0f} s): it is neither sluice nor the upstream",
           100 * share, name, counts.requests, seconds),
       Grade::notice, lasting});
}

void retries(const std::string& name, const Figures& f, double seconds, List& to) {
  const double ended = f[Figures::retries_ended];
  if (ended >= retries_least && f[Figures::further_tries] > retries_many * f[Figures::tries] &&
      f[Figures::retries_helped] < retries_help * ended)
    to.push_back({"retries_useless",
                  name,
                  fmt::format("{:.0f} of {:.0f} tries at {} were further ones in the last {:.0f} s, and {:.0f} % of "
                              "them helped: they only add load; lower retry.attempts or retry.budget, or mend it",
                              f[Figures::further_tries], f[Figures::tries], name, seconds,
                              100 * f[Figures::retries_helped] / ended),
                  Grade::warning,
                  {}});
  if (f[Figures::over_budget] > 0)
    to.push_back(
        {"retries_capped",
         name,
         fmt::format("{:.0f} further tries at {} were refused in the last {:.0f} s, as retry.budget is used up: "
                     "more fails than retries can hide",
                     f[Figures::over_budget], name, seconds),
         Grade::notice,
         {}});
}

void connects(const std::string& name, const Figures& f, double seconds, List& to) {
  const auto say = [&](std::string_view code, Figures::Of what, std::string_view text) {
    if (f[what] == 0) return;
    to.push_back({code,
                  name,
                  fmt::format("{:.0f} tries at {} in the last {:.0f} s {}", f[what], name, seconds, text),
                  Grade::warning,
                  {}});
  };
  say("no_local_port", Figures::no_local_port,
      "found no local port: widen net.ipv4.ip_local_port_range, add source_addresses, or let connections live longer");
  say("no_descriptor", Figures::no_descriptor,
      "found no file descriptor: raise the limit of open files (RLIMIT_NOFILE)");
  say("connects_hang", Figures::connect_timeouts,
      "were not connected within pool.connect_timeout: a host is gone, or a firewall drops what is sent to it");
}

}  // namespace

void advise_on(const ActivityWindow& activity, const Counted& routes, std::vector<Advice>& to) {
  if (activity.seconds <= 0) return;
  for (const auto& [name, counts] : routes) route(name, counts, activity.seconds, to);
  for (const auto& [key, figures] : activity.counts) {
    switch (key.kind) {
      case Kind::upstream:
        retries(key.name, figures, activity.seconds, to);
        connects(key.name, figures, activity.seconds, to);
        break;
      case Kind::worker: worker(key.name, figures, activity.seconds, to); break;
      case Kind::process: process(figures, activity.seconds, to); break;
    }
  }
}

}  // namespace sluice::runtime
