// TlsEvents: what a handshake came to, told to whoever counts it. Implemented above (metrics of a worker); called on
// the loop's thread, at most one of the two per connection.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"

namespace sluice::tls {

// Why a handshake failed. Closed list: a metric label.
enum class HandshakeError : std::uint8_t {
  timeout,  // handshake_timeout is over
  no_shared_cipher,  // no cipher, group or signature algorithm in common
  bad_certificate,  // the peer's certificate was not accepted (or none came), or the peer did not accept ours
  unknown_protocol,  // ALPN: nothing in common
  version,  // no TLS version in common
  http_request,  // plain HTTP on a TLS port
  eof,  // the peer left in the middle
  reset,  // the peer reset, or the socket failed
  other,
};

// "timeout", "no_shared_cipher", ...
std::string_view word(HandshakeError error);

struct HandshakeFacts {
  std::uint16_t version = 0;  // 0x0304 = TLS 1.3
  bool resumed = false;
  base::Micros took{};  // first byte awaited -> open
};

class TlsEvents {
 public:
  virtual void on_handshake(const HandshakeFacts& facts) = 0;
  virtual void on_handshake_error(HandshakeError why) = 0;

 protected:
  ~TlsEvents() = default;
};

}  // namespace sluice::tls
