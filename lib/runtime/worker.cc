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

}  // namespace

struct Worker::Placed {
  Placed(Worker& worker, GenerationPtr of, Epoch began)
      : generation(std::move(of)),
        epoch(began),
        site(worker, *generation->router, worker.meter_.requests(labels(*generation->snapshot))) {}

  static metrics::RequestLabels labels(const config::Snapshot& snapshot) {
    metrics::RequestLabels labels;
    for (const auto& listener : snapshot.listeners) labels.listeners.push_back(listener.name);
    for (const auto& route : snapshot.routes) labels.routes.push_back(route.name);
    // In the order of http::Method; the last one stands for whatever comes beyond.
    labels.methods = {"other", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "other"};
    return labels;
  }

  GenerationPtr generation;                      // the router that the site refers to
  Epoch epoch;
  exchange::Site site;
};

Worker::Worker(const Setup& setup)
    : index_(setup.index),
      count_(setup.count),
      loop_(setup.loop),
      network_(setup.network),
      shared_(setup.shared),
      peers_(setup.peers),
      random_(setup.seed),
      meter_(setup.shared.registry, setup.index),
      env_{setup.loop, random_, meter_, setup.shared.access_log, setup.index, setup.shared.pseudonym},
      clients_(setup.loop, setup.index, setup.shared.places, setup.peers, meter_),
      sweep_timer_(this, net::timer_call<&Worker::sweep>),
      trim_timer_(this, net::timer_call<&Worker::trim>) {
  loop_.watch_turns(&meter_);
}

// The sockets go first, then requests, then what they used.
Worker::~Worker() {
  loop_.watch_turns(nullptr);
  closing_.clear();
  clients_.clear();
  acceptors_.clear();
  leaving_.clear();
}

// ---- generations ------------------------------------------------------------------------------------------------

void Worker::apply(GenerationPtr next, const EndpointSets& sets, Epoch epoch) {
  const Epoch last = std::exchange(epoch_, epoch);
  for (uint32_t i = 0; i < next->upstreams.size(); ++i) place_cluster(next, i, sets[i]);
  for (auto& [shared, placement] : clusters_) {
    const auto stays = [&](const Backing& b) { return b.shared.get() == shared; };
    if (placement.last != 0 || std::ranges::any_of(next->upstreams, stays)) continue;
    placement.last = last;
    placement.cluster->retire(http::CloseCause::reload);
  }
  exchange::Site& site = place_site(next);
  if (!draining_) place_acceptors(*next, site);
  generation_ = std::move(next);
  sweep();
}

upstream::ClusterImpl& Worker::place_cluster(const GenerationPtr& next, uint32_t index,
                                             const upstream::EndpointSetPtr& set) {
  const Backing& backing = next->upstreams[index];
  const upstream::UpstreamOptions& options = next->snapshot->upstreams[index];
  Placement& placement = clusters_[backing.shared.get()];
  if (placement.cluster == nullptr) {
    placement.cluster = upstream::make_cluster(
        {loop_, backing.shared, index_, count_ > 1 ? this : nullptr, shared_.registry, random_.next()});
  }
  std::unique_ptr<upstream::Connector> connector;
  if (placement.way != backing.way) {
    placement.way = backing.way;
    connector = upstream::make_connector(
        {.upstream = options.name, .loop = loop_, .network = network_, .way = base::counted_here(backing.way)});
  }
  // The options live in the snapshot: the pointer keeps that alive.
  placement.cluster->configure({next->snapshot, &options}, set, std::move(connector));
  return *placement.cluster;
}

exchange::Site& Worker::place_site(const GenerationPtr& next) {
  auto placed = std::make_unique<Placed>(*this, next, epoch_);
  exchange::Site& site = placed->site;
  for (const auto& listener : next->snapshot->listeners) {
    site.listeners.push_back(
        {listener.name, listener.trusted_proxies, listener.forwarded_by, listener.downstream.body_timeout});
  }
  for (const auto& route : next->snapshot->routes) site.routes.push_back(meter_.route(route.name));
  site.routes.push_back(meter_.route(""));       // requests that found no route
  for (uint32_t i = 0; i < next->upstreams.size(); ++i) {
    site.upstreams.push_back(meter_.upstream(next->snapshot->upstreams[i].name));
    site.clusters.push_back(clusters_.at(next->upstreams[i].shared.get()).cluster.get());
  }
  site.ref();                                    // ours, while it is in force
  sites_.push_back(std::move(placed));
  return site;
}

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
  if (sites_.size() > 1) sites_[sites_.size() - 2]->site.unref();   // the one before is no more in force
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
  std::erase_if(clusters_, [&](auto& entry) {
    const auto used = [&](const auto& placed) {
      return std::ranges::find(placed->site.clusters, entry.second.cluster.get()) != placed->site.clusters.end();
    };
    return entry.second.last != 0 && entry.second.cluster->finished() && std::ranges::none_of(sites_, used);
  });
  const bool more = sites_.size() > 1 || !leaving_.empty() || !closing_.empty() ||
                    (generation_ != nullptr && clusters_.size() > generation_->upstreams.size());
  if (more) sweep_timer_.arm(loop_, sweep_every);
  tell_held();
}

// Everything that holds metric cells, or a generation, of before.
Held Worker::held() const {
  Held all{epoch_, {}};
  for (size_t i = 0; i + 1 < sites_.size(); ++i) all.older.push_back(sites_[i]->epoch);
  for (const Leaving& left : leaving_) all.older.push_back(left.last);
  for (const auto& [shared, placement] : clusters_) {
    if (placement.last != 0) all.older.push_back(placement.last);
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

void Worker::connection_closed(http::CloseCause cause) {
  meter_.connection_closed(cause);
  trim_later();
}

http::Sink* Worker::begin_exchange(exchange::Site& site, uint32_t listener, http::Stream& stream) {
  return exchanges_.make(exchanges_, env_, site, listener, stream);
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
  if (auto* cluster = find(upstream)) cluster->set_endpoints(set, why_gone);
}

void Worker::endpoint_is_down(const upstream::SharedUpstream* upstream, uint64_t endpoint_id) {
  if (auto* cluster = find(upstream)) cluster->endpoint_down(endpoint_id);
}

void Worker::endpoint_is_up(const upstream::SharedUpstream* upstream) {
  if (auto* cluster = find(upstream)) cluster->endpoint_up();
}

void Worker::give_up_idle(const upstream::SharedUpstream* upstream, uint32_t wanted) {
  if (auto* cluster = find(upstream)) cluster->give_up_idle(wanted);
}

void Worker::accept_slot(const upstream::SharedUpstream* upstream, const std::shared_ptr<upstream::PassedSlot>& slot) {
  if (auto* cluster = find(upstream)) cluster->accept_slot(slot);
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
  for (auto& acceptor : acceptors_) acceptor->close_after_answer(on);
}

void Worker::bring(uint32_t listener, net::TransportPtr transport) {
  acceptors_.at(listener)->take(std::move(transport));
}

bool Worker::warm() {
  return std::ranges::all_of(clusters_, [](auto& entry) { return entry.second.cluster->warm(); });
}

std::vector<upstream::ClusterStatus> Worker::clusters() {
  std::vector<upstream::ClusterStatus> all;
  for (auto& [shared, placement] : clusters_) all.push_back(placement.cluster->status());
  return all;
}

WorkerStatus Worker::status() {
  WorkerStatus all;
  for (const Backing& backing : generation_->upstreams) {
    all.clusters.push_back(clusters_.at(backing.shared.get()).cluster->status());
  }
  for (const auto& acceptor : acceptors_) {
    all.listener_connections.push_back(static_cast<uint32_t>(acceptor->connections()));
  }
  all.arrivals = arrivals_.counts();
  return all;
}

// ---- the other workers ------------------------------------------------------------------------------------------

void Worker::ask_give_up(const upstream::SharedUpstream& upstream, uint32_t wanted) {
  for (uint32_t i = 0; i < count_; ++i) {
    if (i != index_) peers_.post(i, GiveUpIdle{&upstream, wanted});
  }
}

void Worker::pass_slot(const upstream::SharedUpstream& upstream, uint32_t worker,
                       std::shared_ptr<upstream::PassedSlot> slot) {
  peers_.post(worker, TakeSlot{&upstream, std::move(slot)});
}

void Worker::endpoint_down(const upstream::SharedUpstream& upstream, uint64_t endpoint_id) {
  for (uint32_t i = 0; i < count_; ++i) {
    if (i != index_) peers_.post(i, EndpointDown{&upstream, endpoint_id});
  }
}

}  // namespace sluice::runtime
