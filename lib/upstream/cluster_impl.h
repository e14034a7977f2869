// ClusterImpl: the Cluster of one worker, and what the runtime needs of it: endpoint sets that change, messages of the
// other workers, reload, readiness, status. One per worker and upstream, used by that worker's thread only; it is
// destroyed after the exchanges that hold its leases.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "upstream/cluster.h"
#include "upstream/connector.h"
#include "upstream/endpoint_state.h"
#include "upstream/holders.h"
#include "upstream/metrics.h"
#include "upstream/pool.h"
#include "upstream/queue.h"
#include "upstream/shared.h"

namespace sluice::upstream {

// The other workers, by their mailboxes; implemented by the runtime. Each call becomes one message per receiver, which
// finds its cluster of that SharedUpstream (if it still has it) and calls the function named. Called rarely: at caps
// and failures.
class PeerWorkers {
 public:
  // Every other worker: give_up_idle(wanted, me).
  virtual void ask_give_up(const SharedUpstream& upstream, std::uint32_t wanted) = 0;
  // Worker `worker`: accept_slot(slot). If it has no such cluster any more: drop it (the slot goes back by itself).
  virtual void pass_slot(const SharedUpstream& upstream, std::uint32_t worker, std::shared_ptr<PassedSlot> slot) = 0;
  // Worker `worker`: accept_connection(parcel); likewise.
  virtual void pass_connection(const SharedUpstream& upstream, std::uint32_t worker,
                               std::shared_ptr<Parcel> parcel) = 0;
  // Worker `worker`: spare_one(wanted), which leads to pass_connection() or this.
  virtual void ask_spare(const SharedUpstream& upstream, std::uint32_t worker, const SpareWanted& wanted) = 0;
  virtual void spares_none(const SharedUpstream& upstream, std::uint32_t worker, std::uint64_t endpoint_id) = 0;
  // Worker `worker`: accept_class_place(place); likewise.
  virtual void pass_class_place(const SharedUpstream& upstream, std::uint32_t worker,
                                std::shared_ptr<ClassPlace> place) = 0;
  // Every other worker: endpoint_down(endpoint_id).
  virtual void endpoint_down(const SharedUpstream& upstream, std::uint64_t endpoint_id) = 0;

 protected:
  ~PeerWorkers() = default;
};

struct EndpointStatus {
  std::uint64_t id = 0;
  std::string name;
  std::string address;
  std::string host;  // what it is asked for as
  std::uint32_t weight = 1;
  std::uint16_t priority = 0;
  // Whole process
  bool healthy = true;
  bool disabled = false;
  EndpointState state;
  base::Micros aside_left{};  // 0 = not set aside
  bool ejected = false;  // until a trial request went well
  base::Micros ejected_left{};  // until the trial
  base::Micros paused_left{};  // it asked for that
  std::uint32_t failures = 0;  // in a row
  bool race_seen = false;
  std::uint32_t in_flight = 0;
  std::uint32_t connections = 0;  // towards max_connections
  std::uint32_t tunnels = 0;
  // This worker
  std::uint32_t connecting = 0;
  std::uint32_t active = 0;
  std::uint32_t idle = 0;
  std::uint64_t answers = 0;  // since it was first seen, likewise the next three
  std::uint64_t answers_5xx = 0;
  std::uint64_t errors = 0;  // tries that failed without an answer
  std::uint64_t head_micros = 0;  // from requests to the heads of their answers
  bool leaving = false;  // left the set; active connections finish
};

struct ClusterStatus {
  std::string name;
  bool panic = false;  // whole process, likewise waiting
  std::uint32_t waiting = 0;
  bool warm = true;  // this worker
  std::vector<EndpointStatus> endpoints;
};

struct ClusterSetup {
  net::Loop& loop;
  std::shared_ptr<SharedUpstream> shared;
  std::uint32_t worker = 0;  // 0 .. shared->workers() - 1
  PeerWorkers* peers = nullptr;  // nullptr: one worker only
  metrics::Registry& registry;
  std::uint64_t seed = 0;  // for picks and jitter
};

class ClusterImpl final : public Cluster,
                          private PoolHost,
                          private WaitQueue::User,
                          private ClassQueue::User,
                          private net::Runnable {
 public:
  // A slot goes to another worker only if that one's oldest waiter has waited twice as long as ours, and this more; or,
  // if none waits here, at least this long (at once if that worker has no connection at all). A hand-over costs a
  // connect.
  static constexpr base::Millis handover_margin{5};
  static constexpr base::Millis ask_every{10};  // how often the others are asked for idle connections
  static constexpr base::Millis share_every{10};  // how often a client's share is worked out anew
  static constexpr base::Millis class_limit_every{10};  // how often the limit of a share is worked out anew
  // While somebody waits for a place of a class: a message may have been lost, and a share grows with its endpoints.
  static constexpr base::Millis class_look_every{100};
  static constexpr base::Millis warm_every{250};  // how often missing min_idle connections are tried again
  static constexpr base::Millis load_told_every{1'000};  // to Advisor, while requests come
  static constexpr base::Millis load_steady_every{10'000};  // while what there is stays (tunnels)
  static constexpr std::uint32_t closes_per_turn =
      64;  // connections of endpoints that left: an answer that shrinks from 500
  // addresses to one must not hold the loop

  explicit ClusterImpl(const ClusterSetup& setup);
  ~ClusterImpl() override;

  // Before the first acquire(), and at every reload: options, endpoints, and a connector if TLS, protocol or PROXY
  // settings changed (nullptr = keep; then all connections made with the old one end, active ones when they are done).
  void configure(std::shared_ptr<const UpstreamOptions> options, EndpointSetPtr set,
                 std::unique_ptr<Connector> connector);
  // Kept endpoints keep everything; removed ones get no new request, their idle connections close at once with `why`
  // (closes_per_turn of them).
  void set_endpoints(EndpointSetPtr set, http::CloseCause why);
  // The upstream left the configuration, or the worker drains: idle connections close, active ones after their request.
  // Requests that are under way may still acquire.
  void retire(http::CloseCause why);
  std::uint32_t connections() const { return connections_; }  // open and connecting, of this worker
  bool finished();  // retired, and no connection, waiter or lease is left: may be destroyed

  // Messages
  void give_up_idle(std::uint32_t wanted, std::uint32_t worker);  // who asks
  void accept_connection(const std::shared_ptr<Parcel>& parcel);
  void spare_one(const SpareWanted& wanted);
  void asked_in_vain(std::uint64_t endpoint_id);
  void accept_slot(const std::shared_ptr<PassedSlot>& slot);
  void accept_class_place(ClassPlace& place);
  void endpoint_down(std::uint64_t endpoint_id);
  void endpoint_switched(std::uint64_t endpoint_id);  // an operator disabled it, or enabled it again

  bool warm();  // every endpoint that is not down has this worker's share of min_idle
  ClusterStatus status();
  void each_held(base::Millis slack, const HeldFound& found) {
    for (const auto& endpoint : endpoints_) endpoint->each_held(slack, found);
  }
  const SharedUpstream& shared() const { return *shared_; }

  // Cluster
  bool acquire(const Want& want, Waiter& waiter, http::Sink& sink, Grant& grant) override;
  bool multiplexes() override;
  bool has_room() override;
  const UpstreamOptions& options() const override { return *options_; }
  void count_request() override;
  bool admit_retry() override { return shared_->retries().admit(worker_, loop_.now(), options_->retry.budget); }
  std::uint32_t retry_after() override;

 private:
  enum class Placed : std::uint8_t { stream, dialling, full, no_port, nowhere };
  // Does a request that has just failed at an endpoint take a connect there?
  enum class Avoided : std::uint8_t { refused, taken };
  struct Order;  // one request that looks for a place
  class Free;  // a connection that may take a request now, as the queue's offer
  class Kept;  // a connect that is under way, or whose slot is kept, likewise

  // PoolHost
  net::Loop& loop() override { return loop_; }
  const PoolOptions& pool_options() const override { return options_->pool; }
  Connector& connector() override { return *connector_; }
  UpstreamMetrics& metrics() override { return metrics_; }
  ServiceTime& service_time() override { return service_time_; }
  Random& random() override { return balancer_.random(); }
  base::Slab<Connection>& slab() override { return slab_; }
  std::uint32_t worker() const override { return worker_; }
  std::uint32_t in_flight_limit(const SharedEndpoint& endpoint) const override;
  bool adapts() const { return options_->circuit.adaptive; }
  bool limits_in_flight() const { return options_->pool.max_in_flight != 0 || adapts(); }
  bool single_use() const override { return options_->proxy_protocol != net::ProxyProtocolOut::off; }
  void on_spare(SharedEndpoint& endpoint) override;
  void on_ready(Connection& connection) override;
  void on_useless(Connection& connection) override;
  void on_dial_failed(Connection& connection, const DialFailure& why) override;
  void on_not_spared(Connection& connection) override;
  void on_slot_freed(Endpoint& endpoint) override;
  void on_phase(PoolPhase from, PoolPhase to) override;
  void on_lease(std::int32_t change) override;
  void on_request_ended(Endpoint& endpoint) override;
  void on_outcome(Endpoint& endpoint, const Report& report) override;
  void on_head(Endpoint& endpoint, base::Micros took, Outcome outcome) override;
  void on_unused() override;
  // WaitQueue::User
  void on_queue_work() override { loop_.run_later(*this); }
  WaitQueue::Turn on_turn(Waiter& waiter) override;
  void on_dial_orphaned(Connection& dial) override;
  bool over_share(const Want& want) override;
  bool lacks_ports() override;
  // ClassQueue::User
  void on_class_work() override;
  void pass_place(std::uint32_t worker, std::shared_ptr<ClassPlace> place) override;
  // Runnable: refusals, places of classes, free slots to waiters, connects for the rest
  void run() override;

  Balancer::Pick how(const Want& want) const;
  bool by_key() const { return set_ != nullptr && set_->balance == Balance::ring_hash; }
  void count_busy(std::int32_t change);
  bool wants_fresh(const Want& want, const Endpoint& endpoint) const;
  bool anything_up(const Endpoint* failed) const;
  void no_port(Endpoint& endpoint);
  void on_port_timer() { loop_.run_later(*this); }
  bool avoids(const Want& want, const Endpoint& endpoint) const;
  bool needs_http1(const Want& want, const Endpoint& endpoint) const;
  Placed place(Order& order, Grant& grant);
  Placed place_at(std::uint32_t index, Order& order, Grant& grant);
  Placed place_admitted(Endpoint& endpoint, Order& order, Grant& grant);
  void fill(Grant& grant, Waiter& waiter, const Want& want, Connection& connection, http::Stream& stream,
            base::Micros since);
  void serve(Connection& connection);
  Waiter* next_for(Connection& connection);
  Waiter* next_for_connect(const Endpoint& endpoint, Avoided avoided);
  bool hand_to(Waiter& waiter, Connection& connection);  // false: the connection is no good after all
  void place_waiting();  // connects for undialled waiters
  void dial_for(Waiter& waiter, Endpoint& endpoint);  // its slot is counted already
  void learn_limit(SharedEndpoint& endpoint, base::Micros took);  // an answer of it began
  void make_way();  // others wait: a stalled one ends
  void announce();
  // A slot was freed, of connections or of requests: does another worker wait longer?
  bool pass_on(Endpoint& endpoint, PassedSlot::Of of);
  bool has_place(const Endpoint& endpoint) const;  // in_flight_limit() allows one more, connects under way counted
  void accept_place(Endpoint& endpoint);
  void give(Connection& connection, std::uint32_t worker);  // a spare one, or at least its slot
  // Asks another worker for an idle one; nullptr: none seems to be there.
  Connection* ask_for_spare(Endpoint& endpoint, const Want& want, Waiter& waiter);
  Endpoint* here(const SharedEndpoint* shared);  // nullptr: it is not in the set
  Endpoint* here(std::uint64_t endpoint_id);  // likewise
  // The worker that a slot should go to rather than to ours who came at `mine` (empty = none waits here).
  std::optional<std::uint32_t> another_waiting(std::optional<base::Micros> mine) const;
  WaitBoard::Own own() const { return connections_ == 0 ? WaitBoard::Own::bare : WaitBoard::Own::some; }
  // Pool classes: cluster_class.cc
  void configure_classes();
  bool enter_class(const Want& want, Waiter& waiter, http::Sink& sink, base::Millis budget);  // false: it waits for it
  ClassQueue& class_called(const std::string& name);
  void find_class_limits();
  void admit_classes();
  void on_class_timer() { on_class_work(); }
  // Standing: cluster_standing.cc
  bool admits(Endpoint& endpoint);  // of one that is kept away: if nothing else is usable, or as the one trial
  bool shut(Endpoint& endpoint);  // its connections have to end,
  static http::CloseCause shut_cause(const Endpoint& endpoint);  // for this
  void pause(Endpoint& endpoint, base::Millis span);  // it asks for that
  void judge(Endpoint& endpoint, std::string_view cause, bool trial);  // does it have to be ejected?
  void returned(Endpoint& endpoint);
  void compare(Endpoint& endpoint, const Report& report);
  void close_idle_everywhere(Endpoint& endpoint);
  void close_leaving();
  void drop_unused_endpoints();
  std::uint32_t share_of_min_idle() const;
  void keep_warm();
  void on_ask_timer() { loop_.run_later(*this); }
  void on_way_timer() { loop_.run_later(*this); }
  void on_load_timer();
  void tell_load_soon();

  net::Loop& loop_;
  std::shared_ptr<SharedUpstream> shared_;
  std::uint32_t worker_;
  PeerWorkers* peers_;
  UpstreamMetrics metrics_;
  std::shared_ptr<const UpstreamOptions> options_;
  std::unique_ptr<Connector> connector_;
  Balancer balancer_;
  ServiceTime service_time_;
  base::Slab<Connection> slab_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;  // by balancer index
  std::vector<std::unique_ptr<Endpoint>> leaving_;
  base::List<Connection, ReadyTag> ready_;  // free slots that the queue has not been offered yet
  std::vector<std::unique_ptr<ClassQueue>> classes_;  // in force, and former ones until nobody counts in them
  std::unordered_map<std::string_view, ClassQueue*> class_of_route_;  // views of options_
  base::Micros class_limits_at_{-1};
  bool class_work_ = false;
  WaitQueue queue_;
  Holders holders_;
  net::Timer way_timer_;
  base::Micros way_after_{};  // when the next one may be asked to give way
  base::Micros share_at_{-1};  // share_ is as of then
  std::uint32_t share_ = 0;  // requests that one client may have in flight
  net::Timer ask_timer_;
  net::Timer class_timer_;
  net::Timer port_timer_;  // connects may find ports again
  net::Timer warm_timer_;
  net::Timer load_timer_;
  EndpointSetPtr set_;
  base::Micros announced_{};  // what the board was last told
  WaitBoard::Own announced_own_ = WaitBoard::Own::some;
  std::uint32_t busy_ = 0;  // requests in flight and connects under way of this worker
  std::uint32_t connections_ = 0;  // of this worker, connecting ones too
  LoadMeter load_;
  base::Micros judged_at_{-1};  // multiplexes_ is as of this turn
  bool multiplexes_ = true;
  bool retired_ = false;
  bool unused_ = false;  // some endpoint of leaving_ may go
  bool closes_left_ = false;  // some endpoint of leaving_ may have connections to close
  http::CloseCause retire_cause_ = http::CloseCause::reload;
};

std::unique_ptr<ClusterImpl> make_cluster(const ClusterSetup& setup);

// What ClusterImpl::status() says on a worker that has no cluster for this upstream, as nobody has asked for it there.
ClusterStatus status_of_unused(const SharedUpstream& shared, const EndpointSet& set, bool checks, base::Micros now);

}  // namespace sluice::upstream
