// The opening handshake of WebSocket (RFC 6455 4), as far as it differs between HTTP versions: over HTTP/1 the client
// proves with a key that the server read its request; over HTTP/2 (RFC 8441 5) there is no key. Sessions make and check
// what the other side does not have.
#pragma once

#include <string_view>

#include "base/arena.h"

namespace sluice::http {

inline constexpr std::string_view websocket = "websocket";  // the upgrade token
inline constexpr std::string_view websocket_version_field = "sec-websocket-version";
inline constexpr std::string_view websocket_version = "13";

// A random Sec-WebSocket-Key.
std::string_view websocket_key(base::Arena& arena);
// The Sec-WebSocket-Accept that answers it.
std::string_view websocket_accept(std::string_view key, base::Arena& arena);

}  // namespace sluice::http
