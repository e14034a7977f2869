// CloseCause: who ended a connection, and why. The closed list behind upstream_connections_closed_total{cause} and
// downstream_connections_closed_total{cause}.
#pragma once

#include <cstdint>
#include <string_view>

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
  request_aborted,    // the request on it was cancelled half-way
  connect_failed,
  timeout,            // a time limit of a request or of the head
  write_stalled,
  health,             // its endpoint was found down
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

}  // namespace sluice::http
