// TLS as a net::Transport on a net::Transport: handshake, then one socket read opens many records and one flush seals
// all that the user gives into one write. RFC 8446 (1.3), 5246 (1.2). Slab-allocated per thread; the caller owns it as
// any transport.
//
// What the user sees beside the contract of net/transport.h:
//   on_open    the handshake is done; peer() has version, resumed, alpn, sni and certificate_covers
//   on_eof     authenticated = the peer said close_notify
//   on_end     tls_failed (handshake or record), tls_unverified (the peer's certificate), or what the lower transport
//   said;
//              end_detail() has the words for the log
//   shut_write close_notify, then the lower transport's FIN
//   close      after_flush sends close_notify and FIN; now and reset send none
#pragma once

#include <memory>
#include <string_view>

#include "base/clock.h"
#include "net/transport.h"
#include "tls/context.h"
#include "tls/events.h"

namespace sluice::tls {

inline constexpr std::uint32_t record_bytes_max = 16 * 1024 - 22;  // plaintext of one record: sealed it fills a chunk
inline constexpr std::uint32_t small_record_bytes = 4 * 1024;  // at the start of an answer after idle: the peer can
inline constexpr std::uint32_t small_records_for_bytes =
    32 * 1024;  // use it before a whole 16 KiB has crossed the wire
inline constexpr base::Millis idle_before_small = base::seconds(1);

struct HandshakeOptions {
  base::Millis timeout{0};  // absolute, from now; 0 = none. Over: on_end(tls_failed), detail "handshake timeout"
  TlsEvents* events = nullptr;  // must outlive the transport's retire(); nullptr = nobody counts
  bool only_http1 = false;  // client: offers "http/1.1" alone, whatever the context says
};

// The server's side of `lower`, which is open or will open. Starts `lower` (and thus must be its only user).
net::TransportPtr accept(net::Loop& loop, net::TransportPtr lower, std::shared_ptr<const ServerContext> context,
                         const HandshakeOptions& options);

// The client's side. `server_name` without port: sent as SNI and verified (an IP address is verified but not sent).
// `sessions` may be nullptr: no resumption.
net::TransportPtr connect(net::Loop& loop, net::TransportPtr lower, std::shared_ptr<const ClientContext> context,
                          std::string_view server_name, SessionSlot* sessions, const HandshakeOptions& options);

// Transports of this thread whose memory is not back yet, and of these the ones that hold a lease because something is
// under way (tests).
std::size_t transports_live();
std::size_t transports_busy();

}  // namespace sluice::tls
