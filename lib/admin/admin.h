// The admin listener: health, metrics, status, drain and reload over HTTP, on the control thread's loop, so that it
// never stands behind proxy traffic. Requests are Sinks on the same sessions as everybody's: no second HTTP stack.
#pragma once

#include <memory>

#include "admin/backend.h"
#include "http/options.h"
#include "http/stream.h"
#include "net/listener.h"
#include "net/loop.h"

namespace sluice::admin {

// Speaks with a client in the clear. Which version of HTTP that is, is known where sessions are chosen
// (runtime/acceptor.cc).
using SessionMaker = http::ServerSessionPtr (*)(net::Loop& loop, net::TransportPtr transport,
                                                const http::DownstreamOptions& options, http::ServerHost& host);

class AdminServer {
 public:
  static constexpr size_t connections_max = 128;  // the oldest one goes for a new one
  // GET /status as Server-Sent Events: so many streams at a time. An event that has not been read when the next one is
  // due costs the client that one; so many in a row, and its stream ends.
  static constexpr size_t streams_max = 16;
  static constexpr uint32_t events_missed_most = 5;
  // POST /reload?confirm=60s
  static constexpr base::Millis confirm_least = base::seconds(1);
  static constexpr base::Millis confirm_most = base::hours(1);

  // Listens on `socket` until destroyed. `backend` outlives the server.
  AdminServer(net::Loop& loop, net::Fd socket, SessionMaker make_session, Backend& backend,
              base::Millis event_every = base::seconds(1));
  ~AdminServer();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::admin
