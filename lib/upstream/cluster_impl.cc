// Requests and connections: acquire, waiters, connects. Endpoint sets, other workers and status: cluster_set.cc. What
// those who wait may hope for: cluster_share.cc.
#include "upstream/cluster_impl.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace sluice::upstream {
namespace {

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
  bool no_port = false;  // a place was free, but for want of a port
};

class ClusterImpl::Free final : public Offer {
 public:
  // all: whoever waits; own: whose key has its place here; queued: who has no connect under way.
  enum class For : std::uint8_t { all, own, queued };
  Free(ClusterImpl& cluster, const Connection& connection, const Endpoint& endpoint, For whom)
      : Offer(whom == For::queued ? Place::connect : Place::ready),
        cluster_(cluster),
        connection_(connection),
        endpoint_(endpoint),
        whom_(whom) {
    const Balancer::Pick pick{cluster_.loop_.now(), cluster_.shared_->panic()};
    backup_ = endpoint_.in_set() && !cluster_.balancer_.in_use(endpoint_.index(), pick);
    another_ = endpoint_.in_set() && cluster_.balancer_.another_usable(endpoint_.index(), pick);
  }
  bool suits(const Want& want) const override {
    // A priority that is not in use is so for a retry that avoids all good endpoints of the one in use. If it were
    // not given the connection that was made for it, it would have one made after the other.
    if (backup_ && !cluster_.balancer_.in_use(endpoint_.index(), cluster_.how(want))) return false;
    if (connection_.used() && cluster_.wants_fresh(want, endpoint_)) return false;
    if (!connection_.only_http1() && cluster_.needs_http1(want, endpoint_)) return false;
    if (another_ && cluster_.avoids(want, endpoint_)) return false;
    return whom_ != For::own || !endpoint_.in_set() ||
           cluster_.balancer_.prefers(endpoint_.index(), cluster_.how(want));
  }

 private:
  ClusterImpl& cluster_;
  const Connection& connection_;
  const Endpoint& endpoint_;
  bool backup_;
  bool another_;  // usable
  For whom_;
};

class ClusterImpl::Kept final : public Offer {
 public:
  Kept(const Endpoint& endpoint, Avoided avoided) : Offer(Place::connect), endpoint_(endpoint), avoided_(avoided) {}
  bool suits(const Want& want) const override {
    const bool failed = want.avoid != nullptr && want.avoid->rank(endpoint_.shared().id()) != 0;
    return !failed || avoided_ == Avoided::taken;
  }

 private:
  const Endpoint& endpoint_;
  Avoided avoided_;
};

Balancer::Pick ClusterImpl::how(const Want& want) const {
  Balancer::Pick pick{loop_.now(), shared_->panic(), want.avoid, service_time_.half_life()};
  pick.usual_head = service_time_.usual_head();
  if (want.key != 0) {
    pick.key = want.key;
    pick.in_flight = shared_->busy();
  }
  return pick;
}

// Did the request fail there, and is there one that is as good at which it did not?
bool ClusterImpl::avoids(const Want& want, const Endpoint& endpoint) const {
  if (want.avoid == nullptr || want.avoid->rank(endpoint.shared().id()) == 0) return false;
  return balancer_.another_usable(endpoint.index(), how(want));
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
  WaitQueue::asks(waiter);
  const base::Millis budget = want.budget.count > 0 ? want.budget : options_->pool.acquire_timeout;
  if (const std::uint32_t limit = options_->circuit.max_requests; limit != 0) {
    if (!queue_.enter_circuit(waiter, want, limit)) return false;
  }
  if (!class_of_route_.empty() && !enter_class(want, waiter, sink, budget)) return false;
  // Behind those who wait at the caps, and those who are about to be offered what has just become free.
  // Past its time it has no place; its owner is about to hear of it.
  const bool late = want.until.count != 0 && want.until <= loop_.now();
  const bool behind = late || queue_.anyone_undialled() || (!ready_.empty() && !queue_.empty());
  Order order{want, waiter, sink, loop_.now()};
  switch (behind ? Placed::full : place(order, grant)) {
    case Placed::stream: return true;
    case Placed::dialling: queue_.join_dialled(waiter, want, sink, budget, *order.from); return false;
    case Placed::full:
      // A replay was let in before, and the slot of the connection that died is about to be free.
      queue_.join_undialled(waiter, want, sink, budget, want.fresh || late ? ~0u : options_->pool.max_waiting);
      loop_.run_later(*this);
      return false;
    case Placed::no_port:
      queue_.refuse(waiter, {http::Kind::no_local_port, http::Where::proxy, http::Detail::none, false}, nullptr);
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
  const Balancer::Pick now{loop_.now(), shared_->panic()};
  return std::ranges::any_of(endpoints_, [&](const auto& e) {
    const SharedEndpoint& shared = e->shared();
    const std::uint32_t limit = in_flight_limit(shared);
    const std::uint32_t all =
        limit == 0 ? options_->pool.max_connections : std::min(limit, options_->pool.max_connections);
    const std::uint32_t half = std::max(all / 2, 1U);
    return shared.load() < half + shared.tunnels() &&
           balancer_.takes(e->index(), now);  // a tunnel has left max_connections
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
  // By key: what one endpoint has no room for is spread over the others, each key to the same.
  std::uint32_t i =
      order.want.key != 0 ? static_cast<std::uint32_t>(Maglev::mix(order.want.key) % n) : balancer_.random().below(n);
  for (std::uint32_t looked = 0; looked < n; ++looked, i = i + 1 == n ? 0 : i + 1) {
    if (i == chosen || !balancer_.meets(standard, i, chosen, pick)) continue;
    placed = place_at(i, order, grant);
    if (placed != Placed::full) return placed;
  }
  // A request that needs a connection of its own takes the place of an idle one, once.
  if (Endpoint& e = *endpoints_[chosen];
      has_place(e) && wants_fresh(order.want, e) && !WaitQueue::made_room(order.waiter)) {
    if (e.close_idle(http::CloseCause::given_up, 1) != 0) WaitQueue::note_room_made(order.waiter);
  }
  return order.no_port && !anything_up(nullptr) ? Placed::no_port : Placed::full;
}

// Is there a connection, of whatever worker, that may carry a request when it is free, or one that is being made?
// `failed`: one of its slots is that of a connect that has just failed.
bool ClusterImpl::anything_up(const Endpoint* failed) const {
  const Balancer::Pick pick{loop_.now(), shared_->panic()};
  return std::ranges::any_of(endpoints_, [&](const auto& e) {
    return balancer_.usable(e->index(), pick) && e->shared().connections() > (e.get() == failed ? 1u : 0u);
  });
}

bool ClusterImpl::lacks_ports() {
  return std::ranges::any_of(endpoints_, [&](const auto& e) {
    return e->shared().lacks_ports() && e->shared().connections() < options_->pool.max_connections;
  });
}

void ClusterImpl::no_port(Endpoint& endpoint) {
  endpoint.shared().no_port(loop_.now());
  if (!port_timer_.armed()) port_timer_.arm(loop_, SharedEndpoint::port_pause);
}

ClusterImpl::Placed ClusterImpl::place_at(std::uint32_t index, Order& order, Grant& grant) {
  Endpoint& endpoint = *endpoints_[index];
  if (!admits(endpoint)) return Placed::full;
  const Placed placed = place_admitted(endpoint, order, grant);
  endpoint.leave_trial();
  return placed;
}

ClusterImpl::Placed ClusterImpl::place_admitted(Endpoint& endpoint, Order& order, Grant& grant) {
  if (!wants_fresh(order.want, endpoint) && endpoint.reserve()) {
    if (http::Stream* const stream = endpoint.take(order.want.borrow, order.sink, order.from); stream != nullptr) {
      fill(grant, order.waiter, order.want, *order.from, *stream, order.since);
      return Placed::stream;
    }
    endpoint.unreserve();
  }
  if (!has_place(endpoint)) return Placed::full;
  if (order.from = ask_for_spare(endpoint, order.want, order.waiter); order.from != nullptr) return Placed::dialling;
  if (endpoint.out_of_ports() && endpoint.shared().connections() < options_->pool.max_connections) {
    order.no_port = true;
    if (!port_timer_.armed()) port_timer_.arm(loop_, SharedEndpoint::port_pause);
    return Placed::full;
  }
  if (!endpoint.shared().open_slot(options_->pool.max_connections)) return Placed::full;
  order.from = &endpoint.dial(&order.waiter, order.want.client, needs_http1(order.want, endpoint));
  return Placed::dialling;
}

bool ClusterImpl::has_place(const Endpoint& endpoint) const {
  const std::uint32_t limit = in_flight_limit(endpoint.shared());
  return limit == 0 || endpoint.shared().load() < limit;
}

void ClusterImpl::fill(Grant& grant, Waiter& waiter, const Want& want, Connection& connection, http::Stream& stream,
                       base::Micros since) {
  shared_->service_rate().count(worker_, loop_.now());
  grant.stream = &stream;
  grant.lease = Lease(connection.endpoint(),
                      {WaitQueue::take_pass(waiter),
                       shared_->clients().hold(options_->pool.max_client_share < 100 ? want.client_mark : 0)});
  holders_.add(waiter);
  grant.reused = stream.reused();
  grant.queue_wait = loop_.now() - since;
  const bool waited_for_it = !grant.reused && grant.queue_wait.count > 0;
  grant.connect = waited_for_it ? connection.times().connect : base::Micros{};
  grant.tls = waited_for_it ? connection.times().tls : base::Micros{};
  (grant.reused ? metrics_.requests_reused : metrics_.requests_fresh).add();
}

// ---- Connections' news

void ClusterImpl::on_ready(Connection& connection) {
  if (Waiter* const waiter = connection.dialled_for();
      waiter != nullptr && (!single_use() || connection.endpoint().shared().disabled())) {
    // Its connect is done; who gets the connection is a matter of age.
    connection.set_dialled_for(nullptr);
    queue_.set_undialled(*waiter);
  }
  const bool nothing_to_do =
      queue_.empty() && !retired_ && !single_use() && !shared_->board().anyone() && !shut(connection.endpoint());
  if (nothing_to_do || connection.base::ListHook<ReadyTag>::linked()) return;
  // By key one that was made for a request is offered first: it would have gone elsewhere otherwise.
  by_key() && !connection.used() ? ready_.push_front(connection) : ready_.push_back(connection);
  loop_.run_later(*this);
}

// The waiter it was made for finds another place, or waits on. Otherwise it may stay: the peer can allow streams again.
void ClusterImpl::on_useless(Connection& connection) {
  if (Waiter* const waiter = connection.dialled_for(); waiter != nullptr) {
    connection.set_dialled_for(nullptr);
    queue_.set_undialled(*waiter);
    loop_.run_later(*this);
  }
  if (retired_) return connection.close_when_idle(retire_cause_);
  if (shut(connection.endpoint())) return connection.close_when_idle(shut_cause(connection.endpoint()));
  if (single_use()) connection.close_when_idle(http::CloseCause::max_requests);  // it was for one client
}

void ClusterImpl::on_dial_failed(Connection& connection, const DialFailure& why) {
  Endpoint& endpoint = connection.endpoint();
  // One that speaks nothing but HTTP/2 is not down when an upgrade wants HTTP/1.
  const bool theirs =
      why.fault == DialFailure::Fault::theirs && !(connection.only_http1() && why.kind == http::Kind::tls_failed);
  if (theirs) {
    endpoint.note_failed_connect();
    if (endpoint.shared().connect_failed(loop_.now(), connection.trial())) close_idle_everywhere(endpoint);
    judge(endpoint, "connect", connection.trial() == SharedEndpoint::Trial::yes);
  }
  const bool out_of_ports = why.kind == http::Kind::no_local_port;
  if (out_of_ports) no_port(endpoint);
  if (Waiter* const waiter = connection.dialled_for(); waiter != nullptr) {
    connection.set_dialled_for(nullptr);
    if (out_of_ports && anything_up(&endpoint)) {  // one of these may serve it
      queue_.set_undialled(*waiter);
      return loop_.run_later(*this);
    }
    http::Failure failure = refusal(why.kind, http::Where::upstream);
    if (why.fault == DialFailure::Fault::ours) {
      // Ports are counted for each destination; of anything else another place has no more than this one.
      const Balancer::Pick pick{loop_.now(), shared_->panic()};
      failure.where = http::Where::proxy;
      failure.untouched = why.kind == http::Kind::no_local_port && endpoint.in_set() &&
                          balancer_.another_usable(endpoint.index(), pick);
    }
    queue_.refuse_dialled(*waiter, failure, endpoint);
  }
}

void ClusterImpl::on_dial_orphaned(Connection& dial) {
  dial.set_dialled_for(nullptr);
  if (single_use()) return;  // it carries the address of a client that is gone: closed when it is ready
  // Not for a request that has just failed there: it would meet the same dead endpoint with its last try.
  Waiter* const next = next_for_connect(dial.endpoint(), Avoided::refused);
  if (next == nullptr) return;
  queue_.set_dialled(*next, dial);
  dial.set_dialled_for(next);
}

void ClusterImpl::on_slot_freed(Endpoint& endpoint) {
  if (!pass_on(endpoint, PassedSlot::Of::connection) && queue_.anyone_undialled()) loop_.run_later(*this);
  if (share_of_min_idle() != 0 && !warm_timer_.armed()) warm_timer_.arm(loop_, warm_every);
}

void ClusterImpl::on_phase(PoolPhase from, PoolPhase to) {
  const auto gauge = [this](PoolPhase phase) -> metrics::Gauge* {
    switch (phase) {
      case PoolPhase::connecting: return &metrics_.connecting;
      case PoolPhase::idle: return &metrics_.idle;
      case PoolPhase::active:
      case PoolPhase::tunnel: return &metrics_.active;
      case PoolPhase::asking:
      case PoolPhase::ended: return nullptr;
    }
    UNREACHABLE();
  };
  if (from == PoolPhase::connecting) count_busy(-1);
  if (to == PoolPhase::connecting) count_busy(1);
  connections_ += (from == PoolPhase::ended ? 1u : 0u) - (to == PoolPhase::ended ? 1u : 0u);
  if (metrics::Gauge* const g = gauge(from); g != nullptr) g->add(-1);
  if (metrics::Gauge* const g = gauge(to); g != nullptr) g->add(1);
  if (from == PoolPhase::idle && share_of_min_idle() != 0 && !warm_timer_.armed()) warm_timer_.arm(loop_, warm_every);
}

void ClusterImpl::count_request() {
  shared_->retries().count_request(worker_, loop_.now());
  load_.arrived(loop_.now());
  tell_load_soon();
}

void ClusterImpl::on_head(Endpoint& endpoint, base::Micros took, Outcome outcome) {
  const bool well = outcome == Outcome::answered;
  if (well && adapts()) learn_limit(endpoint.shared(), took);
  if (set_->balance != Balance::p2c_ewma) return;
  endpoint.shared().note_head(took, well, loop_.now());
  if (well) service_time_.add_head(endpoint.shared().head_time().micros);
}

// For the bound of ring_hash.
void ClusterImpl::count_busy(std::int32_t change) {
  busy_ += static_cast<std::uint32_t>(change);
  if (by_key()) shared_->tell_busy(worker_, busy_);
}

void ClusterImpl::on_lease(std::int32_t change) {
  count_busy(change);
  change > 0 ? load_.began(loop_.now()) : load_.ended(loop_.now());
  tell_load_soon();
}

void ClusterImpl::on_request_ended(Endpoint& endpoint) {
  if (!limits_in_flight()) return;
  if (!pass_on(endpoint, PassedSlot::Of::request) && queue_.anyone_undialled()) loop_.run_later(*this);
}

void ClusterImpl::tell_load_soon() {
  const base::Micros soon = loop_.now() + base::Micros{load_told_every};
  if (!load_timer_.armed() || load_timer_.due() > soon) load_timer_.arm(loop_, load_told_every);
}

void ClusterImpl::on_load_timer() {
  Advisor& advisor = shared_->advisor();
  advisor.tell(worker_, load_.look(loop_.now()));
  switch (load_.pace(loop_.now())) {
    case LoadMeter::Pace::moving: load_timer_.arm(loop_, load_told_every); break;
    case LoadMeter::Pace::steady: load_timer_.arm(loop_, load_steady_every); break;
    case LoadMeter::Pace::quiet: break;
  }
  const Capacity capacity = shared_->capacity(*set_, options_->pool.max_connections);
  const Advisor::View view = advisor.look();
  const Advice before = advisor.given();
  const Advice advice = Advisor::advise(view, capacity.requests, before);
  if (advice != before) advisor.give(before, advice);  // runtime/observer tells it
}

// ---- At the loop

void ClusterImpl::run() {
  queue_.deliver_refusals();
  admit_classes();  // before connections are offered: one may be free for just them
  while (Connection* const connection = ready_.pop_front()) serve(*connection);
  place_waiting();
  close_leaving();
  drop_unused_endpoints();
  make_way();
}

Waiter* ClusterImpl::next_for(Connection& connection) {
  if (single_use()) {
    Waiter* const waiter = connection.dialled_for();
    return waiter != nullptr && !waiter->past(loop_.now()) ? waiter : nullptr;
  }
  if (queue_.empty()) return nullptr;
  const auto next = [&](Free::For whom) {
    return queue_.next_for(Free{*this, connection, connection.endpoint(), whom});
  };
  if (!by_key()) return next(Free::For::all);
  // First whose key has its place here; a place that none of them wants is not kept from those who only wait.
  Waiter* const own = next(Free::For::own);
  return own != nullptr ? own : next(Free::For::queued);
}

Waiter* ClusterImpl::next_for_connect(const Endpoint& endpoint, Avoided avoided) {
  return queue_.next_for(Kept{endpoint, avoided});
}

void ClusterImpl::serve(Connection& connection) {
  Endpoint& endpoint = connection.endpoint();
  if (endpoint.leaving()) return connection.close_when_idle(endpoint.leave_cause());
  if (shut(endpoint)) return connection.close_when_idle(shut_cause(endpoint));
  while (connection.free_slot()) {
    Waiter* const waiter = next_for(connection);
    const auto since = waiter != nullptr ? std::optional(queue_.claims_since(*waiter)) : std::nullopt;
    // A new connection serves here first: it was made for somebody.
    const bool may_go = connection.phase() == PoolPhase::idle && (connection.used() || waiter == nullptr) &&
                        (endpoint.shared().connections() >= options_->pool.max_connections || endpoint.out_of_ports());
    if (const auto worker = may_go ? another_waiting(since) : std::nullopt; worker.has_value()) {
      return give(connection, *worker);
    }
    if (waiter == nullptr || !hand_to(*waiter, connection)) break;
  }
  if (connection.phase() != PoolPhase::idle) return;
  if (Waiter* const left = connection.dialled_for(); left != nullptr) {
    // Single use, and that limit was reached meanwhile, or it is past its time.
    connection.set_dialled_for(nullptr);
    queue_.set_undialled(*left);
  }
  if (retired_) return connection.close_when_idle(retire_cause_);
  if (single_use()) connection.close_when_idle(http::CloseCause::max_requests);  // it was for one client
}

bool ClusterImpl::hand_to(Waiter& waiter, Connection& connection) {
  Endpoint& endpoint = connection.endpoint();
  if (!admits(endpoint)) return false;
  if (!endpoint.reserve()) {
    endpoint.leave_trial();
    return false;
  }
  if (!connection.used() || connection.validate(waiter.want().borrow)) {
    if (http::Stream* const stream = connection.open(waiter.sink()); stream != nullptr) {
      if (connection.dialled_for() == &waiter) connection.set_dialled_for(nullptr);
      Grant grant;
      fill(grant, waiter, waiter.want(), connection, *stream, WaitQueue::asked(waiter));
      queue_.take(waiter, &connection);
      queue_.count_wait(waiter, metrics_.wait_served);
      waiter.on_stream(std::move(grant));
      return true;
    }
  }
  endpoint.unreserve();
  endpoint.leave_trial();
  return false;
}

WaitQueue::Turn ClusterImpl::on_turn(Waiter& waiter) {
  Order order{waiter.want(), waiter, waiter.sink(), WaitQueue::asked(waiter)};
  Grant grant;
  switch (place(order, grant)) {
    case Placed::stream:
      queue_.take(waiter, order.from);
      queue_.count_wait(waiter, metrics_.wait_served);
      waiter.on_stream(std::move(grant));
      return WaitQueue::Turn::upcalled;
    case Placed::dialling: queue_.set_dialled(waiter, *order.from); return WaitQueue::Turn::settled;
    case Placed::full: return WaitQueue::Turn::full;
    case Placed::no_port:
      queue_.refuse(waiter, {http::Kind::no_local_port, http::Where::proxy, http::Detail::none, false}, nullptr);
      return WaitQueue::Turn::settled;
    case Placed::nowhere:
      queue_.refuse(waiter, refusal(http::Kind::no_endpoint, http::Where::proxy), nullptr);
      return WaitQueue::Turn::settled;
  }
  UNREACHABLE();
}

void ClusterImpl::dial_for(Waiter& waiter, Endpoint& endpoint) {
  const Want& want = waiter.want();
  queue_.set_dialled(waiter, endpoint.dial(&waiter, want.client, needs_http1(want, endpoint)));
}

void ClusterImpl::place_waiting() {
  queue_.place_all();
  announce();
  if (announced_.count == 0) return;
  queue_.place_all();  // who freed a slot before it could see the announcement did not pass it on
  announce();
  if (announced_.count == 0 || peers_ == nullptr || ask_timer_.armed()) return;
  if (own() == WaitBoard::Own::some && loop_.now() < announced_ + handover_margin) {
    return ask_timer_.arm(loop_, handover_margin);  // one of ours may become free meanwhile
  }
  peers_->ask_give_up(*shared_, queue_.count_undialled(ask_most));
  ask_timer_.arm(loop_, ask_every);
}

}  // namespace sluice::upstream
