#include "runtime/worker.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.h"
#include "base/counted_here.h"
#include "base/pages.h"
#include "base/slab.h"

namespace sluice::runtime {
namespace {

constexpr base::Millis sweep_every = base::seconds(1);
constexpr base::Millis trim_every = base::seconds(4);

// What a reload leaves to do is done in steps, a millisecond apart: in each, so many upstreams are looked at,
// connections closed, and clusters freed, at most.
constexpr size_t settled_a_step = 64;
constexpr size_t closed_a_step = 64;
constexpr size_t freed_a_step = 128;

}  // namespace

struct Worker::Placed {
  Placed(Worker& worker, GenerationPtr of, EndpointSetsPtr with, Epoch began)
      : generation(std::move(of)),
        sets(std::move(with)),
        epoch(began),
        site(worker, *generation->router, generation->snapshot->routes.size(), generation->upstreams.size(),
             worker.meter_.requests(generation->labels)) {}

  static Epoch epoch_of(const std::unique_ptr<Placed>& placed) { return placed->epoch; }

  GenerationPtr generation;  // the router that the site refers to
  EndpointSetsPtr sets;
  Epoch epoch;
  exchange::Site site;
};

Worker::Worker(const Setup& setup)
    : index_(setup.index),
      count_(setup.count),
      conns_(setup.index),
      loop_(setup.loop),
      network_(setup.network),
      shared_(setup.shared),
      peers_(setup.peers),
      random_(setup.seed),
      meter_(setup.shared.registry, setup.index, arrivals_),
      held_watch_(setup.loop, setup.shared.registry, setup.index),
      overload_(setup.shared.max_lateness),
      env_{setup.loop,
           random_,
           meter_,
           setup.shared.access_log,
           setup.index,
           setup.shared.pseudonym,
           setup.shared.standing,
           answers_,
           held_watch_,
           overload_,
           recent_},
      clients_(setup.loop, setup.index, setup.shared.places, setup.peers, meter_),
      held_connections_(setup.loop, setup.shared.registry, setup.index, clients_, *this),
      settle_timer_(this, net::timer_call<&Worker::settle_some>),
      sweep_timer_(this, net::timer_call<&Worker::sweep>),
      trim_timer_(this, net::timer_call<&Worker::trim>) {
  loop_.watch_turns(this);
}

// The sockets go first, then requests, then what they used.
Worker::~Worker() {
  loop_.watch_turns(nullptr);
  closing_.clear();
  clients_.clear();
  acceptors_.clear();
  leaving_.clear();
}

void Worker::on_turn(base::Micros took) {
  meter_.turn(took, loop_.lateness());
  overload_.turn(loop_.now(), loop_.lateness().at_turn());
}

// ---- generations ------------------------------------------------------------------------------------------------

void Worker::apply(GenerationPtr next, EndpointSetsPtr sets, Epoch epoch) {
  while (!unsettled_.empty()) settle_one();  // what the one before left: only if two come right after each other
  former_epoch_ = std::exchange(epoch_, epoch);
  newer_sets_.clear();
  unsettled_.swap(live_);
  for (const uint32_t index : next->warm) {
    const upstream::SharedUpstream* const shared = next->upstreams[index].shared.get();
    if (!clusters_.contains(shared)) unsettled_.push_back(shared);
  }
  exchange::Site& site = place_site(next, std::move(sets));
  if (!draining_) place_acceptors(*next, site);
  generation_ = std::move(next);
  settle_some();
  tell_held();
}

// What stays as it is keeps its pointers: nothing is done for it.
Worker::Placement& Worker::configure(const Backing& backing, const upstream::EndpointSetPtr& set) {
  Placement& placement = clusters_[backing.shared.get()];
  if (placement.cluster == nullptr) {
    placement.first = epoch_;
    live_.push_back(backing.shared.get());
    placement.cluster = upstream::make_cluster(
        {loop_, backing.shared, index_, count_ > 1 ? this : nullptr, shared_.registry, random_.next()});
  }
  const bool rewired = placement.way != backing.way;
  if (!rewired && placement.options == backing.options && placement.set == set) return placement;
  std::unique_ptr<upstream::Connector> connector;
  if (rewired) {
    connector = upstream::make_connector({.upstream = backing.options->name,
                                          .loop = loop_,
                                          .network = network_,
                                          .way = base::counted_here(backing.way)});
  }
  placement.way = backing.way;
  placement.options = backing.options;
  placement.set = set;
  placement.cluster->configure(backing.options, set, std::move(connector));
  return placement;
}

// Of an upstream of the generation in force.
const upstream::EndpointSetPtr& Worker::set_of(uint32_t index) const {
  const auto newer = newer_sets_.find(generation_->upstreams[index].shared.get());
  return newer != newer_sets_.end() ? newer->second : (*sites_.back()->sets)[index];
}

// A step of making all clusters as the generation in force wants them.
void Worker::settle_some() {
  size_t closed = 0;
  for (size_t n = 0; n < settled_a_step && closed < closed_a_step && !unsettled_.empty(); ++n) closed += settle_one();
  if (!unsettled_.empty()) return settle_timer_.arm(loop_, base::Millis{0});
  sweep();
}

// The last of them. Returns how many connections that closes, at most.
size_t Worker::settle_one() {
  const upstream::SharedUpstream* const next = unsettled_.back();
  unsettled_.pop_back();
  const auto it = clusters_.find(next);
  if (generation_->backing_of(next) != nullptr) {
    if (it != clusters_.end()) live_.push_back(next);
    settle(next);
    return 0;
  }
  if (it == clusters_.end() || it->second.last != 0) return 0;
  const size_t open = it->second.cluster->connections();
  retire(it->second, former_epoch_);
  return open;
}

// An upstream of the generation in force.
void Worker::settle(const upstream::SharedUpstream* upstream) {
  const uint32_t index = generation_->index.at(upstream);
  configure(generation_->upstreams[index], set_of(index));
}

void Worker::retire(Placement& placement, Epoch last) {
  ++retired_;
  placement.last = last;
  placement.cluster->retire(http::CloseCause::reload);
}

// ---- what sites ask for -----------------------------------------------------------------------------------------

const Worker::Placed& Worker::placed_of(const exchange::Site& site) const {
  const auto is_it = [&](const auto& placed) { return &placed->site == &site; };
  return **std::ranges::find_if(sites_.rbegin(), sites_.rend(), is_it);
}

exchange::RouteCells Worker::make_route_cells(const exchange::Site& site, uint32_t route) {
  if (route == exchange::no_route) return meter_.route("");
  const Generation& generation = *placed_of(site).generation;
  const std::string& name = generation.labels->routes[route];
  exchange::RouteCells cells = meter_.route(name);
  const auto& limiter = generation.rate_limiters[route];
  if (limiter != nullptr) cells.rate = meter_.rate(name, *limiter);
  const auto& in_flight = generation.concurrency_limiters[route];
  if (in_flight != nullptr) cells.concurrency = meter_.concurrency(name, *in_flight);
  cells.error_pages = &generation.route_pages[route];
  if (generation.snapshot->routes[route].fallback) cells.fallback = meter_.fallback(name);
  return cells;
}

exchange::UpstreamCells Worker::make_upstream_cells(const exchange::Site& site, uint32_t upstream) {
  return meter_.upstream(placed_of(site).generation->upstreams[upstream].options->name);
}

metrics::Counter& Worker::cut_cell(const exchange::Site& site, uint32_t route, http::Where by, http::Kind kind) {
  static const std::string none;
  return meter_.response_cut(route == exchange::no_route ? none : placed_of(site).generation->labels->routes[route], by,
                             kind);
}

metrics::Counter& Worker::error_cell(const exchange::Site& site, uint32_t upstream, http::Kind kind) {
  return meter_.upstream_error(placed_of(site).generation->upstreams[upstream].options->name, kind);
}

metrics::Counter& Worker::retry_cell(const exchange::Site& site, uint32_t upstream, exchange::RetryCause cause,
                                     bool helped) {
  return meter_.retry(placed_of(site).generation->upstreams[upstream].options->name, cause, helped);
}

metrics::Counter& Worker::refused_cell(const exchange::Site& site, uint32_t upstream, exchange::NotRepeated why) {
  return meter_.retry_refused(placed_of(site).generation->upstreams[upstream].options->name, why);
}

// Of a site that is not in force any more: the cluster as it is now, or, if its upstream has left and nobody here had
// asked for it, one that is retired from the beginning.
upstream::Cluster& Worker::make_cluster(const exchange::Site& site, uint32_t upstream) {
  const Placed& placed = placed_of(site);
  const Backing& backing = placed.generation->upstreams[upstream];
  if (generation_->backing_of(backing.shared.get()) != nullptr) {
    settle(backing.shared.get());
  } else if (!clusters_.contains(backing.shared.get())) {
    Placement& late = configure(backing, (*placed.sets)[upstream]);
    late.first = placed.epoch;
    retire(late, placed.epoch);
  }
  Placement& placement = clusters_.at(backing.shared.get());
  placement.first = std::min(placement.first, placed.epoch);
  return *placement.cluster;
}

exchange::Site& Worker::place_site(const GenerationPtr& next, EndpointSetsPtr sets) {
  auto placed = std::make_unique<Placed>(*this, next, std::move(sets), epoch_);
  exchange::Site& site = placed->site;
  site.log_plan = next->log_plan.get();
  for (size_t i = 0; i < next->snapshot->listeners.size(); ++i) {
    const auto& listener = next->snapshot->listeners[i];
    site.listeners.push_back({listener.name, listener.trusted_proxies, listener.forwarded_by,
                              listener.downstream.body_timeout, listener.health_path, &next->listener_pages[i],
                              listener.access_log});
  }
  site.ref();  // ours, while it is in force
  sites_.push_back(std::move(placed));
  return site;
}

// ---- listeners ----------------------------------------------------------------------------------------------------

void Worker::place_acceptors(const Generation& next, exchange::Site& site) {
  OpenSockets open;
  for (auto& acceptor : acceptors_) acceptor->give_sockets(open);
  std::vector<std::unique_ptr<Acceptor>> before = std::move(acceptors_);
  acceptors_.clear();
  for (const auto& listening : next.listeners) {
    const std::string& name = listening->options.name;
    const auto it =
        std::ranges::find_if(before, [&](const auto& a) { return a != nullptr && a->options().options.name == name; });
    acceptors_.push_back(it != before.end() ? std::move(*it) : std::make_unique<Acceptor>(*this));
    acceptors_.back()->update(listening, site, meter_.listener(name), open);
  }
  // Sockets nobody wants take what stands in their queues, as before, and close.
  std::erase(open, nullptr);
  for (auto& socket : open) {
    socket->stop();
    closing_.push_back(std::move(socket));
  }
  for (auto& acceptor : before) {
    if (acceptor != nullptr) let_go(std::move(acceptor));
  }
  if (sites_.size() > 1) sites_[sites_.size() - 2]->site.unref();  // the one before is no more in force
}

void Worker::let_go(std::unique_ptr<Acceptor> acceptor) {
  acceptor->leave(http::CloseCause::reload);
  leaving_.push_back({std::move(acceptor), sites_[sites_.size() - 2]->epoch});
}

// Called inside an exchange's end: the memory goes later, in sweep().
void Worker::on_site_let_go(exchange::Site& site) {
  trim_later();
  if (site.unused()) sweep_timer_.arm(loop_, base::Millis{0});
}

void Worker::sweep() {
  const Placed* const in_force = sites_.empty() ? nullptr : sites_.back().get();
  std::erase_if(sites_, [&](const auto& placed) { return placed.get() != in_force && placed->site.unused(); });
  std::erase_if(closing_, [](const auto& socket) { return !socket->accepting(); });
  std::erase_if(leaving_, [&](const auto& left) { return left.acceptor->connections() == 0 && closing_.empty(); });
  const bool all = sweep_clusters();
  const bool more = sites_.size() > 1 || !leaving_.empty() || !closing_.empty() || retired_ != 0;
  if (more) sweep_timer_.arm(loop_, all ? sweep_every : base::Millis{0});
  tell_held();
}

// False: a step has been done, and there are more.
bool Worker::sweep_clusters() {
  const auto referred_to = [this](const Placement& placement) {
    const auto first = std::ranges::lower_bound(sites_, placement.first, {}, &Placed::epoch_of);
    return first != sites_.end() && (*first)->epoch <= placement.last;
  };
  if (retired_ == 0) return true;
  size_t freed = 0;
  for (auto it = clusters_.begin(); it != clusters_.end();) {
    const Placement& placement = it->second;
    if (placement.last == 0 || !placement.cluster->finished() || referred_to(placement)) {
      ++it;
    } else if (++freed > freed_a_step) {
      return false;
    } else {
      it = clusters_.erase(it);
      --retired_;
    }
  }
  return true;
}

// Everything that holds metric cells, or a generation, of before.
Held Worker::held() const {
  Held all{epoch_, {}};
  for (size_t i = 0; i + 1 < sites_.size(); ++i) all.older.push_back(sites_[i]->epoch);
  for (const Leaving& left : leaving_) all.older.push_back(left.last);
  if (!unsettled_.empty()) all.older.push_back(former_epoch_);
  for (const auto& [shared, placement] : clusters_) {
    if (retired_ == 0) break;
    if (placement.last != 0 && (all.older.empty() || all.older.back() != placement.last)) {
      all.older.push_back(placement.last);  // thousands may have left together
    }
  }
  std::ranges::sort(all.older);
  all.older.erase(std::ranges::unique(all.older).begin(), all.older.end());
  return all;
}

void Worker::tell_held() {
  Held now = held();
  if (!report_held_ || now == told_) return;
  told_ = std::move(now);
  report_held_(told_);
}

// ---- connections ------------------------------------------------------------------------------------------------

void Worker::connection_closed() { trim_later(); }

http::Sink* Worker::begin_exchange(exchange::Site& site, const exchange::Origin& origin, http::Stream& stream) {
  return exchanges_.make(exchanges_, env_, site, origin, stream);
}

// ---- memory -----------------------------------------------------------------------------------------------------

void Worker::trim_later() {
  if (!trim_timer_.armed()) trim_timer_.arm(loop_, trim_every);
}

// What one span did not need goes back to the system in the next. With nothing left to give nothing ticks.
void Worker::trim() {
  if (base::SlabPages::trim_thread()) trim_later();
}

// ---- control's messages -----------------------------------------------------------------------------------------

upstream::ClusterImpl* Worker::find(const upstream::SharedUpstream* upstream) {
  const auto it = clusters_.find(upstream);
  return it == clusters_.end() ? nullptr : it->second.cluster.get();
}

void Worker::set_endpoints(const upstream::SharedUpstream* upstream, const upstream::EndpointSetPtr& set,
                           http::CloseCause why_gone) {
  if (generation_ != nullptr && generation_->backing_of(upstream) != nullptr) newer_sets_[upstream] = set;
  const auto it = clusters_.find(upstream);
  if (it == clusters_.end()) return;
  it->second.set = set;
  it->second.cluster->set_endpoints(set, why_gone);
}

void Worker::endpoint_is_down(const upstream::SharedUpstream* upstream, uint64_t endpoint_id) {
  if (auto* cluster = find(upstream)) cluster->endpoint_down(endpoint_id);
}

void Worker::endpoint_switched(const upstream::SharedUpstream* upstream, uint64_t endpoint_id) {
  if (auto* cluster = find(upstream)) cluster->endpoint_switched(endpoint_id);
}

void Worker::give_up_idle(const upstream::SharedUpstream* upstream, uint32_t wanted, uint32_t worker) {
  if (auto* cluster = find(upstream)) cluster->give_up_idle(wanted, worker);
}

void Worker::accept_connection(const upstream::SharedUpstream* upstream,
                               const std::shared_ptr<upstream::Parcel>& parcel) {
  if (auto* cluster = find(upstream)) cluster->accept_connection(parcel);
}

void Worker::spare_one(const upstream::SharedUpstream* upstream, const upstream::SpareWanted& wanted) {
  if (auto* cluster = find(upstream)) return cluster->spare_one(wanted);
  peers_.post(wanted.worker, SparesNone{upstream, wanted.endpoint_id});
}

void Worker::asked_in_vain(const upstream::SharedUpstream* upstream, uint64_t endpoint_id) {
  if (auto* cluster = find(upstream)) cluster->asked_in_vain(endpoint_id);
}

void Worker::accept_slot(const upstream::SharedUpstream* upstream, const std::shared_ptr<upstream::PassedSlot>& slot) {
  if (auto* cluster = find(upstream)) cluster->accept_slot(slot);
}

void Worker::accept_class_place(const upstream::SharedUpstream* upstream, upstream::ClassPlace& place) {
  if (auto* cluster = find(upstream)) cluster->accept_class_place(place);
}

void Worker::leave(std::function<void()> closed) {
  if (draining_) return;
  draining_ = true;
  on_listeners_closed_ = std::move(closed);
  for (auto& acceptor : acceptors_) {
    acceptor->stop_listening();
    acceptor->drain(http::CloseCause::drain);
  }
  listener_stopped();
}

void Worker::listener_stopped() {
  if (!on_listeners_closed_) return;
  const auto silent = [](const auto& acceptor) { return !acceptor->listening_now(); };
  if (!std::ranges::all_of(acceptors_, silent) || std::ranges::any_of(closing_, &OpenSocket::accepting)) return;
  std::exchange(on_listeners_closed_, nullptr)();
}

void Worker::abort_all() {
  const http::Failure why{http::Kind::shutdown, http::Where::proxy, http::Detail::none, false};
  for (auto& acceptor : acceptors_) acceptor->abort_all(why, http::CloseCause::drain);
  for (auto& left : leaving_) left.acceptor->abort_all(why, http::CloseCause::drain);
}

void Worker::set_deregistered(bool on) {
  on ? arrivals_.begin(loop_.now()) : arrivals_.end();
  for (auto& acceptor : acceptors_) acceptor->tell_clients();
}

void Worker::bring(uint32_t listener, net::TransportPtr transport) {
  acceptors_.at(listener)->take(std::move(transport));
}

bool Worker::warm() {
  return unsettled_.empty() && std::ranges::all_of(clusters_, [](auto& entry) { return entry.second.cluster->warm(); });
}

std::vector<upstream::ClusterStatus> Worker::clusters() {
  std::vector<upstream::ClusterStatus> all;
  for (auto& [shared, placement] : clusters_) all.push_back(placement.cluster->status());
  return all;
}

WorkerStatus Worker::status(uint32_t from) {
  WorkerStatus all;
  all.generation = generation_.get();
  size_t endpoints = 0;
  uint32_t i = from;
  for (; i < generation_->upstreams.size() && endpoints < WorkerStatus::endpoints_a_turn; ++i) {
    all.clusters.push_back(cluster_status(i));
    endpoints += all.clusters.back().endpoints.size() + 1;
  }
  all.next = i < generation_->upstreams.size() ? i : 0;
  if (from != 0) return all;
  for (const auto& acceptor : acceptors_) {
    all.listener_connections.push_back(static_cast<uint32_t>(acceptor->connections()));
  }
  all.arrivals = arrivals_.counts();
  if (draining_) all.holders = clients_.holders();
  return all;
}

upstream::ClusterStatus Worker::cluster_status(uint32_t index) {
  const Backing& backing = generation_->upstreams[index];
  if (upstream::ClusterImpl* const here = find(backing.shared.get())) return here->status();
  return upstream::status_of_unused(*backing.shared, *set_of(index), backing.options->health.has_value(), loop_.now());
}

RecentAnswer Worker::recent(const RecentQuestion& question) const { return answer_of(recent_, question, loop_.wall()); }

// ---- the other workers ------------------------------------------------------------------------------------------

void Worker::ask_give_up(const upstream::SharedUpstream& upstream, uint32_t wanted) {
  for (uint32_t i = 0; i < count_; ++i) {
    if (i != index_) peers_.post(i, GiveUpIdle{&upstream, wanted, index_});
  }
}

void Worker::pass_connection(const upstream::SharedUpstream& upstream, uint32_t worker,
                             std::shared_ptr<upstream::Parcel> parcel) {
  peers_.post(worker, TakeConnection{&upstream, std::move(parcel)});
}

void Worker::pass_slot(const upstream::SharedUpstream& upstream, uint32_t worker,
                       std::shared_ptr<upstream::PassedSlot> slot) {
  peers_.post(worker, TakeSlot{&upstream, std::move(slot)});
}

void Worker::pass_class_place(const upstream::SharedUpstream& upstream, uint32_t worker,
                              std::shared_ptr<upstream::ClassPlace> place) {
  peers_.post(worker, TakeClassPlace{&upstream, std::move(place)});
}

void Worker::ask_spare(const upstream::SharedUpstream& upstream, uint32_t worker, const upstream::SpareWanted& wanted) {
  peers_.post(worker, AskSpare{&upstream, wanted});
}

void Worker::spares_none(const upstream::SharedUpstream& upstream, uint32_t worker, uint64_t endpoint_id) {
  peers_.post(worker, SparesNone{&upstream, endpoint_id});
}

void Worker::endpoint_down(const upstream::SharedUpstream& upstream, uint64_t endpoint_id) {
  for (uint32_t i = 0; i < count_; ++i) {
    if (i != index_) peers_.post(i, EndpointDown{&upstream, endpoint_id});
  }
}

}  // namespace sluice::runtime
