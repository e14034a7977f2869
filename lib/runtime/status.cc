#include "runtime/status.h"

#include <fmt/format.h>

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
      certificates.add(
          fmt::format(R"({{"name":{},"file":{},"not_after":{}}})", quoted(c.name), quoted(c.file), c.not_after));
    }
  }
  return fmt::format(R"({{"name":{},"addresses":[{}],"tls":{},"connections":{},"certificates":[{}]}})",
                     quoted(listening.options.name), addresses.text(), listening.tls != nullptr, connections,
                     certificates.text());
}

// What a worker counts is summed; what the process shares is the same in each of them.
std::string endpoint_json(const upstream::EndpointStatus& first,
                          const std::vector<const upstream::ClusterStatus*>& workers, base::Micros now) {
  uint64_t connecting = 0, active = 0, idle = 0;
  for (const upstream::ClusterStatus* cluster : workers) {
    for (const upstream::EndpointStatus& e : cluster->endpoints) {
      if (e.name != first.name || e.address != first.address || e.leaving != first.leaving) continue;
      connecting += e.connecting;
      active += e.active;
      idle += e.idle;
    }
  }
  return fmt::format(
      R"({{"name":{},"address":{},"host":{},"weight":{},"priority":{},"state":{},"by":{},"state_seconds":{:.3f},)"
      R"("healthy":{},"disabled":{},"set_aside_seconds":{:.3f},)"
      R"("ejected":{},"ejected_seconds":{:.3f},"paused_seconds":{:.3f},"failures_in_a_row":{},)"
      R"("idle_race_seen":{},"leaving":{},"in_flight":{},)"
      R"("connections":{},"tunnels":{},"connecting":{},"active":{},"idle":{}}})",
      quoted(first.name), quoted(first.address), quoted(first.host), first.weight, first.priority,
      quoted(upstream::state_word(first.state.is)), quoted(upstream::by_word(first.state.by)),
      (now - first.state.since).seconds(), first.healthy, first.disabled, first.aside_left.seconds(), first.ejected,
      first.ejected_left.seconds(), first.paused_left.seconds(), first.failures, first.race_seen, first.leaving,
      first.in_flight, first.connections, first.tunnels, connecting, active, idle);
}

// Of the process, as the configuration in force has them.
std::string classes_json(const Backing& backing) {
  const upstream::UpstreamOptions& options = *backing.options;
  Joined classes;
  for (const upstream::PoolClassOptions& o : options.pool_classes) {
    const auto one = backing.shared->pool_class(o.name);
    const auto all = backing.shared->capacity(*backing.shared->endpoints(), options.pool.max_connections);
    classes.add(fmt::format(R"({{"name":{},"in_flight":{},"limit":{},"waiting":{}}})", quoted(o.name), one->in_flight(),
                            upstream::class_limit(o, all.connections), one->waiting()));
  }
  return classes.text();
}

std::string upstream_json(const Generation& generation, size_t index, const StatusFacts& facts) {
  std::vector<const upstream::ClusterStatus*> workers;
  for (const auto& worker : facts.workers) {
    if (index < worker.size()) workers.push_back(&worker[index]);
  }
  if (workers.empty()) return "{}";
  const upstream::ClusterStatus& first = *workers.front();
  bool warm = true;
  for (const auto* w : workers) warm = warm && w->warm;
  Joined endpoints;
  for (const upstream::EndpointStatus& e : first.endpoints) endpoints.add(endpoint_json(e, workers, facts.now));
  return fmt::format(R"({{"name":{},"panic":{},"waiting":{},"warm":{},"pool_classes":[{}],"endpoints":[{}]}})",
                     quoted(first.name), first.panic, first.waiting, warm, classes_json(generation.upstreams[index]),
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

}  // namespace

std::string status_json(const Generation& generation, const StatusFacts& facts) {
  Joined listeners;
  for (const auto& listening : generation.listeners) listeners.add(listener_json(*listening, facts));
  Joined upstreams;
  for (size_t i = 0; i < generation.upstreams.size(); ++i) upstreams.add(upstream_json(generation, i, facts));
  Joined names;
  for (const dns::NameStatus& name : facts.names) names.add(name_json(name, facts.wall));
  Joined ports;
  for (const PortRow& row : facts.ports) ports.add(ports_json(row));
  return fmt::format(
      R"({{"version":{},"ready":{},"reason":{},"phase":{},"uptime_seconds":{:.3f},"drain_seconds_left":{:.3f},)"
      R"("since_deregistered":{},"confirmation_awaited":{},"file_in_force":{},)"
      R"("advice":{},"connections":{},"workers":{},)"
      R"("listeners":[{}],"upstreams":[{}],"dns":[{}],"local_ports":[{}]}})"
      "\n",
      quoted(version()), facts.ready.ready, quoted(facts.ready.reason), quoted(rule_of(facts.phase).name),
      facts.uptime.seconds(), facts.drain_left.seconds(), arrivals_json(facts), trial_json(facts), facts.file_in_force,
      facts.advice, facts.connections, facts.workers.size(), listeners.text(), upstreams.text(), names.text(),
      ports.text());
}

}  // namespace sluice::runtime
