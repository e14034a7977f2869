// The HTTP/2 side of a connection to an upstream: many requests at a time (RFC 9113; threats.md rows 23 to 31).
#pragma once

#include <atomic>

#include "http/options.h"
#include "http/stream.h"
#include "net/loop.h"
#include "net/transport.h"

namespace sluice::http2 {

// Takes over an open transport. `host` outlives the session and drops it when on_session_end was called.
// `stream_limit` (may be nullptr; outlives the session): the least that the endpoint's SETTINGS have allowed at once,
// written here as it is learned (several servers may stand behind one address); until a connection's own SETTINGS are
// here it carries as many streams as that was when it was made, or one if nothing is known (0).
// `patience`: how long a peer that lives may be silent when it is asked (connect_timeout).
http::ClientSessionPtr make_client_session(net::Loop& loop, net::TransportPtr transport, const http::HttpLimits& limits,
                                           http::ClientHost& host, std::atomic<uint32_t>* stream_limit = nullptr,
                                           base::Millis patience = base::seconds(1));

size_t client_sessions_live();
size_t client_streams_live();

}  // namespace sluice::http2
