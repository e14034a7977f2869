// The HTTP/2 side of a client connection: many requests at a time (RFC 9113; threats.md rows 31, 33 to 40).
#pragma once

#include "http/options.h"
#include "http/stream.h"
#include "http/validate.h"
#include "net/loop.h"
#include "net/transport.h"

namespace sluice::http2 {

// Takes over an open transport whose first bytes are the client's preface. `options` and `host` outlive the session;
// the host drops it when on_session_end was called. Options may change in place (options_changed): limits hold from the
// next head, times at once; what our SETTINGS promised (Http2Options) holds for the session's life.
http::ServerSessionPtr make_server_session(net::Loop& loop, net::TransportPtr transport,
                                           const http::DownstreamOptions& options, http::Scheme scheme,
                                           http::ServerHost& host);

// What is alive on this thread.
size_t server_sessions_live();
size_t server_streams_live();

}  // namespace sluice::http2
