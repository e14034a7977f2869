// The one table of what a Failure means outside: status, gRPC status, `reason` and `detail` (configuration.md,
// threats.md).
#include "http/failure.h"

namespace sluice::http {

uint16_t status_of(Kind kind) {
  switch (kind) {
    case Kind::none: return 200;
    case Kind::bad_request: return 400;
    case Kind::body_too_large: return 413;
    case Kind::uri_too_long: return 414;
    case Kind::headers_too_large: return 431;
    case Kind::not_implemented: return 501;
    case Kind::version: return 505;
    case Kind::denied: return 403;
    case Kind::no_route: return 404;
    case Kind::method_not_allowed: return 405;
    case Kind::expectation: return 417;
    case Kind::rate_limited: return 429;
    case Kind::request_timeout: return 408;
    case Kind::misdirected: return 421;
    case Kind::too_early: return 425;
    case Kind::loop: return 508;
    case Kind::client_closed: return 499;
    case Kind::connect_failed:
    case Kind::reset:
    case Kind::bad_response:
    case Kind::tls_failed:
    case Kind::refused_stream: return 502;
    case Kind::no_endpoint:
    case Kind::pool_timeout:
    case Kind::pool_full:
    case Kind::circuit_open:
    case Kind::overloaded:
    case Kind::no_local_port:
    case Kind::no_descriptor:
    case Kind::shutdown: return 503;
    case Kind::connect_timeout:
    case Kind::timeout: return 504;
  }
  return 500;
}

bool is_told(uint16_t status) {
  for (unsigned i = 1; i < kinds; ++i) {
    const auto kind = static_cast<Kind>(i);
    if (kind != Kind::client_closed && status_of(kind) == status) return true;
  }
  return false;
}

// By the gRPC project's mapping of HTTP statuses (doc/http-grpc-status-mapping.md), made finer where the reason says
// more than the status: what a client may try elsewhere or later is `unavailable`, and nothing else is.
GrpcStatus grpc_status_of(Kind kind) {
  switch (kind) {
    case Kind::none: return GrpcStatus::ok;
    case Kind::client_closed: return GrpcStatus::cancelled;
    case Kind::request_timeout:
    case Kind::timeout: return GrpcStatus::deadline_exceeded;
    case Kind::denied: return GrpcStatus::permission_denied;
    case Kind::body_too_large:
    case Kind::uri_too_long:
    case Kind::headers_too_large:
    case Kind::rate_limited: return GrpcStatus::resource_exhausted;
    case Kind::not_implemented:
    case Kind::version:
    case Kind::no_route:
    case Kind::method_not_allowed: return GrpcStatus::unimplemented;
    case Kind::bad_request:
    case Kind::expectation:
    case Kind::loop:
    case Kind::bad_response: return GrpcStatus::internal;
    case Kind::misdirected:
    case Kind::too_early:
    case Kind::connect_failed:
    case Kind::connect_timeout:
    case Kind::tls_failed:
    case Kind::reset:
    case Kind::refused_stream:
    case Kind::no_endpoint:
    case Kind::pool_timeout:
    case Kind::pool_full:
    case Kind::circuit_open:
    case Kind::overloaded:
    case Kind::no_local_port:
    case Kind::no_descriptor:
    case Kind::shutdown: return GrpcStatus::unavailable;
  }
  return GrpcStatus::internal;
}

std::string_view reason_word(Kind kind) {
  switch (kind) {
    case Kind::none: return "";
    case Kind::bad_request: return "bad_request";
    case Kind::body_too_large: return "body_too_large";
    case Kind::uri_too_long: return "uri_too_long";
    case Kind::headers_too_large: return "headers_too_large";
    case Kind::not_implemented: return "not_implemented";
    case Kind::version: return "version";
    case Kind::denied: return "denied";
    case Kind::no_route: return "no_route";
    case Kind::method_not_allowed: return "method_not_allowed";
    case Kind::expectation: return "expectation";
    case Kind::rate_limited: return "rate_limited";
    case Kind::request_timeout: return "request_timeout";
    case Kind::misdirected: return "misdirected";
    case Kind::too_early: return "too_early";
    case Kind::loop: return "loop";
    case Kind::client_closed: return "client_closed";
    case Kind::connect_failed: return "connect_failed";
    case Kind::reset:
    case Kind::refused_stream: return "reset";  // what could not be replayed was reset, as the client sees it
    case Kind::bad_response: return "bad_response";
    case Kind::tls_failed: return "tls_failed";
    case Kind::no_endpoint: return "no_endpoint";
    case Kind::pool_timeout: return "pool_timeout";
    case Kind::pool_full: return "pool_full";
    case Kind::circuit_open: return "circuit_open";
    case Kind::overloaded: return "overloaded";
    case Kind::shutdown: return "drain";
    case Kind::no_local_port: return "no_local_port";
    case Kind::no_descriptor: return "no_descriptor";
    case Kind::connect_timeout: return "connect_timeout";
    case Kind::timeout: return "timeout";
  }
  return "";
}

std::string_view detail_word(Detail detail) {
  switch (detail) {
    case Detail::none: return "";
#define WORD(name) \
  case Detail::name: return #name
      WORD(cl_te);
      WORD(te);
      WORD(te_10);
      WORD(cl);
      WORD(chunk);
      WORD(ctl);
      WORD(obs_fold);
      WORD(name);
      WORD(host);
      WORD(target);
      WORD(path);
      WORD(upgrade);
      WORD(request_line);
      WORD(method);
      WORD(trailer);
      WORD(line_size);
      WORD(field_size);
      WORD(field_count);
      WORD(underscore);
      WORD(slow_head);
      WORD(slow_body);
      WORD(slow_read);
      WORD(slow_handshake);
      WORD(extra_bytes);
      WORD(truncated);
      WORD(status_line);
      WORD(framing);
      WORD(field);
      WORD(informational);
      WORD(switching);
      WORD(head_size);
      WORD(preface);
      WORD(frame);
      WORD(header_block);
      WORD(pseudo);
      WORD(flow_control);
      WORD(reset_flood);
      WORD(own_reset_flood);
      WORD(continuation_flood);
      WORD(hpack);
      WORD(control_flood);
      WORD(eof);
      WORD(forwarded);
      WORD(proxy_header);
#undef WORD
  }
  return "";
}

std::string_view by_word(Where where) { return where == Where::downstream ? "client" : where_word(where); }

std::string_view where_word(Where where) {
  switch (where) {
    case Where::none: return "";
    case Where::downstream: return "downstream";
    case Where::proxy: return "proxy";
    case Where::upstream: return "upstream";
  }
  return "";
}

}  // namespace sluice::http
