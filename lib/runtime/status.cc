#include "runtime/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "base/log.h"
#include "runtime/json.h"
#include "runtime/version.h"

namespace sluice::runtime {
namespace {

std::string listener_json(const Listening& listening, const StatusFacts& facts) {
  uint64_t connections = 0;
  for (const auto& worker : facts.listener_connections) {
    if (listening.index < worker.size()) connections += worker[listening.index];
  }
  Joined addresses;
  for (const auto& socket : listening.sockets) addresses.add(quoted(socket->address().text()));
  Joined certificates;
  if (listening.tls != nullptr) {
    for (const tls::CertificateFacts& c : listening.tls->certificates()) {
      certificates.add(fmt::format(R"({{"name":{},"file":{},"not_before":{},"not_after":{}}})", quoted(c.name),
                                   quoted(c.file), c.not_before, c.not_after));
    }
  }
  return fmt::format(R"({{"name":{},"addresses":[{}],"tls":{},"connections":{},"certificates":[{}]}})",
                     quoted(listening.options.name), addresses.text(), listening.tls != nullptr, connections,
                     certificates.text());
}

std::string endpoint_json(const EndpointRow& row, base::Micros now) {
  const upstream::EndpointStatus& first = *row.of;
  return fmt::format(
      R"({{"name":{},"address":{},"host":{},"weight":{},"priority":{},"state":{},"by":{},"state_seconds":{:.3f},)"
      R"("healthy":{},"disabled":{},"set_aside_seconds":{:.3f},)"
      R"("ejected":{},"ejected_seconds":{:.3f},"paused_seconds":{:.3f},"failures_in_a_row":{},)"
      R"("idle_race_seen":{},"leaving":{},"in_flight":{},)"
      R"("connections":{},"tunnels":{},"connecting":{},"active":{},"idle":{},)"
      R"("answers":{},"answers_5xx":{},"errors":{},"head_seconds":{:.3f}}})",
      quoted(first.name), quoted(first.address), quoted(first.host), first.weight, first.priority,
      quoted(upstream::state_word(first.state.is)), quoted(upstream::by_word(first.state.by)),
      (now - first.state.since).seconds(), first.healthy, first.disabled, first.aside_left.seconds(), first.ejected,
      first.ejected_left.seconds(), first.paused_left.seconds(), first.failures, first.race_seen, first.leaving,
      first.in_flight, first.connections, first.tunnels, row.connecting, row.active, row.idle, row.answers,
      row.answers_5xx, row.errors, base::Micros(static_cast<int64_t>(row.head_micros)).seconds());
}

std::string classes_json(const UpstreamView& view) {
  Joined classes;
  for (const UpstreamView::Class& one : view.classes) {
    classes.add(fmt::format(R"({{"name":{},"in_flight":{},"limit":{},"waiting":{}}})", quoted(one.name), one.in_flight,
                            one.limit, one.waiting));
  }
  return classes.text();
}

std::string load_json(const UpstreamView& view) {
  const upstream::Advisor::View& load = view.load;
  return fmt::format(R"({{"limit":{},"offered":{:.2f},"recommended":{:.0f},"service_seconds":{:.6f},)"
                     R"("usual_seconds":{:.6f},"oldest_wait_seconds":{:.3f}}})",
                     view.capacity.connections, load.offered, load.recommended / view.capacity.requests_each(),
                     load.service.seconds(), load.usual.seconds(), view.oldest_wait.seconds());
}

std::string upstream_json(size_t index, const StatusFacts& facts) {
  std::vector<const upstream::ClusterStatus*> workers;
  for (const auto& worker : facts.workers) {
    if (index < worker.size()) workers.push_back(&worker[index]);
  }
  if (workers.empty()) return "{}";
  const upstream::ClusterStatus& first = *workers.front();
  bool warm = true;
  for (const auto* w : workers) warm = warm && w->warm;
  Joined endpoints;
  for (const EndpointRow& row : endpoint_rows(workers)) endpoints.add(endpoint_json(row, facts.now));
  const UpstreamView& view = facts.upstreams[index];
  return fmt::format(
      R"({{"name":{},"panic":{},"waiting":{},"warm":{},"checked":{},"load":{},"pool_classes":[{}],"endpoints":[{}]}})",
      quoted(first.name), first.panic, first.waiting, warm, view.checked, load_json(view), classes_json(view),
      endpoints.text());
}

std::string list_json(const std::vector<std::string>& items) {
  Joined all;
  for (const std::string& item : items) all.add(quoted(item));
  return "[" + all.text() + "]";
}

std::string record_json(const dns::RecordStatus& record, base::Micros wall) {
  const double error_age = record.last_error_wall.count == 0 ? 0 : (wall - record.last_error_wall).seconds();
  return fmt::format(
      R"({{"type":{},"state":{},"records":{},"ttl_left_seconds":{:.3f},"age_seconds":{:.3f},)"
      R"("stale":{},"stale_seconds":{:.3f},)"
      R"("next_query_seconds":{:.3f},"last_error":{},"last_error_seconds_ago":{:.3f},"failures":{},"lookups":{}}})",
      quoted(dns::type_name(record.type)), quoted(dns::state_name(record.state)), list_json(record.records),
      base::Micros(record.ttl_left).seconds(), base::Micros(record.age).seconds(),
      record.state == dns::RecordState::stale, base::Micros(record.stale_for).seconds(),
      base::Micros(record.next_query_in).seconds(), quoted(record.last_error), error_age, record.failures,
      record.lookups);
}

std::string name_json(const dns::NameStatus& name, base::Micros wall) {
  Joined records;
  for (const dns::RecordStatus& record : name.records) records.add(record_json(record, wall));
  Joined history;
  for (const dns::Change& change : name.history) {
    history.add(fmt::format(R"({{"seconds_ago":{:.3f},"added":{},"removed":{},"more":{},"why":{}}})",
                            (wall - change.wall).seconds(), list_json(change.added), list_json(change.removed),
                            change.more, quoted(change.why)));
  }
  return fmt::format(R"({{"name":{},"kind":{},"state":{},"followed":{},"records":[{}],"history":[{}]}})",
                     quoted(name.name), quoted(name.kind == dns::Kind::service ? "service" : "address"),
                     quoted(dns::state_name(name.state)), name.followed, records.text(), history.text());
}

// "null" while registered.
std::string arrivals_json(const StatusFacts& facts) {
  if (facts.registered) return "null";
  const Arrivals::Counts& came = facts.arrivals;
  return fmt::format(R"({{"seconds":{:.3f},"new_connections":{},"last_connection_after_seconds":{:.3f},)"
                     R"("requests":{},"last_request_after_seconds":{:.3f}}})",
                     facts.deregistered_for.seconds(), came.connections, came.last_connection.seconds(), came.requests,
                     came.last_request.seconds());
}

// "null" when nothing waits for POST /confirm.
std::string trial_json(const StatusFacts& facts) {
  if (!facts.trial) return "null";
  const Confirmation::Counts &before = facts.trial->before(), &since = facts.trial->since();
  return fmt::format(R"({{"seconds_left":{:.3f},"answers":{},"failed":{},"answers_before":{},"failed_before":{}}})",
                     facts.trial->left(facts.now).seconds(), since.all, since.failed, before.all, before.failed);
}

std::string ports_json(const PortRow& row) {
  return fmt::format(
      R"({{"source":{},"destination":{},"used":{},"time_wait":{},"available":{},"runs_out_seconds":{}}})",
      quoted(row.source), quoted(row.destination), row.used, row.time_wait, row.available,
      row.runs_out ? fmt::format("{:.0f}", row.runs_out->seconds()) : "null");
}

std::string rate_json(std::string_view name, const Rate& rate) {
  Joined phases;
  for (size_t i = 0; i < exchange::phases; ++i)
    phases.add(fmt::format(R"("{}":{:.4f})", exchange::phase_word(static_cast<exchange::Phase>(i)), rate.phase[i]));
  return fmt::format(R"({{"name":{},"per_second":{:.2f},"failed":{:.5f},"left":{:.5f},"cut":{:.5f},)"
                     R"("p50_seconds":{:.6f},"p99_seconds":{:.6f},"phases":{{{}}}}})",
                     quoted(name), rate.per_second, rate.failed, rate.left, rate.cut, rate.p50.seconds(),
                     rate.p99.seconds(), phases.text());
}

std::string rates_json(const StatusFacts& facts) {
  Joined routes;
  for (const auto& [name, rate] : facts.routes) routes.add(rate_json(name, rate));
  return fmt::format(R"({{"all":{},"routes":[{}]}})", rate_json("", facts.all), routes.text());
}

std::string limit_json(const LimitFacts& limit) {
  return fmt::format(R"({{"resource":{},"subject":{},"used":{:.0f},"max":{:.0f},"runs_out_seconds":{}}})",
                     quoted(limit.resource), quoted(limit.subject), limit.used, limit.most,
                     limit.runs_out ? fmt::format("{:.0f}", limit.runs_out->seconds()) : "null");
}

std::string time_json(base::Micros wall) { return wall.count == 0 ? "null" : quoted(base::wall_text(wall)); }

std::string configuration_json(const Generation& generation, const ConfigurationFacts& facts) {
  Joined waiting;
  for (const config::Waiting& one : generation.waiting)
    waiting.add(fmt::format(R"({{"key":{},"value":{}}})", quoted(one.key), quoted(one.value)));
  return fmt::format(
      R"({{"hash":{},"generation":{},"loaded":{},"tried":{},"changes":{},"refused":{},"restart_pending":[{}]}})",
      quoted(generation.hash), facts.generation, time_json(facts.loaded), time_json(facts.tried), quoted(facts.changes),
      quoted(facts.refused), waiting.text());
}

std::string age_json(base::Micros age, base::Micros more) {
  return age.count < 0 ? "null" : fmt::format("{:.3f}", (age + more).seconds());
}

// When the figures are of, and those of each worker.
std::string snapshot_json(const StatusFacts& facts, base::Micros age) {
  Joined workers;
  for (const base::Micros of : facts.worker_ages) workers.add(age_json(of, age));
  return fmt::format(R"({{"time":{},"age_seconds":{:.3f},"worker_age_seconds":[{}]}})",
                     quoted(base::wall_text(facts.wall)), age.seconds(), workers.text());
}

// "null" while serving.
std::string drain_json(const StatusFacts& facts) {
  if (facts.phase == DrainPhase::serving) return "null";
  Joined kinds;
  for (size_t i = 0; i < holdings; ++i)
    kinds.add(fmt::format(R"("{}":{})", holding_word(static_cast<Holding>(i)), facts.holders.counts[i]));
  Joined oldest;
  for (const Holder& one : facts.holders.oldest) {
    oldest.add(fmt::format(R"({{"kind":{},"client":{},"route":{},"path":{},"request_id":{},"age_seconds":{:.3f}}})",
                           quoted(holding_word(one.kind)), quoted(one.client), quoted(one.route), quoted(one.path),
                           quoted(one.request_id), one.age.seconds()));
  }
  return fmt::format(R"({{"phase":{},"seconds_left":{:.3f},"whole":{},"holders":{{{}}},"oldest":[{}]}})",
                     quoted(rule_of(facts.phase).name), facts.drain_left.seconds(), facts.holders.whole, kinds.text(),
                     oldest.text());
}

std::string head_json(const StatusFacts& facts, base::Micros age) {
  return fmt::format(
      R"("version":{},"ready":{},"reason":{},"phase":{},"uptime_seconds":{:.3f},"drain_seconds_left":{:.3f},)"
      R"("since_deregistered":{},"confirmation_awaited":{},"file_in_force":{},)"
      R"("log_level":{},"log_level_seconds_left":{:.3f},"connections":{},"max_connections":{},)"
      R"("workers":{},"snapshot":{})",
      quoted(version()), facts.ready.ready, quoted(facts.ready.reason), quoted(rule_of(facts.phase).name),
      facts.uptime.seconds(), facts.drain_left.seconds(), arrivals_json(facts), trial_json(facts), facts.file_in_force,
      quoted(facts.log_level), facts.log_level_left.seconds(), facts.connections, facts.connections_most,
      facts.workers.size(), snapshot_json(facts, age));
}

// The members of one list: show(index) is a text, or "" for one that is not asked for.
template <class Show>
std::string list_of(size_t count, Show show) {
  Joined all;
  for (size_t i = 0; i < count; ++i) {
    if (std::string one = show(i); !one.empty()) all.add(one);
  }
  return "[" + all.text() + "]";
}

constexpr std::array<std::string_view, 10> parts{"process",   "advice", "drain",       "rates",  "listeners",
                                                 "upstreams", "dns",    "local_ports", "limits", "configuration"};

}  // namespace

UpstreamView view_of(const Backing& backing, base::Micros now) {
  const upstream::UpstreamOptions& options = *backing.options;
  UpstreamView view{backing.shared->advisor().look(),
                    backing.shared->capacity(*backing.shared->endpoints(), options.pool.max_connections),
                    {},
                    {},
                    options.health.has_value()};
  if (const auto since = backing.shared->board().oldest()) view.oldest_wait = now - *since;
  for (const upstream::PoolClassOptions& o : options.pool_classes) {
    const auto one = backing.shared->pool_class(o.name);
    view.classes.push_back(
        {o.name, one->in_flight(), upstream::class_limit(o, view.capacity.connections), one->waiting()});
  }
  return view;
}

std::vector<EndpointRow> endpoint_rows(const std::vector<const upstream::ClusterStatus*>& workers) {
  std::vector<EndpointRow> rows;
  for (const upstream::ClusterStatus* cluster : workers) {
    for (size_t i = 0; i < cluster->endpoints.size(); ++i) {
      const upstream::EndpointStatus& e = cluster->endpoints[i];
      const auto same = [&e](const EndpointRow& r) {
        return r.of->name == e.name && r.of->address == e.address && r.of->leaving == e.leaving;
      };
      // Mostly in the same order.
      auto it = i < rows.size() && same(rows[i]) ? rows.begin() + static_cast<std::ptrdiff_t>(i)
                : cluster == workers.front()     ? rows.end()
                                                 : std::ranges::find_if(rows, same);
      if (it == rows.end()) it = rows.insert(rows.end(), {&e});
      it->connecting += e.connecting;
      it->active += e.active;
      it->idle += e.idle;
      it->answers += e.answers;
      it->answers_5xx += e.answers_5xx;
      it->errors += e.errors;
      it->head_micros += e.head_micros;
    }
  }
  return rows;
}

std::span<const std::string_view> status_parts() { return parts; }

std::expected<StatusView, std::string> read_status_view(const admin::Query& query, const Generation& generation) {
  StatusView view{.part = std::string(query.value("part").value_or("")),
                  .upstream = std::string(query.value("upstream").value_or(""))};
  if (query.value("part") && std::ranges::find(parts, view.part) == parts.end()) {
    std::string known = "part is one of";
    for (const std::string_view part : parts) known += " " + std::string(part);
    return std::unexpected(known);
  }
  if (!query.value("upstream")) return view;
  const auto named = [&](const Backing& backing) { return backing.options->name == view.upstream; };
  if (std::ranges::none_of(generation.upstreams, named)) {
    std::string known = "upstream is one of";
    for (size_t i = 0; i < generation.upstreams.size() && i < 20; ++i)
      known += " " + generation.upstreams[i].options->name;
    return std::unexpected(known + (generation.upstreams.size() > 20 ? " ..." : ""));
  }
  if (view.part.empty()) view.part = "upstreams";
  return view;
}

std::string status_json(const Generation& generation, const StatusFacts& facts, const StatusView& view) {
  const auto upstream = [&](size_t i) {
    const bool shown = view.upstream.empty() || generation.upstreams[i].options->name == view.upstream;
    return shown ? upstream_json(i, facts) : "";
  };
  const std::pair<std::string_view, std::function<std::string()>> lists[] = {
      {"advice", [&] { return facts.advice; }},
      {"drain", [&] { return drain_json(facts); }},
      {"rates", [&] { return rates_json(facts); }},
      {"listeners",
       [&] {
         return list_of(generation.listeners.size(),
                        [&](size_t i) { return listener_json(*generation.listeners[i], facts); });
       }},
      {"upstreams", [&] { return list_of(generation.upstreams.size(), upstream); }},
      {"dns",
       [&] { return list_of(facts.names.size(), [&](size_t i) { return name_json(facts.names[i], facts.wall); }); }},
      {"local_ports",
       [&] { return list_of(facts.ports.size(), [&](size_t i) { return ports_json(facts.ports[i]); }); }},
      {"limits", [&] { return list_of(facts.limits.size(), [&](size_t i) { return limit_json(facts.limits[i]); }); }},
      {"configuration", [&] { return configuration_json(generation, facts.configuration); }},
  };
  std::string text = "{" + head_json(facts, view.age);
  for (const auto& [name, make] : lists) {
    if (view.shows(name)) text += fmt::format(R"(,"{}":{})", name, make());
  }
  return text + "}\n";
}

}  // namespace sluice::runtime
