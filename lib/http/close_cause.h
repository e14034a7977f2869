// CloseCause: why a connection ended, and who ended it. The closed list behind {cause,by} of
// upstream_connections_closed_total and downstream_connections_closed_total.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/failure.h"

namespace sluice::http {

enum class CloseCause : uint8_t {
  peer_closed,        // FIN between requests
  peer_reset,
  peer_asked,         // Connection: close, GOAWAY, HTTP/1.0
  idle_timeout,       // our own, or the Keep-Alive: timeout the peer announced
  max_lifetime,
  max_requests,
  protocol_error,     // the peer broke the protocol
  extra_bytes,        // bytes on an idle connection, or after an answer
  client_left,        // the client of the request on it
  client_stalled,     // the client of the request on it read or sent too slowly
  bad_request,        // the rest of the request turned out to be malformed, or too large
  route_timeout,      // the request on it: timeout, stream_idle_timeout, grpc-timeout, max_stream_duration
  retried,            // its try was given up for another one, by per_try_timeout or for its status
  upstream_failed,    // the answer on it cannot go on
  early_answer,       // the answer was whole before the request was, and nobody needs the rest
  connect_failed,
  timeout,            // a time limit of a request or of the head
  write_stalled,
  health,             // its endpoint was found down
  disabled,           // its endpoint was taken out by an operator
  dns_removed,        // its endpoint left the answer
  reload,             // its upstream or listener left the configuration
  drain,
  given_up,           // another worker needed the slot
  shed,               // oldest idle closed at max_connections, or no memory for its head (max_memory)
  tunnel_end,
  tls_failed,
  error,              // local I/O error
};
inline constexpr unsigned close_causes = static_cast<unsigned>(CloseCause::error) + 1;

std::string_view cause_word(CloseCause cause);

// Who ended it: we, or the other end of that connection. Each cause has one side.
enum class Side : uint8_t { us, peer };
Side ended_by(CloseCause cause);
std::string_view side_word(Side side);  // "us", "peer"

// Why a connection ends whose request was given up half-way for `why` (HTTP/1: it can carry no other).
CloseCause cause_of_cut(const Failure& why);

}  // namespace sluice::http
