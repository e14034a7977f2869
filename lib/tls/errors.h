// Words for what BoringSSL says: the closed list of handshake errors and the detail for logs. Inside lib/tls only.
#pragma once

#include <cstdint>
#include <string>

#include "tls/events.h"

namespace sluice::tls {

// Empties this thread's error queue; returns the entry that tells most about a handshake or a record, 0 if there was
// none.
std::uint32_t take_error();
// `packed`: an entry of BoringSSL's error queue; 0 = it said nothing.
HandshakeError classify(std::uint32_t packed);
// "the peer sent alert: unknown CA", "no shared cipher", "plain HTTP on a TLS port".
std::string describe(std::uint32_t packed);

}  // namespace sluice::tls
