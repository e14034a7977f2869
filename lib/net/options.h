// Settings of sockets: which PROXY protocol is spoken on them. Plain values, filled by the config library
// and read by listeners and connectors; owned by whoever holds the snapshot they stand in.
#pragma once

#include <cstdint>

namespace sluice::net {

// `proxy_protocol` of a listener. `required`: v1 and v2 are told apart by their first bytes, and a connection
// without a header is closed.
enum class ProxyProtocolIn : std::uint8_t { off, required };

// `proxy_protocol` of an upstream: what a new connection sends before anything else.
enum class ProxyProtocolOut : std::uint8_t { off, v1, v2 };

}  // namespace sluice::net
