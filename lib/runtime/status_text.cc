#include "runtime/status_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <ranges>
#include <string_view>

#include "base/log.h"
#include "base/text.h"
#include "runtime/version.h"

namespace sluice::runtime {
namespace {

using upstream::ClusterStatus;
using upstream::EndpointStatus;

std::string span_text(base::Micros span) {
  const std::int64_t s = span.count / 1'000'000;
  if (s >= 2 * 86'400) return fmt::format("{} d {} h", s / 86'400, s % 86'400 / 3'600);
  if (s >= 2 * 3'600) return fmt::format("{} h {} min", s / 3'600, s % 3'600 / 60);
  return s >= 120 ? fmt::format("{} min", s / 60) : fmt::format("{} s", s);
}

std::string time_text(base::Micros span) {
  const double ms = static_cast<double>(span.count) / 1e3;
  return ms >= 10'000 ? fmt::format("{:.1f} s", ms / 1e3)
         : ms >= 10   ? fmt::format("{:.0f} ms", ms)
                      : fmt::format("{:.1f} ms", ms);
}

std::string percent(double share) { return fmt::format("{:.1f}%", 100 * share); }

// No green without evidence: whom no check has found well is in use, and nothing more is known of it.
std::string state_of(const EndpointStatus& e) {
  if (e.leaving) return "LEAVING";
  if (e.disabled) return "DISABLED (by an operator)";
  if (!e.healthy) return "DOWN (its checks fail)";
  if (e.ejected)
    return e.ejected_left.count > 0 ? fmt::format("EJECTED, tried again in {}", span_text(e.ejected_left))
                                    : std::string("EJECTED, its trial is due");
  if (e.aside_left.count > 0) return fmt::format("SET ASIDE (a connect failed), {}", span_text(e.aside_left));
  if (e.paused_left.count > 0) return fmt::format("PAUSED (it asked for it), {}", span_text(e.paused_left));
  return e.state.is == upstream::EndpointState::Is::unchecked ? "in use, unchecked" : "in use";
}

void put_upstream(std::string& text, const std::string& name, const UpstreamView& view,
                  const std::vector<const ClusterStatus*>& workers, std::size_t& left) {
  const upstream::Advisor::View& load = view.load;
  const upstream::Capacity& capacity = view.capacity;
  std::vector<EndpointRow> rows = endpoint_rows(workers);
  std::uint64_t connections = 0;
  for (const EndpointRow& r : rows) connections += r.of->connections;
  text += fmt::format("{:<20} {:>6}/{:<6} {:>5}  {:>7.1f} {:>5.0f}  {:>8} / {}{}\n", name, connections,
                      capacity.connections, workers.front()->waiting, load.offered,
                      load.recommended / capacity.requests_each(), time_text(load.service), time_text(load.usual),
                      workers.front()->panic ? "  PANIC" : "");
  const auto ill = [](const EndpointRow& r) { return state_of(*r.of).starts_with("in use"); };
  std::ranges::stable_sort(rows, {}, ill);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (left == 0) {
      text += fmt::format("  and {} more\n", rows.size() - i);
      return;
    }
    --left;
    const EndpointRow& r = rows[i];
    text += fmt::format("  {:<24} {:<32} in flight {:<5} connections {}/{}/{}{}\n", r.of->name, state_of(*r.of),
                        r.of->in_flight, r.active, r.idle, r.connecting,
                        r.of->tunnels == 0 ? "" : fmt::format(", {} tunnels", r.of->tunnels));
  }
}

void put_upstreams(std::string& text, const Generation& generation, const StatusFacts& facts, const StatusView& view) {
  text +=
      "\nUPSTREAM                open/limit  waits  offered needs  now / usual      endpoints: "
      "active/idle/connecting\n";
  std::size_t left = TextFacts::rows_most;
  for (std::size_t i = 0; i < generation.upstreams.size(); ++i) {
    if (!view.upstream.empty() && generation.upstreams[i].options->name != view.upstream) continue;
    std::vector<const ClusterStatus*> workers;
    for (const auto& worker : facts.workers) {
      if (i < worker.size()) workers.push_back(&worker[i]);
    }
    if (workers.empty()) continue;
    if (left == 0) {
      text += fmt::format("and {} more\n", generation.upstreams.size() - i);
      return;
    }
    put_upstream(text, generation.upstreams[i].options->name, facts.upstreams[i], workers, left);
  }
}

void put_routes(std::string& text, const StatusFacts& facts) {
  if (facts.routes.empty()) return;
  text += "\nROUTE (last 10 s)           rate    5xx   left       p50       p99\n";
  for (const auto& [name, rate] : std::views::take(facts.routes, TextFacts::routes_most)) {
    text += fmt::format("{:<24} {:>7.1f} {:>6} {:>6} {:>9} {:>9}\n", name.empty() ? "(none)" : name, rate.per_second,
                        percent(rate.failed), percent(rate.left), time_text(rate.p50), time_text(rate.p99));
  }
}

void put_names(std::string& text, const StatusFacts& facts) {
  if (facts.names.empty()) return;
  text += "\nNAME\n";
  std::size_t left = TextFacts::rows_most;
  for (const dns::NameStatus& name : facts.names) {
    if (left-- == 0) {
      text += "and more\n";
      return;
    }
    std::string addresses;
    std::string error;
    for (const dns::RecordStatus& record : name.records) {
      for (const std::string& one : record.records) addresses += (addresses.empty() ? "" : ", ") + one;
      if (!record.last_error.empty())
        error = fmt::format("; {} ({} times in a row)", record.last_error, record.failures);
    }
    text += fmt::format("{:<24} {} -> {}{}\n", name.name, dns::state_name(name.state),
                        addresses.empty() ? "nothing" : addresses, error);
    if (name.history.empty()) continue;
    text += fmt::format("  changed {} ago\n", span_text(facts.wall - name.history.back().wall));
  }
}

// What the drain waits for, and the oldest of it.
void put_drain(std::string& text, const StatusFacts& facts) {
  if (facts.phase == DrainPhase::serving) return;
  text += fmt::format("DRAIN  at most {}\n", span_text(facts.drain_left));
  std::string kinds;
  for (std::size_t i = 0; i < holdings; ++i) {
    if (facts.holders.counts[i] != 0)
      kinds += fmt::format("  {} {}", facts.holders.counts[i], holding_word(static_cast<Holding>(i)));
  }
  if (!kinds.empty()) text += fmt::format("  waits for{}{}\n", kinds, facts.holders.whole ? "" : "  and more");
  for (const Holder& one : facts.holders.oldest) {
    text += fmt::format("  {:<13} route {}  client {}  {}  ", holding_word(one.kind), one.route, one.client,
                        span_text(one.age));
    base::append_escaped(text, one.path);
    text += '\n';
  }
}

// Nothing stands here as if it were of now that is not.
void put_late_workers(std::string& text, const StatusFacts& facts, base::Micros age) {
  for (std::size_t i = 0; i < facts.worker_ages.size(); ++i) {
    const base::Micros of = facts.worker_ages[i];
    if (of.count < 0) {
      text += fmt::format("! worker {} has not answered yet: its figures are missing\n", i);
    } else if (of + age >= base::Micros(word_is_old)) {
      text += fmt::format("! worker {} does not answer: its figures are {} old\n", i, span_text(of + age));
    }
  }
}

// What is used of what there is, the fullest first.
void put_limits(std::string& text, const StatusFacts& facts) {
  std::vector<const LimitFacts*> all;
  for (const LimitFacts& limit : facts.limits) {
    if (limit.most > 0) all.push_back(&limit);
  }
  if (all.empty()) return;
  std::ranges::stable_sort(all, std::ranges::greater(), [](const LimitFacts* l) { return l->used / l->most; });
  text += "\nRUNS OUT NEXT\n";
  for (const LimitFacts* limit : std::views::take(all, TextFacts::limits_most)) {
    text += fmt::format("{:<20} {:<40} {:>6}{}\n", limit->resource, limit->subject, percent(limit->used / limit->most),
                        limit->runs_out ? "  full in " + span_text(*limit->runs_out) : std::string());
  }
}

void put_process(std::string& text, const Generation& generation, const StatusFacts& facts) {
  text += fmt::format("\n{:.1f} requests/s  5xx {}  clients left {}  p50 {}  p99 {}  connections {} of {}\n",
                      facts.all.per_second, percent(facts.all.failed), percent(facts.all.left),
                      time_text(facts.all.p50), time_text(facts.all.p99), facts.connections, facts.connections_most);
  text += fmt::format("configuration {} of {} (generation {})\n", generation.hash.substr(0, 8),
                      base::wall_text(facts.configuration.loaded).substr(0, 19), facts.configuration.generation);
  for (const config::Waiting& one : generation.waiting)
    text += fmt::format("waits for a restart: {} = {}\n", one.key, one.value);
  if (facts.log_level_left.count > 0)
    text += fmt::format("log level {} for {} more\n", facts.log_level, span_text(facts.log_level_left));
}

}  // namespace

std::string status_text(const Generation& generation, const StatusFacts& facts, const TextFacts& more,
                        const StatusView& view) {
  std::string text = fmt::format("sluice {}  up {}  {}{}\n", version(), span_text(facts.uptime),
                                 rule_of(facts.phase).name, facts.ready.ready ? "" : " (" + facts.ready.reason + ")");
  put_late_workers(text, facts, view.age);
  if (view.shows("drain")) put_drain(text, facts);
  if (view.shows("advice")) text += more.advice.empty() ? "nothing to do\n" : advice_text(more.advice, facts.now);
  if (view.shows("process")) put_process(text, generation, facts);
  if (view.shows("process")) put_routes(text, facts);
  if (view.shows("upstreams")) put_upstreams(text, generation, facts, view);
  if (view.shows("dns")) put_names(text, facts);
  if (view.shows("limits")) put_limits(text, facts);
  return text + fmt::format("\nfigures of {} ago\n", time_text(view.age));
}

}  // namespace sluice::runtime
