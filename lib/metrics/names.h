// The table of every metric (configuration.md, "Metrics"): its name, kind, labels, help and the most series it may have.
// Code names a metric by Name::..., so nothing can be misspelled and nothing is exported that is not listed here.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sluice::metrics {

enum class Name : uint8_t {
  downstream_connections,
  downstream_connections_total,
  downstream_connections_rejected_total,
  downstream_connections_closed_total,
  requests_total,
  request_duration_seconds,
  requests_in_flight,
  local_replies_total,
  protocol_errors_total,
  tls_handshakes_total,
  tls_handshake_seconds,
  tls_handshake_errors_total,
  tls_early_data_total,
  certificate_expiry_seconds,
  upstream_requests_total,
  upstream_request_duration_seconds,
  upstream_connections,
  upstream_connections_leaving,
  upstream_connections_opened_total,
  upstream_connections_closed_total,
  upstream_connect_seconds,
  upstream_pool_wait_seconds,
  upstream_pool_waiting,
  upstream_pool_timeouts_total,
  upstream_pool_recommended_connections,
  upstream_pool_max_connections,
  upstream_retries_total,
  upstream_errors_total,
  upstream_endpoint_healthy,
  upstream_endpoint_ejected,
  upstream_endpoint_in_flight,
  upstream_panic,
  dns_lookups_total,
  dns_lookup_seconds,
  dns_stale,
  dns_propagation_seconds,
  drain_phase,
  drain_seconds_left,
  drain_remaining,
  config_reloads_total,
  config_last_reload_success,
  build_info,
  memory_held_bytes,
  memory_limit_bytes,
  descriptors_share,
  loop_lag_seconds,
  log_dropped_total,
  metrics_series_overflow_total,
};
inline constexpr unsigned names = static_cast<unsigned>(Name::metrics_series_overflow_total) + 1;

enum class Type : uint8_t { counter, gauge, histogram };

inline constexpr size_t labels_max = 4;

struct Definition {
  Name id;
  std::string_view name;                            // without the prefix "sluice_"
  Type type;
  std::array<std::string_view, labels_max> labels;  // "" = none from here on
  std::string_view help;
  uint32_t series_max = 10'000;                     // one more, with every label "other", takes the rest

  constexpr size_t label_count() const {
    size_t n = 0;
    while (n < labels_max && !labels[n].empty()) ++n;
    return n;
  }
};

#define SLUICE_METRIC(name) Name::name, #name
inline constexpr std::array<Definition, names> definitions = {{
    {SLUICE_METRIC(downstream_connections), Type::gauge, {"listener"}, "Client connections that are open."},
    {SLUICE_METRIC(downstream_connections_total), Type::counter, {"listener"}, "Client connections accepted."},
    {SLUICE_METRIC(downstream_connections_rejected_total),
     Type::counter,
     {"reason"},
     "Client connections closed at once after accept, by reason."},
    {SLUICE_METRIC(downstream_connections_closed_total), Type::counter, {"cause"}, "Client connections that ended, by cause."},
    {SLUICE_METRIC(requests_total),
     Type::counter,
     {"listener", "route", "method", "code"},
     "Requests that ended, by status sent (499: the client left).",
     20'000},
    {SLUICE_METRIC(request_duration_seconds), Type::histogram, {"route"}, "From the request's first byte to the answer's last."},
    {SLUICE_METRIC(requests_in_flight), Type::gauge, {"route"}, "Requests being served."},
    {SLUICE_METRIC(local_replies_total), Type::counter, {"reason"}, "Answers the proxy made itself, by reason."},
    {SLUICE_METRIC(protocol_errors_total), Type::counter, {"side", "detail"}, "Faults of peers against the protocol, by what was wrong."},
    {SLUICE_METRIC(tls_handshakes_total), Type::counter, {"listener", "version", "resumed"}, "TLS handshakes with clients that succeeded."},
    {SLUICE_METRIC(tls_handshake_seconds), Type::histogram, {"listener"}, "Duration of TLS handshakes with clients."},
    {SLUICE_METRIC(tls_handshake_errors_total), Type::counter, {"reason"}, "TLS handshakes with clients that failed, by reason."},
    {SLUICE_METRIC(tls_early_data_total), Type::counter, {"outcome"}, "Connections on which a client sent 0-RTT data, by outcome."},
    {SLUICE_METRIC(certificate_expiry_seconds), Type::gauge, {"name"}, "When a certificate expires, as Unix time."},
    {SLUICE_METRIC(upstream_requests_total),
     Type::counter,
     {"upstream", "reused"},
     "Requests sent to an upstream, tries counted one by one."},
    {SLUICE_METRIC(upstream_request_duration_seconds),
     Type::histogram,
     {"upstream"},
     "From a request's sending to the head of the upstream's answer."},
    {SLUICE_METRIC(upstream_connections), Type::gauge, {"upstream", "state"}, "Connections to an upstream (connecting, active, idle)."},
    {SLUICE_METRIC(upstream_connections_leaving),
     Type::gauge,
     {"upstream"},
     "Connections that are still open to addresses which left the answer of DNS."},
    {SLUICE_METRIC(upstream_connections_opened_total), Type::counter, {"upstream"}, "Connections made to an upstream."},
    {SLUICE_METRIC(upstream_connections_closed_total),
     Type::counter,
     {"upstream", "cause"},
     "Connections to an upstream that ended, by cause."},
    {SLUICE_METRIC(upstream_connect_seconds), Type::histogram, {"upstream"}, "Duration of connecting to an upstream, TLS included."},
    {SLUICE_METRIC(upstream_pool_wait_seconds), Type::histogram, {"upstream"}, "How long requests waited for a connection."},
    {SLUICE_METRIC(upstream_pool_waiting), Type::gauge, {"upstream"}, "Requests waiting for a connection."},
    {SLUICE_METRIC(upstream_pool_timeouts_total), Type::counter, {"upstream"}, "Requests that waited for a connection in vain."},
    {SLUICE_METRIC(upstream_pool_recommended_connections), Type::gauge, {"upstream"}, "Connections the present load needs (Little's law)."},
    {SLUICE_METRIC(upstream_pool_max_connections), Type::gauge, {"upstream"}, "Connections allowed per endpoint."},
    {SLUICE_METRIC(upstream_retries_total),
     Type::counter,
     {"upstream", "outcome"},
     "Repeated requests, and those not repeated, by outcome."},
    {SLUICE_METRIC(upstream_errors_total), Type::counter, {"upstream", "reason"}, "Tries that failed, by reason."},
    {SLUICE_METRIC(upstream_endpoint_healthy),
     Type::gauge,
     {"upstream", "endpoint"},
     "1 if the endpoint may be chosen as far as its checks say."},
    {SLUICE_METRIC(upstream_endpoint_ejected), Type::gauge, {"upstream", "endpoint"}, "1 while the endpoint is ejected for its failures."},
    {SLUICE_METRIC(upstream_endpoint_in_flight), Type::gauge, {"upstream", "endpoint"}, "Requests in flight at the endpoint."},
    {SLUICE_METRIC(upstream_panic), Type::gauge, {"upstream"}, "1 while too few endpoints are healthy and health is ignored."},
    {SLUICE_METRIC(dns_lookups_total), Type::counter, {"name", "outcome"}, "Lookups of a name, by outcome."},
    {SLUICE_METRIC(dns_lookup_seconds), Type::histogram, {}, "Duration of lookups."},
    {SLUICE_METRIC(dns_stale), Type::gauge, {"name"}, "Seconds that what is served of a name is past its TTL; 0 when fresh."},
    {SLUICE_METRIC(dns_propagation_seconds),
     Type::histogram,
     {"upstream"},
     "From a change of addresses to the close of the last connection to one that left."},
    {SLUICE_METRIC(drain_phase), Type::gauge, {}, "0 serving, 1 deregistering, 2 draining, 3 closing."},
    {SLUICE_METRIC(drain_seconds_left), Type::gauge, {}, "Until the drain's deadline; 0 when not draining."},
    {SLUICE_METRIC(drain_remaining), Type::gauge, {"kind"}, "What a drain still waits for."},
    {SLUICE_METRIC(config_reloads_total), Type::counter, {"outcome"}, "Reloads of the configuration, by outcome."},
    {SLUICE_METRIC(config_last_reload_success), Type::gauge, {}, "1 if the last load of the configuration succeeded."},
    {SLUICE_METRIC(build_info), Type::gauge, {"version"}, "Always 1; the version is in the label."},
    {SLUICE_METRIC(memory_held_bytes), Type::gauge, {}, "Memory held for traffic, by all workers."},
    {SLUICE_METRIC(memory_limit_bytes), Type::gauge, {}, "What may be held for traffic (max_memory): above it requests are refused."},
    {SLUICE_METRIC(descriptors_share), Type::gauge, {"use"}, "File descriptors by what they are for: clients, upstreams, reserve."},
    {SLUICE_METRIC(loop_lag_seconds), Type::histogram, {}, "How long a turn of a worker's loop took, polling aside."},
    {SLUICE_METRIC(log_dropped_total),
     Type::counter,
     {"log"},
     "Log lines dropped because their output took none (access: the access log; process: stderr)."},
    {SLUICE_METRIC(metrics_series_overflow_total),
     Type::counter,
     {"metric"},
     "Look-ups of series beyond a metric's limit, counted under \"other\" instead."},
}};
#undef SLUICE_METRIC

constexpr const Definition& definition_of(Name name) { return definitions[static_cast<unsigned>(name)]; }

}  // namespace sluice::metrics
