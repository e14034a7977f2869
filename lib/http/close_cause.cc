// The words of CloseCause in metrics and logs: the names of the enum.
#include "http/close_cause.h"

namespace sluice::http {

std::string_view cause_word(CloseCause cause) {
  switch (cause) {
#define WORD(name) \
  case CloseCause::name: return #name
    WORD(peer_closed);
    WORD(peer_reset);
    WORD(peer_asked);
    WORD(idle_timeout);
    WORD(max_lifetime);
    WORD(max_requests);
    WORD(protocol_error);
    WORD(extra_bytes);
    WORD(client_left);
    WORD(client_stalled);
    WORD(bad_request);
    WORD(route_timeout);
    WORD(retried);
    WORD(upstream_failed);
    WORD(early_answer);
    WORD(connect_failed);
    WORD(timeout);
    WORD(write_stalled);
    WORD(health);
    WORD(disabled);
    WORD(dns_removed);
    WORD(reload);
    WORD(drain);
    WORD(given_up);
    WORD(shed);
    WORD(tunnel_end);
    WORD(tls_failed);
    WORD(error);
#undef WORD
  }
  return "";
}

Side ended_by(CloseCause cause) {
  switch (cause) {
    case CloseCause::peer_closed:
    case CloseCause::peer_reset:
    case CloseCause::peer_asked:
    case CloseCause::connect_failed:
    case CloseCause::tunnel_end: return Side::peer;
    case CloseCause::idle_timeout:
    case CloseCause::max_lifetime:
    case CloseCause::max_requests:
    case CloseCause::protocol_error:
    case CloseCause::extra_bytes:
    case CloseCause::client_left:
    case CloseCause::client_stalled:
    case CloseCause::bad_request:
    case CloseCause::route_timeout:
    case CloseCause::retried:
    case CloseCause::upstream_failed:
    case CloseCause::early_answer:
    case CloseCause::timeout:
    case CloseCause::write_stalled:
    case CloseCause::health:
    case CloseCause::disabled:
    case CloseCause::dns_removed:
    case CloseCause::reload:
    case CloseCause::drain:
    case CloseCause::given_up:
    case CloseCause::shed:
    case CloseCause::tls_failed:
    case CloseCause::error: return Side::us;
  }
  return Side::us;
}

std::string_view side_word(Side side) { return side == Side::us ? "us" : "peer"; }

CloseCause cause_of_cut(const Failure& why) {
  switch (why.kind) {
    case Kind::none: return CloseCause::early_answer;
    case Kind::client_closed: return CloseCause::client_left;
    case Kind::request_timeout: return CloseCause::client_stalled;
    case Kind::timeout: return why.where == Where::proxy ? CloseCause::retried : CloseCause::route_timeout;
    case Kind::shutdown: return CloseCause::drain;
    case Kind::overloaded: return CloseCause::shed;
    default: break;
  }
  if (why.where == Where::downstream) return CloseCause::bad_request;
  return why.where == Where::proxy ? CloseCause::retried : CloseCause::upstream_failed;
}

}  // namespace sluice::http
