// Failure: why a request, or one try of it, did not end well; three small words with a replay verdict, made once where
// the fault is seen. Status, metric label and log words come from the tables in failure.cc, so they cannot disagree.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::http {

// The closed list of `reason` (configuration.md, "What the proxy answers itself"), and the causes inside that have
// none.
enum class Kind : uint8_t {
  none,  // clean end
  // the client's request
  bad_request,  // 400
  body_too_large,  // 413
  uri_too_long,  // 414
  headers_too_large,  // 431
  not_implemented,  // 501
  version,  // 505
  denied,  // 403
  no_route,  // 404
  method_not_allowed,  // 405
  expectation,  // 417
  rate_limited,  // 429
  request_timeout,  // 408
  misdirected,  // 421
  too_early,  // 425
  loop,  // 508
  client_closed,  // 499, log and metric only
  // the upstream side
  connect_failed,  // 502
  reset,  // 502: closed or reset before the answer was whole
  bad_response,  // 502: nonsense
  tls_failed,  // 502
  no_endpoint,  // 503
  pool_timeout,  // 503
  pool_full,  // 503
  circuit_open,  // 503
  overloaded,  // 503
  no_local_port,  // 503: none is free towards the upstream; ours, and nothing is held against it
  no_descriptor,  // 503: the process has none left; likewise
  connect_timeout,  // 504
  timeout,  // 504
  refused_stream,  // 502 when it may not be replayed: the peer promises that nothing was processed (RFC 9113 8.7)
  // both
  shutdown,  // the drain deadline cut it (503 if no head went out; "drain")
};
inline constexpr unsigned kinds = static_cast<unsigned>(Kind::shutdown) + 1;

enum class Where : uint8_t { none, downstream, proxy, upstream };
inline constexpr unsigned wheres = static_cast<unsigned>(Where::upstream) + 1;

// The bracketed words of threats.md: `detail` in the log and in protocol_errors_total{side,detail}.
enum class Detail : uint8_t {
  none,
  cl_te,
  te,
  te_10,
  cl,
  chunk,
  ctl,
  obs_fold,
  name,
  host,
  target,
  path,
  upgrade,
  request_line,
  method,
  trailer,
  line_size,
  field_size,
  field_count,
  underscore,
  slow_head,
  slow_body,
  slow_read,
  slow_handshake,
  extra_bytes,
  truncated,
  status_line,
  framing,
  field,
  informational,
  switching,
  head_size,
  preface,
  frame,
  header_block,
  pseudo,
  flow_control,
  reset_flood,
  own_reset_flood,
  continuation_flood,
  hpack,
  control_flood,
  eof,
  forwarded,
  proxy_header,
};
inline constexpr unsigned details = static_cast<unsigned>(Detail::proxy_header) + 1;

struct Failure {
  Kind kind = Kind::none;
  Where where = Where::none;
  Detail detail = Detail::none;
  bool untouched = false;  // surely not processed by the application: a replay is allowed whatever the method

  bool clean() const { return kind == Kind::none; }
  bool operator==(const Failure&) const = default;
};

// What ends a gRPC call (https://grpc.io/docs/guides/status-codes/). Only those that the proxy itself gives.
enum class GrpcStatus : uint8_t {
  ok = 0,
  cancelled = 1,
  deadline_exceeded = 4,
  permission_denied = 7,
  resource_exhausted = 8,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
};

uint16_t status_of(Kind kind);  // what the client is answered; 499 for client_closed; 200 for none
bool is_told(uint16_t status);  // is a client ever answered this for a failure?
GrpcStatus grpc_status_of(Kind kind);  // the same for a gRPC call; docs/grpc.md says why
std::string_view reason_word(Kind kind);  // "pool_timeout"; "" for none
std::string_view detail_word(Detail detail);
std::string_view where_word(Where where);  // "downstream", "proxy", "upstream"
std::string_view by_word(Where where);  // who ended it: "client", "proxy", "upstream"

}  // namespace sluice::http
