// Endpoint and Connection: one address as one worker sees it, with its connections. A connection is asking (another
// worker for an idle one of its), connecting, idle (no stream), active (streams, maybe room for more) or a tunnel;
// HTTP/1 is "HTTP/2 with one slot", so only slots() and
// open_streams() of a session count here. The cluster owns endpoints; endpoints own their connections; a slab holds the
// memory until the loop reaps it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>

#include "base/list.h"
#include "base/slab.h"
#include "http/stream.h"
#include "net/loop.h"
#include "net/timer.h"
#include "tls/context.h"
#include "upstream/balancer.h"
#include "upstream/cluster.h"
#include "upstream/connector.h"
#include "upstream/idle_limit.h"
#include "upstream/metrics.h"
#include "upstream/parcel.h"
#include "upstream/service_time.h"
#include "upstream/shared.h"
#include "upstream/warm_pause.h"

namespace sluice::upstream {

class Connection;
class Endpoint;

// How one request came out at its endpoint; see Lease::done().
struct Report {
  Outcome outcome = Outcome::unknown;
  base::Millis pause{0};
  bool trial = false;
  base::Micros took{0};
};

enum class PoolPhase : std::uint8_t { asking, connecting, idle, active, tunnel, ended };
inline constexpr unsigned phases = static_cast<unsigned>(PoolPhase::ended) + 1;

// A connection, or those of an endpoint, in a state that its limits should have ended.
struct HeldConnection {
  std::string_view endpoint;
  std::string_view phase;  // connecting, idle; unowned: in use, and no request holds it
  base::Micros since;
  bool news;  // for the first time
};
using HeldFound = std::function<void(const HeldConnection&)>;

// What endpoints and connections need from the cluster they belong to. None of the on_* calls leads to
// an upcall: they queue work.
class PoolHost {
 public:
  virtual net::Loop& loop() = 0;
  virtual const PoolOptions& pool_options() const = 0;
  virtual Connector& connector() = 0;
  virtual UpstreamMetrics& metrics() = 0;
  virtual ServiceTime& service_time() = 0;
  virtual Random& random() = 0;
  virtual base::Slab<Connection>& slab() = 0;
  virtual std::uint32_t worker() const = 0;
  virtual std::uint32_t in_flight_limit(const SharedEndpoint& endpoint) const = 0;  // 0 = none
  virtual bool single_use() const = 0;  // PROXY protocol: a connection serves one client only

  virtual void on_spare(SharedEndpoint& endpoint) = 0;  // one that another worker could use is idle
  virtual void on_ready(Connection& connection) = 0;  // it has a free stream slot
  virtual void on_useless(Connection& connection) = 0;  // it has no stream, and no slot for one
  virtual void on_dial_failed(Connection& connection, const DialFailure& why) = 0;
  virtual void on_not_spared(Connection& connection) = 0;  // it asked in vain: it may connect, or end
  virtual void on_slot_freed(Endpoint& endpoint) = 0;  // one connection less counts towards the cap
  virtual void on_phase(PoolPhase from, PoolPhase to) = 0;  // for the gauges
  virtual void on_lease(std::int32_t change) = 0;  // requests in flight, +1 or -1
  virtual void on_request_ended(Endpoint& endpoint) = 0;  // one less counts towards max_in_flight
  virtual void on_outcome(Endpoint& endpoint, const Report& report) = 0;  // what it means for the endpoint's standing
  virtual void on_head(Endpoint& endpoint, base::Micros took, Outcome outcome) = 0;  // of an answer that has begun
  virtual void on_unused() = 0;  // an endpoint that left the set is held by nothing any more

 protected:
  ~PoolHost() = default;
};

class Connection final : public base::ListHook<class PoolTag>,
                         public base::ListHook<class ReadyTag>,
                         public http::ClientHost,
                         public DialUser,
                         public net::Reapable {
 public:
  explicit Connection(Endpoint& endpoint);

  Endpoint& endpoint() { return endpoint_; }
  PoolPhase phase() const { return phase_; }
  Waiter* dialled_for() const { return dialled_for_; }
  void set_dialled_for(Waiter* waiter) { dialled_for_ = waiter; }
  bool only_http1() const { return only_http1_; }  // HTTP/2 was not offered
  bool used() const { return session_ != nullptr && session_->streams_opened() != 0; }
  // What the peer said last; it may have said so since the connection was offered.
  bool free_slot() const { return session_ != nullptr && !closing_ && session_->slots() > 0; }
  bool spare() const {
    return phase_ == PoolPhase::idle && !closing_;
  }  // nobody uses it, and it has not been told to end
  const DialTimes& times() const { return times_; }
  SharedEndpoint::Trial trial() const { return trial_; }

  // Downcalls of its endpoint and the cluster.
  void for_min_idle() { warming_ = true; }  // before start(): nobody asked for it
  void ask();  // it has no slot until a connection comes (unpack()), or until start()
  void start(const net::Peer* client, bool only_http1);
  http::Stream* open(http::Sink& sink);  // its session lives; nullptr if it has no slot (any more)
  bool validate(http::Borrow how);  // false: it ends by itself and is not offered again
  void close_when_idle(http::CloseCause cause);  // takes no new stream
  void abandon_dial(http::CloseCause cause);  // connecting -> ended
  void stop_asking();  // asking -> ended
  // A spare one leaves for another worker, with its slot: it is over here. nullptr: it cannot travel, nothing changed.
  std::shared_ptr<Parcel> pack();
  // Instead of start(). False: it has ended on the way, the slot is still the parcel's, and nothing changed here.
  bool unpack(Parcel& parcel);
  base::Micros idle_since() const { return session_->idle_since(); }  // while idle
  base::Micros expires() const;  // by the option in force; 0 = never
  bool worn_out(base::Micros now) const {
    const base::Micros end = expires();
    return end.count != 0 && now >= end;
  }
  void tear_down() noexcept;  // its endpoint dies: everything now, memory too
  base::Micros idle_deadline() const;  // while idle

  // ClientHost
  void on_slots(http::ClientSession& session) override;
  void on_session_end(http::ClientSession& session, http::CloseCause cause) override;
  void on_protocol_error(http::Detail detail) override;
  // DialUser
  void on_dialled(http::ClientSessionPtr session, const DialTimes& times) override;
  void on_dial_failed(const DialFailure& why) override;
  // Reapable
  void reclaim() noexcept override;

 private:
  friend class Endpoint;
  void settle();  // phase and list from what the session says
  void offer();  // its host hears what it may be used for now
  void move_to(base::List<Connection, PoolTag>& list);
  void set_phase(PoolPhase phase);
  void end(http::CloseCause cause);
  void log_end(http::CloseCause cause, std::uint64_t requests, base::Micros age) const;

  Endpoint& endpoint_;
  DialPtr dial_;
  http::ClientSessionPtr session_;
  Waiter* dialled_for_ = nullptr;
  DialTimes times_{};
  base::Micros began_{};  // when it was ready
  base::Micros asked_{};
  std::uint16_t life_permille_ = 1'000;  // of max_lifetime: jitter
  PoolPhase phase_ = PoolPhase::ended;  // until start()
  SharedEndpoint::Trial trial_ = SharedEndpoint::Trial::no;
  base::Micros connecting_since_{};
  bool told_held_ = false;
  bool closing_ = false;  // takes no new stream
  bool only_http1_ = false;
  bool warming_ = false;  // made for min_idle, and not used yet
  bool tunnel_counted_ = false;  // counted among the tunnels, not among the connections
};

class Endpoint {
 public:
  // How long a connection asks: another worker's turn is shorter, and a connect takes longer than an answer.
  static constexpr base::Millis ask_patience{3};
  // Idle for so long it is to spare. One that was in use just now will be again, and would go to and fro.
  static constexpr base::Millis spare_after{1};

  Endpoint(PoolHost& host, std::shared_ptr<SharedEndpoint> shared, std::uint32_t weight);
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  ~Endpoint();  // ends what is left; CHECKs that no Lease holds it

  SharedEndpoint& shared() const { return *shared_; }
  const std::shared_ptr<SharedEndpoint>& shared_owner() const { return shared_; }
  std::uint32_t weight() const { return weight_; }
  void set_weight(std::uint32_t weight) { weight_ = weight; }
  void options_changed() { note_idle(host_.loop().now()); }  // they may say that connections are idle for too long
  std::uint32_t index() const { return index_; }  // in the balancer; Balancer::none once it left the set
  void set_index(std::uint32_t index) { index_ = index; }
  bool in_set() const { return index_ != Balancer::none; }
  PoolHost& host() { return host_; }
  tls::SessionSlot& tls_sessions() { return tls_sessions_; }

  // A stream on an idle or shared connection, the most recently used one first; nullptr if there is none that is sound.
  http::Stream* take(http::Borrow how, http::Sink& sink, Connection*& from);
  // A new connection; its slot is already counted (SharedEndpoint::open_slot).
  Connection& dial(Waiter* waiter, const net::Peer* client, bool only_http1);
  void dial_for_min_idle();  // likewise
  Connection& ask(Waiter& waiter);  // likewise, without a slot
  Connection* asking() { return asking_.front(); }  // for the longest time
  bool adopt(Parcel& parcel);  // its slot is counted; false: it has ended on the way
  Connection* to_spare(std::uint32_t keep);  // idle for the longest time, if it is to spare and `keep` others are idle
  Connection* least_used();  // of those that nobody uses: first without a slot, then least recently; nullptr: none
  bool may_warm() const { return warm_pause_.over(host_.loop().now()); }  // it let the last ones live
  // Idle connections close at once. Returns how many. First those without a slot, then the least recently used.
  std::uint32_t close_idle(http::CloseCause cause, std::uint32_t at_most = ~0u);
  // No request any more. Idle connections and connects (which no waiter may hold: orphan_dials()) end bit by bit, by
  // close_some(); active ones when their request does.
  void leave(http::CloseCause cause);
  // At most `budget` of them end now; what is left of it comes back.
  void close_some(std::uint32_t& budget);
  bool leaving() const { return leaving_; }
  http::CloseCause leave_cause() const { return leave_cause_; }

  std::uint32_t count(PoolPhase phase) const { return counts_[static_cast<unsigned>(phase)]; }
  std::uint32_t open_connections() const {
    return count(PoolPhase::idle) + count(PoolPhase::active) + count(PoolPhase::tunnel);
  }
  bool unused() {
    return leases_ == 0 && asking_.empty() && connecting_.empty() && available_.empty() && busy_.empty() &&
           ended_.empty();
  }
  // Connects under way end; their waiters are handed out first: `orphan` is called with each.
  template <class Orphan>
  void abandon_dials(http::CloseCause cause, Orphan&& orphan) {
    orphan_dials(orphan);
    while (Connection* const c = asking_.front()) c->stop_asking();
    while (Connection* const c = connecting_.front()) c->abandon_dial(cause);
  }
  // Connects under way are for nobody any more: `orphan` is called with each waiter.
  template <class Orphan>
  void orphan_dials(Orphan&& orphan) {
    for (auto* list : {&asking_, &connecting_}) {
      for (Connection* c = list->front(); c != nullptr; c = list->next(*c)) {
        if (Waiter* const w = c->dialled_for(); w != nullptr) {
          c->set_dialled_for(nullptr);
          orphan(*w);
        }
      }
    }
  }
  // What has stood for `slack` longer than its limits; `found` calls nothing of this endpoint.
  void each_held(base::Millis slack, const HeldFound& found);
  // All that is open takes no new stream: idle now, active when done.
  void close_all(http::CloseCause cause);

  // Of Lease.
  void hold() { ++leases_; }
  void let_go();
  void begin_request() {  // reserved before
    ++requests_;
    host_.on_lease(1);
  }
  // A place among the requests in flight at in_flight_limit() at most, before a stream is opened; false: there is none.
  bool reserve();
  void unreserve() { shared_->end_request(); }  // it was not needed after all
  // Another worker gave up a place for one that waits here: counted already, the next reserve() takes it.
  void take_place() { ++passed_places_; }
  void give_places_back();
  void end_request(const Report& report);
  // The trial of an ejected endpoint: claimed before a stream or a connect is asked for, taken by who gets it.
  bool claim_trial();  // false: another one is the trial
  bool take_trial() { return std::exchange(trial_claimed_, false); }
  void leave_trial();  // nobody took it
  void head_came(Outcome outcome, std::uint16_t status, base::Micros since) {
    const base::Micros took = now() - since;
    tally_.answered(status, took);
    host_.on_head(*this, took, outcome);
  }
  EndpointTally& tally() const { return tally_; }
  base::Micros now() const;
  bool out_of_ports() const { return shared_->out_of_ports(now(), !connecting_.empty()); }

  // A connect to it failed, through its own doing. Until it answers a request it is known to fail: who takes it all the
  // same pays for a further try.
  void note_failed_connect() { failing_since_ = std::min(failing_since_, now()); }
  base::Micros failing_since() const { return failing_since_; }

 private:
  static constexpr base::Micros not_failing{std::numeric_limits<std::int64_t>::max()};
  friend class Connection;
  std::uint32_t close_spare(base::List<Connection, PoolTag>& among, http::CloseCause cause, std::uint32_t at_most);
  void on_idle_timer();
  void on_ask_timer();
  void tell_count(PoolPhase phase);  // to the tally
  void closed_by_peer(base::Micros idle_for);
  void note_idle(base::Micros deadline);  // the timer fires at the earliest deadline, or before it

  PoolHost& host_;
  std::shared_ptr<SharedEndpoint> shared_;
  EndpointTally& tally_;  // of shared_: this worker's
  std::uint32_t weight_;
  std::uint32_t index_ = Balancer::none;
  std::uint32_t leases_ = 0;
  base::Micros failing_since_ = not_failing;
  bool leaving_ = false;
  http::CloseCause leave_cause_ = http::CloseCause::reload;
  std::uint32_t counts_[phases] = {};
  tls::SessionSlot tls_sessions_;
  base::List<Connection, PoolTag> asking_;  // the oldest in front
  base::List<Connection, PoolTag> connecting_;
  base::List<Connection, PoolTag> available_;  // free slots; the most recently used in front
  base::List<Connection, PoolTag> busy_;  // no free slot (idle ones too, if the peer allows none), or closing
  base::List<Connection, PoolTag> ended_;  // until reaped
  net::Timer idle_timer_;
  net::Timer ask_timer_;  // while one asks
  WarmPause warm_pause_;
  IdleLimit idle_limit_;
  std::uint32_t passed_places_ = 0;
  std::uint32_t requests_ = 0;  // begun and not ended, tunnels among them
  base::Micros unowned_since_{-1};  // more connections are in use than requests hold; negative: not so
  bool told_unowned_ = false;
  bool trial_claimed_ = false;
};

}  // namespace sluice::upstream
