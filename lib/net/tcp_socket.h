// TcpSocket: the Transport over a real socket, TCP or Unix; made here, seen as a Transport everywhere else.
// An idle connection is one small object; queues, timers and requests are leased while there is something to do.
#pragma once

#include <cstddef>

#include "net/fd.h"
#include "net/transport.h"

namespace sluice::net {

// A connection that was accepted (non-blocking). It reads once start() was called.
TransportPtr accepted_socket(Loop& loop, Fd fd, const Address& remote, const Address& local);

// See Network::dial().
TransportPtr dial_socket(Loop& loop, const Address& to, const DialOptions& options);

// For the driver's end: closes what only waits for its last bytes to leave. `handle_data` = data of a uv_tcp_t.
void close_lingering(void* handle_data);

// Bytes of memory of an idle connection (docs and tests).
size_t idle_socket_bytes();
// Sockets of this thread, and of these the ones that hold a lease (tests).
size_t sockets_live();
size_t sockets_busy();

}  // namespace sluice::net
