// The part of ClusterImpl that changes with the world around: endpoint sets, reload, other workers, readiness, status.
#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "upstream/cluster_impl.h"

namespace sluice::upstream {
namespace {

constexpr std::uint32_t warm_burst = 64;   // connects under way for min_idle alone

EndpointStatus process_status(const SharedEndpoint& shared, const Ejections& ejections, bool checks, base::Micros now) {
  EndpointStatus out;
  out.id = shared.id();
  out.name = shared.name();
  out.address = shared.address().text();
  out.host = shared.host();
  out.healthy = shared.healthy();
  out.disabled = shared.disabled();
  out.state = state_of(shared, ejections, checks, now);
  const Standing standing = shared.standing();
  const base::Micros left = standing.kept_away(now) ? standing.ends() - now : base::Micros{};
  if (standing.why() == Away::aside) out.aside_left = left;
  if (standing.why() == Away::paused) out.paused_left = left;
  if (standing.ejected()) out.ejected_left = left;
  out.ejected = standing.ejected();
  out.failures = static_cast<std::uint32_t>(standing.failures);
  out.race_seen = shared.race_seen(now);
  out.in_flight = shared.in_flight();
  out.connections = shared.connections();
  out.tunnels = shared.tunnels();
  return out;
}

void count_tally(EndpointStatus& out, const EndpointTally& tally) {
  for (std::size_t i = 0; i < EndpointTally::classes; ++i) out.answers += tally.answers(i);
  out.answers_5xx = tally.answers(EndpointTally::classes - 1);
  out.errors = tally.errors();
  out.head_micros = tally.head_micros();
}

}  // namespace

std::unique_ptr<ClusterImpl> make_cluster(const ClusterSetup& setup) { return std::make_unique<ClusterImpl>(setup); }

ClusterImpl::ClusterImpl(const ClusterSetup& setup)
    : loop_(setup.loop),
      shared_(setup.shared),
      worker_(setup.worker),
      peers_(setup.peers),
      metrics_(setup.registry, setup.shared->name(), setup.worker),
      balancer_(setup.seed, setup.shared->turns()),
      queue_(setup.loop, *setup.shared, metrics_, *this),
      way_timer_(this, net::timer_call<&ClusterImpl::on_way_timer>),
      ask_timer_(this, net::timer_call<&ClusterImpl::on_ask_timer>),
      class_timer_(this, net::timer_call<&ClusterImpl::on_class_timer>),
      port_timer_(this, net::timer_call<&ClusterImpl::on_port_timer>),
      warm_timer_(this, net::timer_call<&ClusterImpl::keep_warm>),
      load_timer_(this, net::timer_call<&ClusterImpl::on_load_timer>) {
  CHECK(worker_ < shared_->workers());
}

ClusterImpl::~ClusterImpl() {
  shared_->board().announce(worker_, {}, WaitBoard::Own::some);
  retired_ = true;   // nothing is kept warm any more
  endpoints_.clear();
  leaving_.clear();
  shared_->advisor().tell(worker_, {});
}

void ClusterImpl::configure(std::shared_ptr<const UpstreamOptions> options, EndpointSetPtr set,
                            std::unique_ptr<Connector> connector) {
  CHECK(options != nullptr && (connector != nullptr || connector_ != nullptr));
  if (connector != nullptr && connector_ != nullptr) {
    for (const auto& e : endpoints_) {
      e->abandon_dials(http::CloseCause::reload, [this](Waiter& w) { queue_.set_undialled(w); });
      e->close_all(http::CloseCause::reload);
    }
  }
  if (connector != nullptr) connector_ = std::move(connector);
  const bool shorter = options_ != nullptr && (options_->pool.idle_timeout > options->pool.idle_timeout ||
                                               options_->pool.max_lifetime != options->pool.max_lifetime);
  options_ = std::move(options);
  queue_.configure(options_->pool);
  configure_classes();
  if (shorter) {
    for (const auto& e : endpoints_) e->options_changed();
  }
  set_endpoints(std::move(set), http::CloseCause::reload);
}

void ClusterImpl::set_endpoints(EndpointSetPtr set, http::CloseCause why) {
  CHECK(options_ != nullptr && set != nullptr);
  std::unordered_map<const SharedEndpoint*, std::unique_ptr<Endpoint>> known;
  for (auto& e : endpoints_) known.emplace(&e->shared(), std::move(e));
  endpoints_.clear();
  set_ = std::move(set);
  PoolHost& host = *this;
  for (const EndpointEntry& entry : set_->entries) {
    auto& kept = known[entry.endpoint.get()];
    if (kept == nullptr) kept = std::make_unique<Endpoint>(host, entry.endpoint, entry.weight);
    kept->set_weight(entry.weight);
    kept->set_index(static_cast<std::uint32_t>(endpoints_.size()));
    endpoints_.push_back(std::move(kept));
  }
  balancer_.use(set_, options_->slow_start);
  class_limits_at_ = base::Micros{-1};
  class_work_ = !classes_.empty();
  count_busy(0);
  for (auto& [shared, endpoint] : known) {
    if (endpoint == nullptr) continue;   // kept
    endpoint->orphan_dials([this](Waiter& w) { queue_.set_undialled(w); });
    endpoint->leave(why);
    leaving_.push_back(std::move(endpoint));
    closes_left_ = true;
  }
  loop_.run_later(*this);   // room for those who wait, endpoints that nothing holds
  if (share_of_min_idle() != 0) warm_timer_.arm(loop_, base::Millis{0});
}

void ClusterImpl::retire(http::CloseCause why) {
  retired_ = true;
  retire_cause_ = why;
  for (const auto& e : endpoints_) e->close_idle(why);
}

bool ClusterImpl::finished() {
  if (!retired_ || !queue_.empty() || queue_.anyone_parked() || queue_.refusals_pending() || linked()) return false;
  const auto unused = [](const std::unique_ptr<Endpoint>& e) { return e->unused(); };
  return std::all_of(endpoints_.begin(), endpoints_.end(), unused) &&
         std::all_of(leaving_.begin(), leaving_.end(), unused);
}

void ClusterImpl::on_unused() {
  unused_ = true;
  loop_.run_later(*this);
}

void ClusterImpl::close_leaving() {
  if (!std::exchange(closes_left_, false)) return;
  std::uint32_t budget = closes_per_turn;
  for (const auto& e : leaving_) e->close_some(budget);
  if (budget > 0) return;
  closes_left_ = true;
  loop_.run_later(*this);
}

void ClusterImpl::drop_unused_endpoints() {
  if (!std::exchange(unused_, false)) return;
  std::erase_if(leaving_, [this](const std::unique_ptr<Endpoint>& e) {
    if (!e->unused()) return false;
    queue_.forget_endpoint(*e);
    return true;
  });
}

// ---- min_idle

// The first workers take what does not divide.
std::uint32_t ClusterImpl::share_of_min_idle() const {
  const std::uint32_t all = options_ != nullptr ? options_->pool.min_idle : 0;
  if (all == 0 || retired_ || single_use()) return 0;  // asked per request
  const std::uint32_t workers = shared_->workers();
  return all / workers + (worker_ < all % workers ? 1 : 0);
}

void ClusterImpl::keep_warm() {
  const std::uint32_t share = share_of_min_idle();
  if (share == 0) return;
  std::uint32_t connecting = 0;
  for (const auto& e : endpoints_) connecting += e->count(PoolPhase::connecting);
  bool lacking = false;
  for (const auto& e : endpoints_) {
    std::uint32_t have = e->count(PoolPhase::idle) + e->count(PoolPhase::connecting);
    lacking = lacking || e->count(PoolPhase::idle) < share;
    if (!e->shared().may_serve(false) || e->shared().aside(loop_.now()) || !e->may_warm()) continue;
    while (have < share && connecting < warm_burst && e->shared().open_slot(options_->pool.max_connections)) {
      e->dial_for_min_idle();
      ++have;
      ++connecting;
    }
  }
  if (lacking) warm_timer_.arm(loop_, warm_every);
}

bool ClusterImpl::warm() {
  const std::uint32_t share = share_of_min_idle();
  if (share == 0) return true;
  return std::all_of(endpoints_.begin(), endpoints_.end(), [&](const std::unique_ptr<Endpoint>& e) {
    const bool down = !e->shared().may_serve(false) || e->shared().aside(loop_.now());
    const bool full = e->shared().connections() >= options_->pool.max_connections;
    return down || full || e->open_connections() >= share;
  });
}

// ---- Status

ClusterStatus status_of_unused(const SharedUpstream& shared, const EndpointSet& set, bool checks, base::Micros now) {
  ClusterStatus s;
  s.name = shared.name();
  s.panic = shared.panic();
  s.waiting = shared.waiting();
  for (const EndpointEntry& entry : set.entries) {
    EndpointStatus& out = s.endpoints.emplace_back(process_status(*entry.endpoint, shared.ejections(), checks, now));
    out.weight = entry.weight;
    out.priority = entry.priority;
  }
  return s;
}

ClusterStatus ClusterImpl::status() {
  ClusterStatus s;
  s.name = shared_->name();
  s.panic = shared_->panic();
  s.waiting = shared_->waiting();
  s.warm = warm();
  for (const auto* list : {&endpoints_, &leaving_}) {
    for (const auto& e : *list) {
      EndpointStatus& out = s.endpoints.emplace_back(
          process_status(e->shared(), shared_->ejections(), options_->health.has_value(), loop_.now()));
      if (e->leaving()) {
        const bool by_dns = e->leave_cause() == http::CloseCause::dns_removed;
        out.state = {EndpointState::Is::leaving, by_dns ? EndpointState::By::dns : EndpointState::By::the_operator,
                     e->shared().changed_at()};
      }
      count_tally(out, e->shared().tally(worker_));
      out.weight = e->weight();
      if (e->in_set()) out.priority = set_->entries[e->index()].priority;
      out.connecting = e->count(PoolPhase::connecting);
      out.active = e->count(PoolPhase::active) + e->count(PoolPhase::tunnel);
      out.idle = e->count(PoolPhase::idle);
      out.leaving = e->leaving();
    }
  }
  return s;
}

}  // namespace sluice::upstream
