#include "exchange/log_field.h"

#include <array>

#include "base/check.h"

namespace sluice::exchange {
namespace {

// What the two vocabularies have no word for has ours, behind "sluice.".
struct Words {
  LogField field;
  std::string_view sluice, otel, ecs;
};

constexpr std::array<Words, log_fields> table{{
    {LogField::v, "v", "sluice.v", "sluice.v"},
    {LogField::time, "time", "timestamp", "@timestamp"},
    {LogField::start, "start", "sluice.start", "event.start"},
    {LogField::request_id, "request_id", "sluice.request_id", "http.request.id"},
    {LogField::trace_id, "trace_id", "trace_id", "trace.id"},
    {LogField::span_id, "span_id", "span_id", "span.id"},
    {LogField::conn, "conn", "sluice.conn", "sluice.conn"},
    {LogField::conn_request, "conn_request", "sluice.conn_request", "sluice.conn_request"},
    {LogField::client, "client", "client.address", "client.address"},
    {LogField::client_port, "client_port", "client.port", "client.port"},
    {LogField::listener, "listener", "sluice.listener", "sluice.listener"},
    {LogField::tls, "tls", "tls.protocol.version", "tls.version"},
    {LogField::sni, "sni", "tls.client.server_name", "tls.client.server_name"},
    {LogField::alpn, "alpn", "tls.next_protocol", "tls.next_protocol"},
    {LogField::route, "route", "http.route", "sluice.route"},
    {LogField::method, "method", "http.request.method", "http.request.method"},
    {LogField::host, "host", "server.address", "url.domain"},
    {LogField::path, "path", "url.path", "url.path"},
    {LogField::query, "query", "url.query", "url.query"},
    {LogField::protocol, "protocol", "network.protocol.version", "http.version"},
    {LogField::status, "status", "http.response.status_code", "http.response.status_code"},
    {LogField::grpc_status, "grpc_status", "rpc.grpc.status_code", "sluice.grpc_status"},
    {LogField::told, "told", "sluice.told", "sluice.told"},
    {LogField::ended, "ended", "sluice.ended", "sluice.ended"},
    {LogField::ended_by, "ended_by", "sluice.ended_by", "sluice.ended_by"},
    {LogField::during, "during", "sluice.during", "sluice.during"},
    {LogField::reason, "reason", "error.type", "error.type"},
    {LogField::detail, "detail", "sluice.detail", "sluice.detail"},
    {LogField::limited_by, "limited_by", "sluice.limited_by", "sluice.limited_by"},
    {LogField::fallback, "fallback", "sluice.fallback", "sluice.fallback"},
    {LogField::total_us, "total_us", "sluice.total_us", "sluice.total_us"},
    {LogField::client_request_us, "client_request_us", "sluice.client_request_us", "sluice.client_request_us"},
    {LogField::queue_us, "queue_us", "sluice.queue_us", "sluice.queue_us"},
    {LogField::connect_us, "connect_us", "sluice.connect_us", "sluice.connect_us"},
    {LogField::upstream_head_us, "upstream_head_us", "sluice.upstream_head_us", "sluice.upstream_head_us"},
    {LogField::upstream_body_us, "upstream_body_us", "sluice.upstream_body_us", "sluice.upstream_body_us"},
    {LogField::client_write_us, "client_write_us", "sluice.client_write_us", "sluice.client_write_us"},
    {LogField::proxy_us, "proxy_us", "sluice.proxy_us", "sluice.proxy_us"},
    {LogField::tls_us, "tls_us", "sluice.tls_us", "sluice.tls_us"},
    {LogField::first_byte_us, "first_byte_us", "sluice.first_byte_us", "sluice.first_byte_us"},
    {LogField::upstream, "upstream", "sluice.upstream", "sluice.upstream"},
    {LogField::endpoint, "endpoint", "sluice.endpoint", "sluice.endpoint"},
    {LogField::upstream_port, "upstream_port", "sluice.upstream_port", "sluice.upstream_port"},
    {LogField::reused, "reused", "sluice.reused", "sluice.reused"},
    {LogField::attempts, "attempts", "sluice.attempts", "sluice.attempts"},
    {LogField::tries, "tries", "sluice.tries", "sluice.tries"},
    {LogField::bytes_in, "bytes_in", "http.request.body.size", "http.request.body.bytes"},
    {LogField::bytes_out, "bytes_out", "http.response.body.size", "http.response.body.bytes"},
    {LogField::user_agent, "user_agent", "user_agent.original", "user_agent.original"},
    {LogField::referer, "referer", "http.request.header.referer", "http.request.referrer"},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].field != static_cast<LogField>(i)) return false;
  }
  return true;
}
static_assert(in_order());

}  // namespace

std::string_view field_word(LogField field, LogNames names) {
  const Words& words = table[static_cast<std::size_t>(field)];
  switch (names) {
    case LogNames::sluice: return words.sluice;
    case LogNames::otel: return words.otel;
    case LogNames::ecs: return words.ecs;
  }
  UNREACHABLE();
}

}  // namespace sluice::exchange
