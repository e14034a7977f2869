// The two tables of code.h.
#include "http2/code.h"

namespace sluice::http2 {

using http::Detail;
using http::Kind;

http::Detail detail_of(Code code) {
  switch (code) {
    case Code::no_error: return Detail::none;
    case Code::flow_control_error: return Detail::flow_control;
    case Code::compression_error: return Detail::hpack;
    case Code::enhance_your_calm: return Detail::control_flood;
    case Code::protocol_error:
    case Code::internal_error:
    case Code::settings_timeout:
    case Code::stream_closed:
    case Code::frame_size_error:
    case Code::refused_stream:
    case Code::cancel:
    case Code::connect_error:
    case Code::inadequate_security:
    case Code::http_1_1_required: return Detail::frame;
  }
  return Detail::frame;
}

Code code_for_client(const http::Failure& why) {
  switch (why.kind) {
    case Kind::none: return Code::no_error;
    case Kind::bad_request: return Code::protocol_error;
    case Kind::client_closed:
    case Kind::request_timeout: return Code::cancel;
    case Kind::shutdown: return why.untouched ? Code::refused_stream : Code::internal_error;
    case Kind::body_too_large:
    case Kind::uri_too_long:
    case Kind::headers_too_large:
    case Kind::not_implemented:
    case Kind::version:
    case Kind::denied:
    case Kind::no_route:
    case Kind::method_not_allowed:
    case Kind::expectation:
    case Kind::rate_limited:
    case Kind::misdirected:
    case Kind::too_early:
    case Kind::loop:
    case Kind::connect_failed:
    case Kind::reset:
    case Kind::bad_response:
    case Kind::tls_failed:
    case Kind::no_endpoint:
    case Kind::pool_timeout:
    case Kind::pool_full:
    case Kind::circuit_open:
    case Kind::overloaded:
    case Kind::no_local_port:
    case Kind::no_descriptor:
    case Kind::connect_timeout:
    case Kind::timeout:
    case Kind::refused_stream: return Code::internal_error;
  }
  return Code::internal_error;
}

}  // namespace sluice::http2
