// Worker: one thread, one loop, and all that serves requests on it: acceptors, clusters, exchanges. Shares nothing with
// other workers but the generation, health bits and counts. Control talks to it by mailbox only.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "exchange/access_log.h"
#include "exchange/exchange.h"
#include "exchange/held_watch.h"
#include "exchange/recent.h"
#include "metrics/registry.h"
#include "runtime/acceptor.h"
#include "runtime/arrivals.h"
#include "runtime/cells.h"
#include "runtime/clients.h"
#include "runtime/crew.h"
#include "runtime/epochs.h"
#include "runtime/generation.h"
#include "runtime/held_connections.h"
#include "runtime/recent.h"
#include "upstream/cluster_impl.h"

namespace sluice::runtime {

// What all workers of the process share besides the generation.
struct Shared {
  metrics::Registry& registry;
  exchange::AccessLog* access_log = nullptr;  // nullptr: off
  std::string pseudonym;  // ours in Via
  Places places{registry.control()};  // for clients
  std::atomic<exchange::Standing> standing{exchange::Standing::starting};  // control writes it
  std::atomic<int64_t> max_lateness{0};  // microseconds; 0: none. Control writes it
};

// One worker's part of /status, or a piece of it.
struct WorkerStatus {
  static constexpr uint32_t endpoints_a_turn = 256;  // about 1 ms
  const Generation* generation = nullptr;  // that it speaks of; only to compare it
  uint32_t next = 0;  // upstream to go on with in a later turn; 0: this was the last piece
  std::vector<upstream::ClusterStatus> clusters;  // by upstream, in the order of the generation
  std::vector<uint32_t> listener_connections;  // by listener
  Arrivals::Counts arrivals;
  Holders holders;  // while it drains
};

class Worker final : private exchange::Site::Owner,
                     private upstream::PeerWorkers,
                     private net::TurnWatch,
                     private HeldConnections::User {
 public:
  struct Setup {
    uint32_t index = 0;
    uint32_t count = 1;
    net::Loop& loop;
    net::Network& network;
    Shared& shared;
    Peers& peers;
    uint64_t seed = 0;  // ids, balancing
  };
  explicit Worker(const Setup& setup);
  ~Worker();

  // Requests that begin from now on see this generation; running ones keep theirs. `epoch`: of its publishing. What
  // each upstream needs for it is done when a request comes to it, and for the rest in small steps.
  void apply(GenerationPtr next, EndpointSetsPtr sets, Epoch epoch);
  // Who is told what this worker still uses of former epochs, at the loop, whenever that changes.
  void report_held(std::function<void(const Held&)> report) { report_held_ = std::move(report); }
  // Messages about one upstream; nothing happens if it is not known here any more.
  void set_endpoints(const upstream::SharedUpstream* upstream, const upstream::EndpointSetPtr& set,
                     http::CloseCause why_gone);
  void endpoint_is_down(const upstream::SharedUpstream* upstream, uint64_t endpoint_id);
  void endpoint_switched(const upstream::SharedUpstream* upstream, uint64_t endpoint_id);
  void give_up_idle(const upstream::SharedUpstream* upstream, uint32_t wanted, uint32_t worker);
  void accept_connection(const upstream::SharedUpstream* upstream, const std::shared_ptr<upstream::Parcel>& parcel);
  void spare_one(const upstream::SharedUpstream* upstream, const upstream::SpareWanted& wanted);
  void asked_in_vain(const upstream::SharedUpstream* upstream, uint64_t endpoint_id);
  void accept_slot(const upstream::SharedUpstream* upstream, const std::shared_ptr<upstream::PassedSlot>& slot);
  void accept_class_place(const upstream::SharedUpstream* upstream, upstream::ClassPlace& place);
  // Drain: listeners close after what stands in their queues (then `closed` is called, once), connections end as they
  // fall idle. Asked again: nothing.
  void leave(std::function<void()> closed);
  void abort_all();
  // /readyz says 503: what comes is served, and counted; answers of HTTP/1 tell their clients to go. Off: as ever.
  void set_deregistered(bool on);
  // A connection that came another way than through a socket of ours (simulations).
  void bring(uint32_t listener, net::TransportPtr transport);
  bool has_listener(uint32_t index) const { return index < acceptors_.size(); }
  bool warm();  // every pool holds its share of min_idle
  // From upstream `from` on; what is not of an upstream comes with the first piece.
  WorkerStatus status(uint32_t from);
  // All clusters, those that left the configuration too, until they are gone.
  std::vector<upstream::ClusterStatus> clusters();
  RecentAnswer recent(const RecentQuestion& question) const;  // its part of GET /recent

  // For Acceptor and Client
  net::Loop& loop() { return loop_; }
  uint32_t index() const { return index_; }
  WorkerMeter& meter() { return meter_; }
  Clients& clients() { return clients_; }
  HeldConnections& held_connections() { return held_connections_; }
  Arrivals& arrivals() { return arrivals_; }
  const exchange::Answers& answers() const { return answers_; }
  uint16_t share() { return static_cast<uint16_t>(800 + random_.next() % 401); }  // permille: 1 +-20 %
  void connection_closed();
  void listener_stopped();
  void handshake_error(tls::HandshakeError why) { meter_.handshake_error(why); }
  http::Sink* begin_exchange(exchange::Site& site, const exchange::Origin& origin, http::Stream& stream);
  // Of a client connection: unique in the process, from 1 on; a worker's own counter, so no other one is asked.
  uint64_t next_conn() { return conns_ += count_; }

 private:
  // The cluster of one upstream, and what it was configured by.
  struct Placement {
    std::unique_ptr<upstream::ClusterImpl> cluster;
    UpstreamOptionsPtr options;
    upstream::WayPtr way;  // of its connector
    upstream::EndpointSetPtr set;
    Epoch first = 0;  // sites from then on may refer to it,
    Epoch last = 0;  // until then; 0: it is in force
  };
  using Placements = std::unordered_map<const upstream::SharedUpstream*, Placement>;
  struct Leaving {
    std::unique_ptr<Acceptor> acceptor;
    Epoch last;
  };
  struct Placed;  // a site with the generation it stands for
  // exchange::Site::Owner
  void on_site_let_go(exchange::Site& site) override;
  exchange::RouteCells make_route_cells(const exchange::Site& site, uint32_t route) override;
  exchange::UpstreamCells make_upstream_cells(const exchange::Site& site, uint32_t upstream) override;
  metrics::Counter& cut_cell(const exchange::Site& site, uint32_t route, http::Where by, http::Kind kind) override;
  metrics::Counter& error_cell(const exchange::Site& site, uint32_t upstream, http::Kind kind) override;
  metrics::Counter& retry_cell(const exchange::Site& site, uint32_t upstream, exchange::RetryCause cause,
                               bool helped) override;
  metrics::Counter& refused_cell(const exchange::Site& site, uint32_t upstream, exchange::NotRepeated why) override;
  upstream::Cluster& make_cluster(const exchange::Site& site, uint32_t upstream) override;

  // net::TurnWatch
  void on_turn(base::Micros took) override;

  const Placed& placed_of(const exchange::Site& site) const;
  Placement& configure(const Backing& backing, const upstream::EndpointSetPtr& set);
  const upstream::EndpointSetPtr& set_of(uint32_t index) const;
  upstream::ClusterStatus cluster_status(uint32_t index);
  exchange::Site& place_site(const GenerationPtr& next, EndpointSetsPtr sets);
  void place_acceptors(const Generation& next, exchange::Site& site);
  void settle_some();
  size_t settle_one();
  void settle(const upstream::SharedUpstream* upstream);
  void retire(Placement& placement, Epoch last);
  void let_go(std::unique_ptr<Acceptor> acceptor);
  void trim_later();
  void trim();
  Held held() const;
  void tell_held();
  void sweep();  // frees what a reload dropped, once nothing uses it
  bool sweep_clusters();
  // upstream::PeerWorkers
  void ask_give_up(const upstream::SharedUpstream& upstream, uint32_t wanted) override;
  void pass_connection(const upstream::SharedUpstream& upstream, uint32_t worker,
                       std::shared_ptr<upstream::Parcel> parcel) override;
  void ask_spare(const upstream::SharedUpstream& upstream, uint32_t worker,
                 const upstream::SpareWanted& wanted) override;
  void spares_none(const upstream::SharedUpstream& upstream, uint32_t worker, uint64_t endpoint_id) override;
  void pass_slot(const upstream::SharedUpstream& upstream, uint32_t worker,
                 std::shared_ptr<upstream::PassedSlot> slot) override;
  void pass_class_place(const upstream::SharedUpstream& upstream, uint32_t worker,
                        std::shared_ptr<upstream::ClassPlace> place) override;
  void endpoint_down(const upstream::SharedUpstream& upstream, uint64_t endpoint_id) override;
  upstream::ClusterImpl* find(const upstream::SharedUpstream* upstream);
  // HeldConnections::User
  size_t live_clusters() const override { return live_.size(); }
  upstream::ClusterImpl* live_cluster(size_t index) override { return find(live_[index]); }

  uint32_t index_;
  uint32_t count_;
  uint64_t conns_;  // the last one's number
  net::Loop& loop_;
  net::Network& network_;
  Shared& shared_;
  Peers& peers_;
  exchange::Random random_;
  Arrivals arrivals_;
  exchange::Answers answers_;
  WorkerMeter meter_;
  exchange::HeldWatch held_watch_;
  exchange::Overload overload_;
  exchange::Recent recent_;
  exchange::Env env_;
  base::Slab<exchange::Exchange> exchanges_;
  Clients clients_;
  HeldConnections held_connections_;
  GenerationPtr generation_;
  Epoch epoch_ = 0;
  Epoch former_epoch_ = 0;
  std::function<void(const Held&)> report_held_;
  Held told_;
  Placements clusters_;  // of the upstreams that are used here
  size_t retired_ = 0;  // of clusters_
  // Those that have a cluster here that is not retired: a walk over all of them would hold a turn for milliseconds.
  std::vector<const upstream::SharedUpstream*> live_;
  std::vector<const upstream::SharedUpstream*> unsettled_;  // not yet as the generation in force wants them
  // Newer ones than the generation came with, where no cluster holds them.
  std::unordered_map<const upstream::SharedUpstream*, upstream::EndpointSetPtr> newer_sets_;
  std::vector<std::unique_ptr<Placed>> sites_;  // the last one is in force; older ones until their last exchange ends
  std::vector<std::unique_ptr<Acceptor>> acceptors_;  // by name, in the order of the generation
  std::vector<Leaving> leaving_;  // their listener left the configuration; until the last connection ends
  net::Timer settle_timer_;
  net::Timer sweep_timer_;
  net::Timer trim_timer_;
  std::function<void()> on_listeners_closed_;
  OpenSockets closing_;  // left the configuration; until their accept queues are empty
  bool draining_ = false;
};

}  // namespace sluice::runtime
