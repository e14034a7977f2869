// The keys of a line of the access log: one closed list, in the order in which they stand in it, with their names in
// each of the vocabularies of `[access_log] names`. docs/log.md has a row for each; a test says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::exchange {

enum class LogField : std::uint8_t {
  v,  // of the schema: 2
  time,  // the end, or when it was told
  start,
  request_id,
  trace_id,
  span_id,
  conn,
  conn_request,
  client,
  client_port,
  listener,
  tls,
  sni,
  alpn,
  route,
  method,
  host,
  path,
  query,
  protocol,
  status,
  grpc_status,
  told,  // of what goes on: begun, open
  ended,
  ended_by,
  during,
  reason,
  detail,
  limited_by,
  fallback,
  total_us,
  client_request_us,  // the phases, in the order of Phase
  queue_us,
  connect_us,
  upstream_head_us,
  upstream_body_us,
  client_write_us,
  proxy_us,
  tls_us,
  first_byte_us,
  upstream,
  endpoint,
  upstream_port,
  reused,
  attempts,
  tries,
  bytes_in,
  bytes_out,
  user_agent,
  referer,
};
inline constexpr std::size_t log_fields = static_cast<std::size_t>(LogField::referer) + 1;

// Whose names the keys have: ours, OpenTelemetry's semantic conventions, Elastic's Common Schema.
enum class LogNames : std::uint8_t { sluice, otel, ecs };

std::string_view field_word(LogField field, LogNames names = LogNames::sluice);

}  // namespace sluice::exchange
