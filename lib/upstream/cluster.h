// Cluster: one upstream as one worker sees it: its endpoints with their pools, the balancer that picks among them, and
// the one queue of requests that wait for a connection. What all workers share about it lives in shared.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/list.h"
#include "http/lane.h"
#include "http/stream.h"
#include "net/timer.h"
#include "upstream/avoid_list.h"
#include "upstream/circuit.h"
#include "upstream/client_shares.h"
#include "upstream/options.h"
#include "upstream/pool_class.h"
#include "upstream/standing.h"

namespace sluice::upstream {

class Endpoint;  // one address as this worker sees it; stays alive while a Lease holds it

// What else counts one request, from its grant to its end.
struct Counts {
  Circuit::Pass circuit;
  ClientShares::Hold client;
  void give_back() {
    circuit.give_back();
    client.give_back();
  }
};

// Counts one request in flight at one endpoint, from the grant to done() (or its own end: Outcome::unknown). Keeps the
// endpoint alive until it dies or is assigned to, so endpoint() may be read after done().
class Lease {
 public:
  Lease() = default;
  explicit Lease(Endpoint& endpoint, Counts counts = {});  // counted already: Endpoint::reserve()
  Lease(Lease&& o) noexcept;
  Lease& operator=(Lease&& o) noexcept;
  ~Lease();
  // `pause`: it asks not to be asked again for so long; 0 = it does not.
  void done(Outcome outcome, base::Millis pause = {}) {
    if (counted_) end(outcome, pause);
  }
  // For the endpoint's time to head, from the grant or, where that was later, from the request's end: what the client
  // takes to send it is not the endpoint's. request_ended() before the head, if at all; head() once.
  void request_ended();
  void head(Outcome so_far, std::uint16_t status);
  void became_tunnel() { counts_.give_back(); }  // which no longer counts
  Endpoint* endpoint() const { return endpoint_; }

 private:
  void end(Outcome outcome, base::Millis pause);
  void let_go() {
    if (endpoint_ != nullptr) leave();
  }
  void leave();
  Endpoint* endpoint_ = nullptr;
  base::Micros since_{};
  base::Micros asked_{};  // since when the endpoint has all it needs for a head
  bool counted_ = false;
  bool trial_ = false;  // it is the one request that says whether an ejected endpoint is well again
  Counts counts_;
};

// A request that asks for an upgrade. by_any: over HTTP/2 if the endpoint is not known to lack it (RFC 8441); by_http1:
// not over HTTP/2.
enum class Upgrade : uint8_t { none, by_any, by_http1 };

// What a try needs from the cluster.
struct Want {
  http::Borrow borrow =
      http::Borrow::quick;  // surely: the request may not be replayed (POST): newest connection, looked at
  bool fresh = false;  // only a connection of its own: a replay after a dead reused one
  const AvoidList* avoid = nullptr;  // taken only if nothing else is usable; stays as it is while the try waits
  base::Millis budget{0};  // longest wait; 0 = the pool's acquire_timeout
  base::Micros until{};  // from then on nobody waits for the answer: it gets no place any more; 0 = no such time
  const net::Peer* client = nullptr;  // for proxy_protocol towards the upstream
  uint64_t key = 0;  // ring_hash: upstream::ring_hash() of what `hash_on` names; 0 = the request has none
  http::Lane lane = http::Lane::normal;  // who goes first of those that wait
  Upgrade upgrade = Upgrade::none;
  std::uint32_t client_mark = 0;  // client_mark(): whose share it counts in; 0 = nobody's
  std::string_view route;  // by its name: it may be in a pool class; outlives the request
};

// A stream that was opened for the try.
struct Grant {
  http::Stream* stream = nullptr;
  Lease lease;
  bool reused = false;  // not the first stream of its connection
  base::Micros queue_wait{0};  // in the queue, connecting included
  base::Micros connect{0};  // TCP part if this request waited for a new connection, else 0
  base::Micros tls{0};  // handshake part, likewise
};

class Connection;
class WaitQueue;

// What a waiter says to a person who looks into the process.
struct WaitLook {
  // A literal: "pool": all it may use is at its cap; "pool_class": its class is; "connect"; "refusal": under way
  std::string_view waits_for;
  std::string_view endpoint;  // that is connected to; valid as endpoint_name()
  base::Micros since;
  base::Micros left;  // of its time in the queue, which does not run during a connect
};

// Waits in the cluster's queue; embedded in an Attempt; leaves the queue when it dies or is unlinked (give up).
class Waiter : public base::ListHook<class WaitTag> {
 public:
  Waiter();
  // At the loop, once: either of the two. The waiter is out of the queue before the call.
  virtual void on_stream(Grant&& grant) = 0;
  // connect_failed, connect_timeout, tls_failed, no_endpoint, pool_timeout, ...; `endpoint` is the one that failed, or
  // nullptr.
  virtual void on_refused(const http::Failure& why, const Endpoint* endpoint) = 0;
  // From its on_stream() to over(): since when its client has taken nothing of an answer that is here; 0 = it takes it.
  virtual base::Micros stalled_since() const { return {}; }
  // At the loop: it has stalled longest, others wait, and its stream is to end now.
  virtual void on_give_way() {}
  // Gives up: no upcall follows. Nothing happens if it does not wait. (Hides ListHook::unlink, which would leave counts
  // behind.)
  void unlink();
  // Waits at the caps: no connection was made for it.
  bool queued() const { return class_queue_ != nullptr || (undialled_.linked() && !was_dialled_); }
  // Counts no longer in its pool class: it asks for nothing more, or has become a tunnel. Until then its further tries
  // keep the place.
  void leave_class() { class_pass_.give_back(); }
  // Of the last refusal for want of a place, a word of the log: pool_class, shed; "" = none of them.
  std::string_view refused_as() const { return refused_as_; }
  WaitLook look(base::Micros now) const;  // while it waits
  // How long a connection was being made for it while it waits, or waited last.
  base::Micros dialled(base::Micros now) const {
    return dialled_ + (dialled_at_.count < 0 ? base::Micros{0} : now - dialled_at_);
  }
  void set_until(base::Micros until) { want_.until = until; }  // while it waits: Want::until is known, or another one
  // Nobody would wait for what it is given now. Its own time limit is about to tell its owner.
  bool past(base::Micros now) const;
  // While it waits:
  const Want& want() const { return want_; }
  http::Sink& sink() const { return *sink_; }
  base::Micros since() const { return since_; }

 protected:
  ~Waiter();
  void over() { held_.unlink(); }  // it has no stream any more

 private:
  friend class WaitQueue;  // nobody else: where a waiter stands is the queue's to say
  friend class ClassQueue;  // which is a part of it
  friend class Holders;
  // In the queue's second list while no connection is being made for it.
  struct Undialled : base::ListHook<class UndialledTag> {
    explicit Undialled(Waiter& w) : waiter(w) {}
    Waiter& waiter;
  };
  // In the list of those that were served.
  struct Held : base::ListHook<class HeldTag> {
    explicit Held(Waiter& w) : waiter(w) {}
    Waiter& waiter;
  };
  void on_timer();

  WaitQueue* queue_ = nullptr;  // while it waits, or its refusal is under way
  http::Sink* sink_ = nullptr;
  Want want_{};
  base::Micros asked_{};  // for a place of its class, or as since_
  base::Micros since_{};  // in that queue
  base::Micros left_{};  // budget left; runs only while undialled (connecting has connect_timeout)
  Connection* dial_ = nullptr;  // the connect made for it
  base::Micros dialled_at_{-1};  // since when a connect is made for it; negative: none is
  base::Micros dialled_{};  // all that were, before that
  bool was_dialled_ = false;  // a connect was made for it, now or before
  bool made_room_ = false;  // an idle connection was closed so that a fresh one fits below the cap
  std::string_view refused_as_;  // a literal
  ClassQueue* class_queue_ = nullptr;  // while it waits for a place of its class
  ClassPass class_pass_;
  Undialled undialled_{*this};
  Held held_{*this};
  net::Timer timer_;
  Circuit::Pass pass_;  // until it is refused, or its Lease has it
  http::Failure refusal_{};  // not clean: refused, the upcall is under way
  const Endpoint* refused_by_ = nullptr;
};

class Cluster {
 public:
  virtual ~Cluster() = default;
  // Opens a stream for `sink` now (true, `grant` filled) or queues the waiter (false; one of its upcalls follows, at
  // the loop, also for refusals known at once: no endpoint, queue full). A connect that fails refuses the waiter it was
  // dialled for.
  virtual bool acquire(const Want& want, Waiter& waiter, http::Sink& sink, Grant& grant) = 0;
  // Does one connection carry many requests, so that one more costs the others none? `auto`: unless some endpoint is
  // known not to.
  virtual bool multiplexes() = 0;
  // May a request that is slow itself take a connection now? While nobody waits, and some endpoint that is in use has
  // half of its connections, or its only one, to spare. A look, not a promise.
  virtual bool has_room() = 0;
  virtual const UpstreamOptions& options() const = 0;
  // Retry budget of the whole process (retries / requests, 10 s window). admit_retry() draws on it.
  virtual void count_request() = 0;
  virtual bool admit_retry() = 0;
  // When somebody who was refused a place may come again: seconds, from how quickly the queue moves; jittered.
  virtual std::uint32_t retry_after() = 0;
};

// For the log: the endpoint as metrics and /status name it ("127.0.0.1:3000"); valid while a Lease holds it.
std::string_view endpoint_name(const Endpoint& endpoint);
// For the Host field: what it is asked for as ("app.internal:3000" if DNS found the address); valid likewise.
std::string_view endpoint_host(const Endpoint& endpoint);
// For an AvoidList. In the upcall that names it, or while a Lease holds it; likewise the next one.
std::uint64_t endpoint_id(const Endpoint& endpoint);
// A try failed there: upstream_endpoint_errors_total. Likewise.
void note_error(const Endpoint& endpoint, http::Kind kind);
// Since when connects to it fail, with no answer between; the end of time if they do not.
base::Micros failing_since(const Endpoint& endpoint);

}  // namespace sluice::upstream
