// ClusterImpl and the other workers of its upstream: who waits for longer gets the place, who lacks a connection gets
// one that is idle elsewhere. Messages may get lost: every one of them is asked again, given back, or waited for no
// longer than Endpoint::ask_patience.
#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "upstream/cluster_impl.h"

namespace sluice::upstream {
namespace {

constexpr base::Micros never{std::numeric_limits<std::int64_t>::max()};

}  // namespace

// ---- Places at the caps

void ClusterImpl::announce() {
  const base::Micros since = queue_.undialled_since().value_or(base::Micros{});
  if (since == announced_ && own() == announced_own_) return;
  announced_ = since;
  announced_own_ = own();
  shared_->board().announce(worker_, since, announced_own_);
}

std::optional<std::uint32_t> ClusterImpl::another_waiting(std::optional<base::Micros> mine) const {
  if (peers_ == nullptr || !shared_->board().anyone()) return std::nullopt;
  const base::Micros now = loop_.now();
  if (!mine.has_value()) return shared_->board().longest(worker_, now - handover_margin, never);
  // Twice as long as ours: less would have slots go to and fro between two busy workers.
  const base::Micros than = *mine - (now - *mine) - handover_margin;
  return shared_->board().longest(worker_, than, than);
}

bool ClusterImpl::pass_on(Endpoint& endpoint, PassedSlot::Of of) {
  if (!endpoint.in_set() || shut(endpoint)) return false;
  if (!balancer_.in_use(endpoint.index(), {loop_.now(), shared_->panic()})) return false;
  const std::optional<std::uint32_t> worker = another_waiting(queue_.undialled_since());
  if (!worker.has_value()) return false;
  const PoolOptions& pool = options_->pool;
  SharedEndpoint& shared = endpoint.shared();
  if (of == PassedSlot::Of::connection ? !shared.open_slot(pool.max_connections)
                                       : !shared.begin_request(in_flight_limit(shared))) {
    return false;
  }
  peers_->pass_slot(*shared_, *worker, std::make_shared<PassedSlot>(endpoint.shared_owner(), of));
  return true;
}

// ---- Connections

// Half of the idle ones at most, as the next burst may be ours; a single one goes.
void ClusterImpl::give_up_idle(std::uint32_t wanted, std::uint32_t worker) {
  if (loop_.now() >= way_after_) loop_.run_later(*this);  // make_way()
  for (const auto& e : endpoints_) {
    if (wanted == 0) return;
    if (e->shared().connections() < options_->pool.max_connections && !e->out_of_ports()) continue;
    for (std::uint32_t spare = (e->count(PoolPhase::idle) + 1) / 2; wanted > 0 && spare > 0; --wanted, --spare) {
      Connection* const connection = e->least_used();
      if (connection == nullptr) break;
      give(*connection, worker);
    }
  }
}

// A connection that cannot travel ends, and its slot is passed on then.
void ClusterImpl::give(Connection& connection, std::uint32_t worker) {
  if (auto parcel = connection.pack(); parcel != nullptr) {
    return peers_->pass_connection(*shared_, worker, std::move(parcel));
  }
  connection.close_when_idle(http::CloseCause::given_up);
}

// Below the cap: at it places change hands, as somebody else may wait for longer. Never for a request that wants a
// connection of its own, nor as the trial of an endpoint that is kept away.
Connection* ClusterImpl::ask_for_spare(Endpoint& endpoint, const Want& want, Waiter& waiter) {
  const SharedEndpoint& shared = endpoint.shared();
  if (peers_ == nullptr || shared.connections() >= options_->pool.max_connections) return nullptr;
  if (shared.standing().why() != Away::no) return nullptr;
  const std::optional<std::uint32_t> worker = shared.spare_elsewhere(worker_, 0);
  if (!worker.has_value() || wants_fresh(want, endpoint)) return nullptr;
  Connection& asking = endpoint.ask(waiter);
  peers_->ask_spare(*shared_, *worker, {shared.id(), worker_, 0});
  return &asking;
}

// Not below this worker's share of min_idle. Who has none to spare asks the next one that may, on behalf of who asked.
void ClusterImpl::spare_one(const SpareWanted& wanted) {
  Endpoint* const endpoint = retired_ ? nullptr : here(wanted.endpoint_id);
  if (endpoint == nullptr) return peers_->spares_none(*shared_, wanted.worker, wanted.endpoint_id);
  Connection* const spare = endpoint->to_spare(share_of_min_idle());
  std::shared_ptr<Parcel> parcel = spare == nullptr ? nullptr : spare->pack();
  SharedEndpoint& shared = endpoint->shared();
  if (endpoint->count(PoolPhase::idle) <= share_of_min_idle()) shared.spares_none(worker_);
  if (parcel != nullptr) return peers_->pass_connection(*shared_, wanted.worker, std::move(parcel));
  const std::uint64_t asked = wanted.asked | SharedEndpoint::spare_bit(worker_);
  const auto next = shared.spare_elsewhere(worker_, asked | SharedEndpoint::spare_bit(wanted.worker));
  if (next.has_value()) return peers_->ask_spare(*shared_, *next, {wanted.endpoint_id, wanted.worker, asked});
  peers_->spares_none(*shared_, wanted.worker, wanted.endpoint_id);
}

void ClusterImpl::asked_in_vain(std::uint64_t endpoint_id) {
  Endpoint* const endpoint = here(endpoint_id);
  if (Connection* const c = endpoint == nullptr ? nullptr : endpoint->asking(); c != nullptr) on_not_spared(*c);
}

void ClusterImpl::on_spare(SharedEndpoint& endpoint) {
  if (peers_ != nullptr && !single_use()) endpoint.may_spare(worker_);
}

void ClusterImpl::on_not_spared(Connection& connection) {
  Waiter* const waiter = connection.dialled_for();
  if (waiter == nullptr) return connection.stop_asking();  // nobody waits for it any more
  Endpoint& endpoint = connection.endpoint();
  if (!endpoint.out_of_ports() && endpoint.shared().open_slot(options_->pool.max_connections))
    return connection.start(nullptr, false);
  connection.set_dialled_for(nullptr);
  queue_.set_undialled(*waiter);
  connection.stop_asking();
  loop_.run_later(*this);
}

Endpoint* ClusterImpl::here(std::uint64_t endpoint_id) {
  const auto found =
      std::ranges::find_if(endpoints_, [id = endpoint_id](const auto& e) { return e->shared().id() == id; });
  return found == endpoints_.end() ? nullptr : found->get();
}

Endpoint* ClusterImpl::here(const SharedEndpoint* shared) {
  const auto found = std::ranges::find_if(endpoints_, [shared](const auto& e) { return &e->shared() == shared; });
  return found == endpoints_.end() ? nullptr : found->get();
}

// What is not taken ends with the message.
void ClusterImpl::accept_connection(const std::shared_ptr<Parcel>& parcel) {
  Endpoint* const endpoint = here(parcel->slot.endpoint());
  if (endpoint == nullptr || retired_ || parcel->session == nullptr || parcel->way != connector_->way()) return;
  if (!endpoint->adopt(*parcel)) {
    parcel->slot.take();
    endpoint->shared().close_slot();
    on_slot_freed(*endpoint);
    if (Connection* const asking = endpoint->asking(); asking != nullptr) on_not_spared(*asking);
  }
  loop_.run_later(*this);  // what is announced may have changed
}

void ClusterImpl::accept_slot(const std::shared_ptr<PassedSlot>& slot) {
  if (slot->endpoint() == nullptr) return;
  Endpoint* const found = here(slot->endpoint());
  if (found == nullptr) return;  // it left the set: the slot goes back when the message dies
  Endpoint& endpoint = *found;
  const PassedSlot::Of of = slot->of();
  slot->take();
  if (of == PassedSlot::Of::request) return accept_place(endpoint);
  Waiter* const waiter = next_for_connect(endpoint, endpoints_.size() > 1 ? Avoided::refused : Avoided::taken);
  if (waiter == nullptr) {  // served otherwise meanwhile; maybe another worker still waits
    announce();
    endpoint.shared().close_slot();
    on_slot_freed(endpoint);
    return;
  }
  dial_for(*waiter, endpoint);
  loop_.run_later(*this);  // what is announced has changed
}

// Who waits takes it with an idle connection; where there is none, a connect begins, and the next place is passed.
void ClusterImpl::accept_place(Endpoint& endpoint) {
  endpoint.take_place();
  queue_.place_all();
  announce();
  endpoint.give_places_back();
}

void ClusterImpl::endpoint_down(std::uint64_t endpoint_id) {
  if (Endpoint* const endpoint = here(endpoint_id); endpoint != nullptr) endpoint->close_idle(http::CloseCause::health);
}

}  // namespace sluice::upstream
