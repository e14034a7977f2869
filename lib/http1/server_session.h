// The HTTP/1 side of a client connection: one request at a time, in order (threats.md rows 1 to 22).
#pragma once

#include "http/options.h"
#include "http/stream.h"
#include "http/validate.h"
#include "net/loop.h"
#include "net/transport.h"

namespace sluice::http1 {

// Takes over an open transport. `options` and `host` outlive the session; the host drops it when on_session_end was
// called. Options may change in place (options_changed): limits hold from the next head, times at once.
http::ServerSessionPtr make_server_session(net::Loop& loop, net::TransportPtr transport,
                                           const http::DownstreamOptions& options, http::Scheme scheme,
                                           http::ServerHost& host);

// Bytes of one idle connection here, without its transport (a test holds it below 256); and what is alive on this
// thread.
size_t idle_server_bytes();
size_t server_sessions_live();
size_t server_streams_live();

}  // namespace sluice::http1
