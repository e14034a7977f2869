// Requests and connections: acquire, waiters, connects. Endpoint sets, other workers and status: cluster_set.cc.
#include "upstream/cluster_impl.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace sluice::upstream {
namespace {

constexpr base::Micros never{std::numeric_limits<std::int64_t>::max()};
constexpr std::uint32_t ask_most = 32;   // connections asked for in one message

http::Failure refusal(http::Kind kind, http::Where where) { return {kind, where, http::Detail::none, true}; }

}  // namespace

// One request that looks for a place; `from` is filled with the connection that was found or dialled.
struct ClusterImpl::Order {
  const Want& want;
  Waiter& waiter;
  http::Sink& sink;
  base::Micros since;
  Connection* from = nullptr;
};

Balancer::Pick ClusterImpl::how(const Want& want) const {
  Balancer::Pick pick{loop_.now(), shared_->panic(), Balancer::none};
  if (want.avoid != nullptr) {   // compared, never looked into: it may be gone
    for (std::uint32_t i = 0; i < endpoints_.size(); ++i) {
      if (endpoints_[i].get() == want.avoid) pick.avoid = i;
    }
  }
  return pick;
}

// Over a connection that is made for it: they are rare, and take it whole.
bool ClusterImpl::needs_http1(const Want& want, const Endpoint& endpoint) const {
  if (options_->protocol != Protocol::any) return false;
  return want.upgrade == Upgrade::by_http1 || (want.upgrade == Upgrade::by_any && endpoint.shared().lacks_connect());
}

bool ClusterImpl::wants_fresh(const Want& want, const Endpoint& endpoint) const {
  return want.fresh || needs_http1(want, endpoint) || single_use() ||
         (want.borrow == http::Borrow::surely && endpoint.shared().race_seen(loop_.now()));
}

bool ClusterImpl::acquire(const Want& want, Waiter& waiter, http::Sink& sink, Grant& grant) {
  CHECK(options_ != nullptr && !waiter.linked());
  const base::Millis budget = want.budget.count > 0 ? want.budget : options_->pool.acquire_timeout;
  // Behind those who wait at the caps, and those who are about to be offered what has just become free.
  const bool behind = queue_.front_undialled() != nullptr || (!ready_.empty() && !queue_.empty());
  Order order{want, waiter, sink, loop_.now()};
  switch (behind ? Placed::full : place(order, grant)) {
    case Placed::stream: return true;
    case Placed::dialling: queue_.join_dialled(waiter, want, sink, budget, *order.from); return false;
    case Placed::full:
      // A replay was let in before, and the slot of the connection that died is about to be free.
      queue_.join_undialled(waiter, want, sink, budget, want.fresh ? ~0u : options_->pool.max_waiting);
      loop_.run_later(*this);
      return false;
    case Placed::nowhere:
      queue_.refuse(waiter, refusal(http::Kind::no_endpoint, http::Where::proxy), nullptr);
      return false;
  }
  UNREACHABLE();
}

bool ClusterImpl::multiplexes() {
  if (options_->protocol != Protocol::any) return options_->protocol == Protocol::http2;
  if (judged_at_ == loop_.now()) return multiplexes_;
  judged_at_ = loop_.now();
  return multiplexes_ = std::ranges::all_of(endpoints_, [](const auto& e) { return e->shared().multiplexes(); });
}

bool ClusterImpl::has_room() {
  if (shared_->waiting() != 0) return false;
  const Balancer::Pick now{loop_.now(), shared_->panic(), Balancer::none};
  const std::uint32_t half = std::max(options_->pool.max_connections / 2, 1U);
  return std::ranges::any_of(endpoints_, [&](const auto& e) {
    const SharedEndpoint& shared = e->shared();
    return shared.load() < half + shared.tunnels() &&
           balancer_.takes(e->index(), now);   // a tunnel has left max_connections
  });
}

// The balancer's choice; if that one is at its cap, any other that is usable and has a free connection or room for one.
ClusterImpl::Placed ClusterImpl::place(Order& order, Grant& grant) {
  const Balancer::Pick pick = how(order.want);
  const std::uint32_t chosen = balancer_.pick(pick);
  if (chosen == Balancer::none) return Placed::nowhere;
  Placed placed = place_at(chosen, order, grant);
  if (placed != Placed::full) return placed;
  const auto n = static_cast<std::uint32_t>(endpoints_.size());
  const Balancer::Standard standard = balancer_.standard_of(chosen, pick);
  std::uint32_t i = balancer_.random().below(n);
  for (std::uint32_t looked = 0; looked < n; ++looked, i = i + 1 == n ? 0 : i + 1) {
    if (i == chosen || !balancer_.meets(standard, i, chosen, pick)) continue;
    placed = place_at(i, order, grant);
    if (placed != Placed::full) return placed;
  }
  // A request that needs a connection of its own takes the place of an idle one, once.
  if (Endpoint& e = *endpoints_[chosen]; wants_fresh(order.want, e) && !order.waiter.made_room_) {
    order.waiter.made_room_ = e.close_idle(http::CloseCause::given_up, 1) != 0;
  }
  return Placed::full;
}

ClusterImpl::Placed ClusterImpl::place_at(std::uint32_t index, Order& order, Grant& grant) {
  Endpoint& endpoint = *endpoints_[index];
  if (!wants_fresh(order.want, endpoint)) {
    if (http::Stream* const stream = endpoint.take(order.want.borrow, order.sink, order.from); stream != nullptr) {
      fill(grant, *order.from, *stream, order.since);
      return Placed::stream;
    }
  }
  if (!endpoint.shared().open_slot(options_->pool.max_connections)) return Placed::full;
  order.from = &endpoint.dial(&order.waiter, order.want.client, needs_http1(order.want, endpoint));
  return Placed::dialling;
}

void ClusterImpl::fill(Grant& grant, Connection& connection, http::Stream& stream, base::Micros since) {
  grant.stream = &stream;
  grant.lease = Lease(connection.endpoint());
  grant.reused = stream.reused();
  grant.queue_wait = loop_.now() - since;
  const bool waited_for_it = !grant.reused && grant.queue_wait.count > 0;
  grant.connect = waited_for_it ? connection.times().connect : base::Micros{};
  grant.tls = waited_for_it ? connection.times().tls : base::Micros{};
  (grant.reused ? metrics_.requests_reused : metrics_.requests_fresh).add();
}

// ---- Connections' news

void ClusterImpl::on_ready(Connection& connection) {
  const SharedEndpoint& shared = connection.endpoint().shared();
  if (Waiter* const waiter = connection.dialled_for(); waiter != nullptr && !single_use()) {
    // Its connect is done; who gets the connection is a matter of age.
    connection.set_dialled_for(nullptr);
    queue_.set_undialled(*waiter);
  }
  const bool nothing_to_do = queue_.empty() && !retired_ && !single_use() && !shared_->anyone_waiting() &&
                             (shared.healthy() || shared_->panic());
  if (nothing_to_do || connection.base::ListHook<ReadyTag>::linked()) return;
  ready_.push_back(connection);
  loop_.run_later(*this);
}

// The waiter it was made for finds another place, or waits on. Otherwise it may stay: the peer can allow streams again.
void ClusterImpl::on_useless(Connection& connection) {
  if (Waiter* const waiter = connection.dialled_for(); waiter != nullptr) {
    connection.set_dialled_for(nullptr);
    queue_.set_undialled(*waiter);
    loop_.run_later(*this);
  }
  const SharedEndpoint& shared = connection.endpoint().shared();
  if (retired_) return connection.close_when_idle(retire_cause_);
  if (!shared.healthy() && !shared_->panic()) return connection.close_when_idle(http::CloseCause::health);
  if (single_use()) connection.close_when_idle(http::CloseCause::max_requests);  // it was for one client
}

void ClusterImpl::on_dial_failed(Connection& connection, const DialFailure& why) {
  Endpoint& endpoint = connection.endpoint();
  // One that speaks nothing but HTTP/2 is not down when an upgrade wants HTTP/1.
  const bool theirs =
      why.fault == DialFailure::Fault::theirs && !(connection.only_http1() && why.kind == http::Kind::tls_failed);
  if (theirs && endpoint.shared().connect_failed(loop_.now(), connection.trial())) {
    const Balancer::Pick pick{loop_.now(), shared_->panic(), Balancer::none};
    if (endpoint.in_set() && balancer_.another_usable(endpoint.index(), pick)) {
      endpoint.close_idle(http::CloseCause::health);
      if (peers_ != nullptr) peers_->endpoint_down(*shared_, endpoint.shared().id());
    }
  }
  if (Waiter* const waiter = connection.dialled_for(); waiter != nullptr) {
    connection.set_dialled_for(nullptr);
    waiter->dial_ = nullptr;
    queue_.refuse(*waiter, refusal(why.kind, http::Where::upstream), &endpoint);
  }
}

void ClusterImpl::on_dial_orphaned(Connection& dial) {
  dial.set_dialled_for(nullptr);
  if (single_use()) return;  // it carries the address of a client that is gone: closed when it is ready
  // Not for a request that has just failed there: it would meet the same dead endpoint with its last try.
  Waiter* next = queue_.front_undialled();
  while (next != nullptr && next->want_.avoid == &dial.endpoint()) next = queue_.next_undialled(*next);
  if (next == nullptr) return;
  queue_.set_dialled(*next, dial);
  dial.set_dialled_for(next);
}

void ClusterImpl::on_slot_freed(Endpoint& endpoint) {
  if (!pass_on(endpoint) && queue_.front_undialled() != nullptr) loop_.run_later(*this);
  if (share_of_min_idle() != 0 && !warm_timer_.armed()) warm_timer_.arm(loop_, warm_every);
}

void ClusterImpl::on_phase(PoolPhase from, PoolPhase to) {
  auto gauge = [this](PoolPhase phase) -> metrics::Gauge* {
    switch (phase) {
      case PoolPhase::connecting: return &metrics_.connecting;
      case PoolPhase::idle: return &metrics_.idle;
      case PoolPhase::active:
      case PoolPhase::tunnel: return &metrics_.active;
      case PoolPhase::ended: return nullptr;
    }
    UNREACHABLE();
  };
  connections_ += (from == PoolPhase::ended ? 1u : 0u) - (to == PoolPhase::ended ? 1u : 0u);
  if (metrics::Gauge* const g = gauge(from); g != nullptr) g->add(-1);
  if (metrics::Gauge* const g = gauge(to); g != nullptr) g->add(1);
  if (from == PoolPhase::idle && share_of_min_idle() != 0 && !warm_timer_.armed()) warm_timer_.arm(loop_, warm_every);
}

void ClusterImpl::on_lease(std::int32_t change) {
  const base::Micros now = loop_.now();
  busy_us_ += leases_ * (now - busy_at_).count;
  busy_at_ = now;
  leases_ += change;
  if (!load_timer_.armed()) load_timer_.arm(loop_, load_window);
}

// Little's law: requests in flight on average = connections the load needs (of HTTP/1).
void ClusterImpl::on_load_timer() {
  const base::Micros now = loop_.now();
  busy_us_ += leases_ * (now - busy_at_).count;
  busy_at_ = now;
  const std::int64_t window = base::Micros(load_window).count;
  const std::int64_t needed = (busy_us_ + window - 1) / window;
  metrics_.recommended.set(static_cast<double>(needed));
  if (busy_us_ != 0) load_timer_.arm(loop_, load_window);  // once more after the last request, to say 0
  busy_us_ = 0;
}

// ---- At the loop

void ClusterImpl::run() {
  queue_.deliver_refusals();
  while (Connection* const connection = ready_.pop_front()) serve(*connection);
  place_waiting();
  close_leaving();
  drop_unused_endpoints();
}

Waiter* ClusterImpl::oldest_for(Connection& connection) {
  if (single_use()) return connection.dialled_for();
  const Endpoint& endpoint = connection.endpoint();
  const Balancer::Pick pick{loop_.now(), shared_->panic(), Balancer::none};
  const bool backup = endpoint.in_set() && !balancer_.in_use(endpoint.index(), pick);
  for (Waiter* w = queue_.front(); w != nullptr; w = queue_.next(*w)) {
    // A priority that is not in use is so for a retry that avoids the last good endpoint of the one in use. If it were
    // not given the connection that was made for it, it would have one made after the other.
    if (backup && !balancer_.in_use(endpoint.index(), how(w->want_))) continue;
    if (connection.used() && wants_fresh(w->want_, endpoint)) continue;
    if (!connection.only_http1() && needs_http1(w->want_, endpoint)) continue;
    if (w->want_.avoid == &endpoint && endpoint.in_set() && balancer_.another_usable(endpoint.index(), pick)) continue;
    return w;
  }
  return nullptr;
}

void ClusterImpl::serve(Connection& connection) {
  Endpoint& endpoint = connection.endpoint();
  if (endpoint.leaving()) return connection.close_when_idle(endpoint.leave_cause());
  if (!endpoint.shared().healthy() && !shared_->panic()) return connection.close_when_idle(http::CloseCause::health);
  while (connection.free_slot()) {
    Waiter* const waiter = oldest_for(connection);
    // A new connection serves here first: it was made for somebody.
    const bool may_go = connection.phase() == PoolPhase::idle && (connection.used() || waiter == nullptr) &&
                        endpoint.shared().connections() >= options_->pool.max_connections;
    if (may_go && another_waiting(waiter).has_value()) {
      return connection.close_when_idle(http::CloseCause::given_up);  // its slot is passed on when it has ended
    }
    if (waiter == nullptr || !hand_to(*waiter, connection)) break;
  }
  if (connection.phase() != PoolPhase::idle) return;
  if (retired_) return connection.close_when_idle(retire_cause_);
  if (single_use()) connection.close_when_idle(http::CloseCause::max_requests);  // it was for one client
}

bool ClusterImpl::hand_to(Waiter& waiter, Connection& connection) {
  if (!connection.used() || connection.validate(waiter.want_.borrow)) {
    if (http::Stream* const stream = connection.open(*waiter.sink_); stream != nullptr) {
      if (connection.dialled_for() == &waiter) {
        connection.set_dialled_for(nullptr);
        waiter.dial_ = nullptr;
      }
      queue_.take(waiter);
      Grant grant;
      fill(grant, connection, *stream, waiter.since_);
      metrics_.wait_seconds.observe(grant.queue_wait);
      waiter.on_stream(std::move(grant));
      return true;
    }
  }
  return false;
}

void ClusterImpl::place_undialled() {
  Waiter* waiter = queue_.front_undialled();
  while (waiter != nullptr) {
    Waiter* const next = queue_.next_undialled(*waiter);
    Order order{waiter->want_, *waiter, *waiter->sink_, waiter->since_};
    Grant grant;
    switch (place(order, grant)) {
      case Placed::stream:
        queue_.take(*waiter);
        metrics_.wait_seconds.observe(grant.queue_wait);
        waiter->on_stream(std::move(grant));
        waiter = queue_.front_undialled();  // the upcall may have changed the queue
        break;
      case Placed::dialling:
        queue_.set_dialled(*waiter, *order.from);
        waiter = next;
        break;
      case Placed::full:
        // Who needs a fresh connection may be stuck where others are not.
        if (!waiter->want_.fresh && waiter->want_.borrow == http::Borrow::quick &&
            waiter->want_.upgrade == Upgrade::none)
          return;
        waiter = next;
        break;
      case Placed::nowhere:
        queue_.refuse(*waiter, refusal(http::Kind::no_endpoint, http::Where::proxy), nullptr);
        waiter = next;
        break;
    }
  }
}

void ClusterImpl::place_waiting() {
  place_undialled();
  announce();
  if (announced_.count == 0) return;
  place_undialled();  // who freed a slot before it could see the announcement did not pass it on
  announce();
  if (announced_.count == 0 || peers_ == nullptr || ask_timer_.armed()) return;
  if (own() == SharedUpstream::Own::some && loop_.now() < announced_ + handover_margin) {
    return ask_timer_.arm(loop_, handover_margin);  // one of ours may become free meanwhile
  }
  std::uint32_t wanted = 0;
  for (Waiter* w = queue_.front_undialled(); w != nullptr && wanted < ask_most; w = queue_.next_undialled(*w)) ++wanted;
  peers_->ask_give_up(*shared_, wanted);
  ask_timer_.arm(loop_, ask_every);
}

void ClusterImpl::announce() {
  Waiter* const oldest = queue_.front_undialled();
  const base::Micros since = oldest != nullptr ? oldest->since_ : base::Micros{};
  if (since == announced_ && own() == announced_own_) return;
  announced_ = since;
  announced_own_ = own();
  shared_->announce_waiting(worker_, since, announced_own_);
}

std::optional<std::uint32_t> ClusterImpl::another_waiting(const Waiter* mine) const {
  if (peers_ == nullptr || !shared_->anyone_waiting()) return std::nullopt;
  const base::Micros now = loop_.now();
  if (mine == nullptr) return shared_->longest_waiting(worker_, now - handover_margin, never);
  // Twice as long as ours: less would have slots go to and fro between two busy workers.
  const base::Micros than = mine->since_ - (now - mine->since_) - handover_margin;
  return shared_->longest_waiting(worker_, than, than);
}

bool ClusterImpl::pass_on(Endpoint& endpoint) {
  if (!endpoint.in_set() || (!endpoint.shared().healthy() && !shared_->panic())) return false;
  if (!balancer_.in_use(endpoint.index(), {loop_.now(), shared_->panic(), Balancer::none})) return false;
  const std::optional<std::uint32_t> worker = another_waiting(queue_.front_undialled());
  if (!worker.has_value() || !endpoint.shared().open_slot(options_->pool.max_connections)) return false;
  peers_->pass_slot(*shared_, *worker, std::make_shared<PassedSlot>(endpoint.shared_owner()));
  return true;
}

}  // namespace sluice::upstream
