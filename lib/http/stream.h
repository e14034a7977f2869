// The contract between an HTTP session (of any version, either side) and whoever handles one exchange of it.
//
//   Stream: one request/response on one connection; lives in its session. Downcalls; none of them calls the Sink.
//   Sink:   Exchange, Attempt, admin page, health probe. Upcalls; they start at the loop only.
//
// Order of upcalls: on_head (1xx heads first, any number, each End::no; then one final) -> on_body* -> [on_trailers] ->
// on_closed.
//   End::yes on a head or body, or on_trailers, ends the peer's direction; none of the three follows it.
//   on_malformed (server side only) may come once instead of, or after, on_head: see there.
//   on_closed comes exactly once and last, when both directions have ended (clean) or the stream died (not clean);
//   after cancel() nothing comes at all.
// Order of downcalls: send_head (1xx any number, then one final) -> send_body* -> [send_trailers], with one End in all;
// after
//   that only consume() and cancel(). Calls after on_closed are forbidden: the Stream is gone.
// Memory: `head` and what its views point to stay until on_closed() has returned, or cancel() or release_head() was
// called. Heads,
//   trailers and views given to send_* are serialised before the call returns.
// Credit: a session hands up at most `window` body bytes that were not consumed; consume(n) gives credit back, best
// called
//   when the bytes have left on the other side (its on_sent). on_sent(n) tells that n body bytes were moved to the
//   socket queue. The table of ends, aborts and errors for each version: lib/http/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "http/close_cause.h"
#include "http/failure.h"
#include "http/head.h"
#include "net/transport.h"

namespace sluice::http {

enum class End : bool { no, yes };

class Sink;

class Stream {
 public:
  virtual void send_head(const Head& head, End end) = 0;  // request on a client session, response on a server session
  virtual void send_body(net::ByteQueue&& bytes, End end) = 0;
  virtual void send_trailers(const Fields& trailers) = 0;  // implies End::yes
  virtual void consume(size_t bytes) = 0;
  // Hard stop: HTTP/2 RST_STREAM (code from the failure), HTTP/1 the connection ends so that nothing cut looks complete
  // (RST, or short of the length). After a complete answer on HTTP/1 server side it only means "do not keep alive"; a
  // tunnel of a client session that both directions have ended only loses its sink, what was given to it goes out.
  virtual void cancel(const Failure& why) = 0;
  // Server side: what the request costs elsewhere, for the limits on cancels (threats.md row 55). It has gone to an
  // upstream; the work there was undone before its answer was whole, for what the client did or by its deadline. A
  // cancel by the client speaks for itself.
  virtual void forwarded() {}
  virtual void recalled() {}
  virtual const net::Peer& peer() const = 0;
  virtual Version version() const = 0;
  virtual base::Arena& arena() = 0;  // memory for this request, lives like `head`
  // The sink looks no more at texts of the head that came (on the client side: the final one), nor at what it took of
  // arena(), but for what it has put into `kept`: that becomes arena(), and the rest is in `kept`, the caller's to
  // free. The fields are gone; texts that it kept the caller writes into the head. False, and nothing has changed:
  // trailers are on their way, and stand in the same memory.
  virtual bool release_head(base::Arena& kept) = 0;
  // Microseconds spent before this request for the log: server side: none; client side: 0 if the connection was reused.
  virtual bool reused() const { return false; }  // client side: not the first stream of its connection
  // Server side. The session itself keeps the clock of what the client owes; only this it cannot see: a request whose
  // body may be silent before its answer begins, because it costs nothing scarce (a gRPC call that HTTP/2 carries on
  // both sides). Default: it may not.
  virtual void allow_silence(bool) {}
  // Server side: may the client send more of its body before some is consumed?
  virtual bool credit_open() const { return true; }

 protected:
  ~Stream() = default;
};

class Sink {
 public:
  virtual void on_head(Head& head, End end) = 0;
  virtual void on_body(net::ByteQueue&& bytes, End end) = 0;
  virtual void on_trailers(Fields& trailers) = 0;
  virtual void on_sent(size_t bytes) = 0;
  // Server side only. The request is malformed, over a limit, or too slow: nothing more of it will come. `head` holds
  // what could be understood (maybe nothing). If no final head was sent: answer now with status_of(why.kind)
  // (send_head, body, End::yes); the session ends the connection after that answer. Otherwise: cancel(). Never forward
  // anything of it.
  virtual void on_malformed(Head& head, const Failure& why) = 0;
  // Server side, HTTP/1: the client will send no more after this request (FIN behind it): it has left, or waits half
  // closed. May come more than once. The session itself cuts an answer that does not begin, or is silent, for
  // half_close_grace; what has not reached an upstream yet may be cancelled at once.
  virtual void on_half_closed() {}
  virtual void on_closed(const Failure& why) = 0;

 protected:
  ~Sink() = default;
};

// ---- Server side ------------------------------------------------------------------------------------------------

class ServerSession;

// The worker, seen from its client connections.
class ServerHost {
 public:
  // A request begins (its head was read, or it is malformed): who takes it? Called at the loop; the Sink's first upcall
  // follows.
  virtual Sink& on_stream(ServerSession& session, Stream& stream) = 0;
  // Since its latest request, or since it began, all streams have ended and their answers are with the kernel: nothing
  // is lost if the host lets go of the session now. Both are the last thing that a session does in its call.
  // on_leaving: nothing more is taken or sent, only the client's own close is awaited.
  virtual void on_idle(ServerSession&) {}
  virtual void on_leaving(ServerSession&) {}
  // A request came, or the beginning of one, on a connection that idle_timeout had just ended. It is not answered.
  virtual void on_late_request(ServerSession&) {}
  // Once, last: no stream is open. The host lets go of the session (Owned).
  virtual void on_session_end(ServerSession& session, CloseCause cause) = 0;
  // protocol_errors_total{side="downstream"}: faults that have no stream to be told on (HTTP/2 connection errors).
  virtual void on_protocol_error(Detail detail) = 0;

 protected:
  ~ServerHost() = default;
};

// What a session says to a person who looks into the process.
struct SessionLook {
  std::string_view protocol;  // both are literals
  std::string_view phase;
  base::Micros since;  // of the phase; busy: of its oldest request
  uint32_t requests = 0;  // so far
};

// Is shown the sinks of a session. Calls nothing of it.
class SinkVisitor {
 public:
  // `number`: of the request, rising in its connection from 1. False: it has seen enough.
  virtual bool visit(uint32_t number, Sink& sink) = 0;

 protected:
  ~SinkVisitor() = default;
};

class ServerSession {
 public:
  // No new requests: idle now -> closes now; else the open ones finish (HTTP/1: answers carry Connection: close;
  // HTTP/2: two-step GOAWAY). on_session_end follows.
  virtual void drain(CloseCause cause) = 0;
  // While `on` each answer that begins is the last one of its connection, where the answer itself can say so (HTTP/1:
  // Connection: close); idle connections stay. HTTP/2 cannot say it: nothing, until drain(). Off again: from the next
  // answer on as ever.
  virtual void close_after_answer(bool on) = 0;
  // It drains itself when it is max_age x permille / 1000 old: the share that is its own, told at its beginning.
  virtual void spread_age(uint16_t permille) = 0;
  // The options that it was made with have changed, in place: what is owed under them is looked at in a later turn.
  virtual void options_changed() = 0;
  // Everything ends now, cut streams look cut. Streams get on_closed(why), then on_session_end follows, at the loop.
  virtual void abort(const Failure& why, CloseCause cause) = 0;
  virtual uint32_t open_streams() const = 0;
  virtual SessionLook look() = 0;
  virtual void show_sinks(SinkVisitor& to) = 0;  // of the open streams, oldest first
  virtual const net::Peer& peer() const = 0;
  virtual void retire() noexcept = 0;  // for net::Owned

 protected:
  ~ServerSession() = default;
};
using ServerSessionPtr = net::Owned<ServerSession>;

// ---- Client side ------------------------------------------------------------------------------------------------

class ClientSession;

// The pool, seen from its upstream connections.
class ClientHost {
 public:
  virtual void on_slots(
      ClientSession& session) = 0;  // slots() became > 0, or grew, or fell to 0 without an open(); a tunnel began
  // Once, last: no stream is open. The host lets go of the session (Owned).
  virtual void on_session_end(ClientSession& session, CloseCause cause) = 0;
  virtual void on_protocol_error(Detail detail) = 0;  // protocol_errors_total{side="upstream"} without a stream

 protected:
  ~ClientHost() = default;
};

// Should the connection be looked at (quiet_now) before it is used? `surely`: what may not be replayed.
enum class Borrow : uint8_t { quick, surely };
// `quick` trusts a connection that was idle for no longer than this: the loop has polled it since, no server's idle
// timeout is that short, and a request that meets its end all the same is replayed. A look costs a system call.
inline constexpr base::Micros trusted_idle{25'000};

// An idle connection on its way to another worker. Whoever lets go of it, in any thread, closes it.
class PackedSession {
 public:
  virtual ~PackedSession() = default;
  // In the thread of `loop`, once. nullptr: it has ended meanwhile.
  virtual net::Owned<ClientSession> unpack(net::Loop& loop, ClientHost& host) = 0;
};

class ClientSession {
 public:
  virtual Stream* open(Sink& sink) = 0;  // nullptr when slots() == 0
  virtual uint32_t slots() const = 0;  // HTTP/1: 0 or 1; HTTP/2: the peer's limit minus open streams
  virtual uint32_t open_streams() const = 0;
  // False: a FIN, an error or stray bytes are there; the session will end by itself and must not be used.
  // quick: looks at the socket only if the connection was idle for longer than trusted_idle.
  virtual bool validate(Borrow how) = 0;
  virtual void retire_when_idle(CloseCause cause) = 0;  // no new streams (slots() = 0), closes when empty
  virtual void abort(CloseCause cause) = 0;  // everything ends now; on_session_end follows at the loop
  virtual base::Micros idle_since() const = 0;  // meaningful while open_streams() == 0
  // How long the peer keeps an idle connection, less one second (Keep-Alive: timeout=N); negative = it did not say.
  virtual base::Millis peer_idle_timeout() const = 0;
  virtual uint64_t streams_opened() const = 0;  // since the connection was made
  // A session that is idle and may be used again leaves this thread. No upcall follows; the host lets go of what stays.
  // nullptr: it cannot (something is under way), and nothing has changed.
  virtual std::unique_ptr<PackedSession> pack() { return nullptr; }
  virtual bool travels() const { return false; }  // is of a kind that pack() is made for; HTTP/2 is not
  virtual bool in_tunnel() const = 0;  // carries an upgraded exchange: leaves max_connections
  virtual const net::Peer& peer() const = 0;
  virtual void retire() noexcept = 0;  // for net::Owned

 protected:
  ~ClientSession() = default;
};
using ClientSessionPtr = net::Owned<ClientSession>;

}  // namespace sluice::http
