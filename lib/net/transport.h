// Transport: ordered bytes both ways between us and one peer: a TCP socket, TLS on top of one, or a pipe of the
// simulation. Its User (a session) is pulled: code calls touch(), the loop's flush asks the user to fill, and one write
// leaves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "net/address.h"
#include "net/byte_queue.h"
#include "net/fd.h"
#include "net/loop.h"

namespace sluice::net {

// Why a transport ended. `closed`: both directions finished in order (or we closed).
enum class EndReason : uint8_t {
  closed,
  reset,  // the peer reset, or a write met a closed peer
  refused,  // connect: refused
  unreachable,  // connect: no route, host down, or no such socket file
  connect_timeout,
  no_local_port,  // connect: none is free towards that address
  no_descriptor,  // connect: the process or the machine has none
  no_resources,  // no memory, or the source address is not ours
  tls_failed,  // handshake or record error
  tls_unverified,  // the peer's certificate was not accepted
  write_stalled,  // no byte left for the write timeout
};

enum class Close : uint8_t {
  after_flush,  // what is queued goes out first, then FIN (and close_notify in TLS)
  now,  // drop what is queued; FIN
  reset,  // drop what is queued; RST, so that nothing cut looks complete
};

enum class Reading : uint8_t { paused, allowed };

// What is known of both ends and of TLS. Stable while the transport lives.
struct Peer {
  Address remote;  // the peer; for a client behind PROXY protocol: what the header says
  Address local;  // our end; likewise
  Address socket_remote;  // the real other end of the socket
  bool tls = false;
  bool tls_resumed = false;
  bool tls_early = false;  // request bytes may have come as 0-RTT
  uint16_t tls_version = 0;  // 0x0304 = TLS 1.3
  std::string_view alpn;  // "h2", "http/1.1", ""
  std::string_view sni;  // as sent by the client, lower case; "" = none
  // TLS server: does the certificate that was sent cover `host` (RFC 6125 rules, host lower case, no port)? nullptr: no
  // TLS.
  bool (*certificate_covers)(const void* certificate, std::string_view host) = nullptr;
  const void* certificate = nullptr;
};

// What the peer's host acknowledges, whether or not anybody there reads.
struct Acks {
  uint32_t owed = 0;  // segments under way; none of those that wait for its window
  uint32_t repeats = 0;  // the oldest of them was sent again so often since anything was acknowledged
  base::Micros silent{};  // since it acknowledged anything: long ago, too, when nothing was owed
};

class Transport;
using TransportPtr = Owned<Transport>;

// A connection on its way to another thread, known to no loop. Whoever lets go of it, in any thread, closes it.
class Packed {
 public:
  virtual ~Packed() = default;
  // In the thread of `loop`, once: open, with nobody started on it yet.
  virtual TransportPtr unpack(Loop& loop) = 0;
};

class Transport {
 public:
  // Upcalls; they start at the loop only, never inside one of the downcalls below.
  class User {
   public:
    // Once, before any on_bytes: a dialled transport is connected, TLS has shaken hands. An accepted plain socket is
    // open from the start and skips it (see open()).
    virtual void on_open() {}
    // New bytes are in `in`: take what can be used, leave the rest; later bytes join what was left (contiguously while
    // the chunk has room). Called again only when more came, reading was allowed again, or start() was called.
    virtual void on_bytes(ByteQueue& in) = 0;
    // Flush time: move up to about `room` bytes to `out` (a head may exceed it). Called once per flush after touch(),
    // and again when the kernel has taken everything if less than `high_mark` was offered as room or at least half of
    // it was used; a user that gave less than half of `high_mark` has nothing more until it says touch().
    virtual void fill(ByteQueue& out, size_t room) = 0;
    // The peer will send no more (FIN; in TLS `authenticated` = by close_notify, in the clear always true). We may
    // still write.
    virtual void on_eof(bool authenticated) = 0;
    // Reading is paused, and the peer's FIN stands behind what was not read: it has left, or is half closed. At most
    // once a user, about a second after the FIN; on_eof follows when reading gets there. In TLS nobody has vouched for
    // it.
    virtual void on_fin_behind() {}
    // What fill() gave has left to the kernel altogether (the queue ran empty). Sessions that wait for it to close use
    // it.
    virtual void on_drained() {}
    // Once, last; not after close(). Nothing more comes and nothing more can be sent.
    virtual void on_end(EndReason why) = 0;

   protected:
    ~User() = default;
  };

  // Binds the user (downcall). May be called again to hand over; bytes the former user left are offered anew at the
  // loop.
  virtual void start(User& user) = 0;
  virtual bool open() const = 0;  // connected (and hands shaken)
  virtual void touch() = 0;  // "I have something to write": fill() comes in this turn's flush
  virtual void allow_reading(Reading) = 0;  // paused: no on_bytes until allowed again; the kernel's window fills
  virtual void shut_write() = 0;  // FIN (close_notify) once fill() has nothing more and all of it has left
  // No upcall follows, so what was not given to fill() yet is not sent: `after_flush` is for after on_drained(), or
  // when unsent() tells what is still under way. Idempotent.
  virtual void close(Close how) = 0;
  virtual size_t unsent() const = 0;  // bytes taken by fill() that the kernel has not taken
  // Those, and what the kernel has taken and the peer has not acknowledged (TLS: about; one system call). A kernel
  // takes more only when a good part of its buffer is free, so beside a slow reader unsent() alone stands still for
  // minutes.
  virtual size_t unacknowledged() const { return unsent(); }
  // A stall of `after` with unsent bytes ends the transport (EndReason::write_stalled). 0 = never. Default 0.
  virtual void limit_write_stall(base::Millis after) = 0;
  // Looks at an idle connection without the loop (one system call): false if a FIN, an error or bytes are there.
  virtual bool quiet_now() = 0;
  virtual Acks acks() const = 0;  // one system call; {} if it is not known (a Unix socket)
  virtual const Peer& peer() const = 0;
  virtual void set_peer(const Address& remote, const Address& local) = 0;  // PROXY protocol
  // Detail for logs after on_end ("certificate has expired", "ECONNREFUSED"); "" = none. Valid until retire().
  virtual std::string_view end_detail() const = 0;
  // An open connection with nothing under way, either way, leaves this thread; what stays here is closed, without an
  // upcall. nullptr: it cannot, and nothing has changed.
  virtual std::unique_ptr<Packed> pack() { return nullptr; }
  // Called by Owned<Transport>: closes if needed; memory goes at the end of the turn.
  virtual void retire() noexcept = 0;

  // High mark of the queue behind fill(): a transport asks for `high_mark - unsent()` bytes.
  static constexpr size_t high_mark = 64 * 1024;

 protected:
  ~Transport() = default;
};

struct DialOptions {
  base::Millis connect_timeout = base::seconds(1);
  base::Millis keepalive = base::seconds(30);  // of silence until the peer's host is asked whether it lives; 0 = never
  base::Millis user_timeout{0};  // TCP_USER_TIMEOUT: unacknowledged for so long ends it; 0 = the system's patience
  Address source{};  // Family::none: the kernel chooses
  Takes takes = Takes::what_traffic_may;
};

// Where connections to upstreams come from: real sockets, or the simulation's wires.
class Network {
 public:
  virtual ~Network() = default;
  // Starts to connect. Never null; failures come as on_end (refused, unreachable, connect_timeout, no_...),
  // at the loop, after start().
  virtual TransportPtr dial(Loop& loop, const Address& to, const DialOptions& options) = 0;
};

}  // namespace sluice::net
