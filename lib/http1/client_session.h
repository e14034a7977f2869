// The HTTP/1 side of a connection to an upstream: one request at a time (threats.md rows 23 to 31).
#pragma once

#include "http/options.h"
#include "http/stream.h"
#include "net/loop.h"
#include "net/transport.h"

namespace sluice::http1 {

// Takes over an open transport. `host` outlives the session and drops it when on_session_end was called. on_slots()
// also tells that a tunnel began (in_tunnel() is true from then on).
http::ClientSessionPtr make_client_session(net::Loop& loop, net::TransportPtr transport, const http::HttpLimits& limits,
                                           http::ClientHost& host);

size_t idle_client_bytes();
size_t client_sessions_live();
size_t client_streams_live();

}  // namespace sluice::http1
