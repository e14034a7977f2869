// Waiters between joining and leaving; budgets that run only while undialled. See queue.h.
#include "upstream/queue.h"

#include <algorithm>

#include "base/check.h"
#include "upstream/pool.h"

namespace sluice::upstream {

namespace {

constexpr http::Failure full{http::Kind::pool_full, http::Where::proxy, http::Detail::none, true};

constexpr base::Millis share_memory{10};

// It takes any connection, so where there is none for it there is none for those after it.
bool takes_any(const Want& want) {
  return !want.fresh && want.borrow == http::Borrow::quick && want.upgrade == Upgrade::none;
}

}  // namespace

WaitQueue::WaitQueue(net::Loop& loop, SharedUpstream& shared, UpstreamMetrics& metrics, User& user)
    : loop_(loop), shared_(shared), metrics_(metrics), user_(user) {}

WaitQueue::~WaitQueue() { CHECK(empty() && refused_.empty() && parked_ == 0); }

void WaitQueue::begin(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget) {
  CHECK(waiter.queue_ == nullptr && budget.count > 0);
  waiter.queue_ = this;
  waiter.sink_ = &sink;
  waiter.want_ = want;
  waiter.since_ = waiter.asked_ = loop_.now();
  waiter.left_ = budget;
}

void WaitQueue::enter(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget) {
  begin(waiter, want, sink, budget);
  waiter.made_room_ = waiter.was_dialled_ = false;
  waiter.dialled_ = {};
  Queue& lane = queue_of(waiter);
  if (lane.all.empty()) lane.passed_over = 0;
  lane.all.push_back(waiter);
}

void WaitQueue::begin_dial(Waiter& waiter, Connection& dial) {
  waiter.dial_ = &dial;
  waiter.dialled_at_ = loop_.now();
  metrics_.waiting_connect.add(1);
  waiter.was_dialled_ = true;
}

void WaitQueue::end_dial(Waiter& waiter) {
  waiter.dial_ = nullptr;
  if (waiter.dialled_at_.count < 0) return;
  waiter.dialled_ = waiter.dialled(loop_.now());
  waiter.dialled_at_ = base::Micros{-1};
  metrics_.waiting_connect.add(-1);
}

bool WaitQueue::enter_circuit(Waiter& waiter, const Want& want, std::uint32_t limit) {
  CHECK(waiter.queue_ == nullptr);
  Circuit& circuit = shared_.circuit();
  waiter.pass_ = want.fresh ? circuit.enter_past_limit() : circuit.enter(limit);
  if (waiter.pass_) return true;
  refuse(waiter, {http::Kind::circuit_open, http::Where::proxy, http::Detail::none, true}, nullptr);
  return false;
}

void WaitQueue::join_dialled(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget,
                             Connection& dial) {
  enter(waiter, want, sink, budget);
  begin_dial(waiter, dial);
}

void WaitQueue::join_undialled(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget,
                               std::uint32_t max_waiting) {
  sojourn_.comes(loop_.now(), oldest());
  if (all_over_share_.count >= 0 && !user_.over_share(want)) all_over_share_ = base::Micros{-1};
  if (!shared_.enter_queue(max_waiting)) {
    Waiter* other = sojourn_.newest_first() ? oldest_from_below(want.lane) : youngest_below(want.lane);
    if (other == nullptr && !user_.over_share(want)) other = youngest_over_share();
    if (other == nullptr) return refuse(waiter, full, nullptr);
    shared_.count_waiting();  // before the other's place is given back, so that nobody else takes it
    refuse(*other, full, nullptr);
  }
  enter(waiter, want, sink, budget);
  queue_of(waiter).undialled.push_back(waiter.undialled_);
  count_in(waiter);
  shed();
}

// Of the excess of the whole process each worker sheds what is its part.
void WaitQueue::shed() {
  const std::uint32_t waiting = shared_.waiting();
  if (!sojourn_.grows() || waiting <= Sojourn::kept_least) return;
  const std::uint64_t excess = sojourn_.excess(waiting, shared_.service_rate().per_second(loop_.now()));
  for (std::uint64_t n = excess * undialled_ / waiting; n > 0; --n) {
    Waiter* const one = oldest_from_below(http::Lane::high);
    if (one == nullptr) return;
    one->refused_as_ = "shed";
    refuse(*one, no_place(), nullptr);
    metrics_.shed.add();
  }
}

void WaitQueue::configure(const PoolOptions& pool) {
  sojourn_.configure(pool.queue_target, pool.queue_interval, pool.acquire_timeout);
}

// The budget runs, rounded up to the wheel's milliseconds.
void WaitQueue::count_in(Waiter& waiter) {
  ++undialled_;
  metrics_.waiting.add(1);
  waiter.timer_.arm(loop_, base::Millis{(waiter.left_.count + 999) / 1000});
}

void WaitQueue::count_out(Waiter& waiter) {
  waiter.left_ = waiter.timer_.armed() ? std::max(waiter.timer_.due() - loop_.now(), base::Micros{0}) : base::Micros{0};
  waiter.timer_.disarm();
  waiter.undialled_.unlink();
  --undialled_;
  shared_.leave_queue();
  metrics_.waiting.add(-1);
}

void WaitQueue::set_dialled(Waiter& waiter, Connection& dial) {
  CHECK(waiter.queue_ == this && waiter.dial_ == nullptr && waiter.undialled_.linked());
  count_out(waiter);
  sojourn_.placed();
  begin_dial(waiter, dial);
}

void WaitQueue::set_undialled(Waiter& waiter) {
  CHECK(waiter.queue_ == this && waiter.dial_ != nullptr && !waiter.undialled_.linked());
  end_dial(waiter);
  shared_.count_waiting();  // it was let in before: max_waiting may be passed by those whose connect went to another
  queue_of(waiter).undialled.push_front(waiter.undialled_);
  count_in(waiter);
  sojourn_.not_placed();
}

void WaitQueue::note_lost(const Waiter& waiter) {
  if (waiter.undialled_.linked()) sojourn_.left();
}

void WaitQueue::count_wait(const Waiter& waiter, metrics::Histogram& in) const {
  const base::Micros now = loop_.now();
  const base::Micros waited = now - waiter.asked_ - waiter.dialled(now);
  if (waited.count > 0 || !waiter.was_dialled_) in.observe(waited);
}

void WaitQueue::give_up(Waiter& waiter) {
  note_lost(waiter);
  if (waiter.refusal_.clean()) count_wait(waiter, metrics_.wait_left);
  leave(waiter);
}

void WaitQueue::leave(Waiter& waiter) {
  CHECK(waiter.queue_ == this);
  waiter.queue_ = nullptr;
  waiter.pass_.give_back();
  if (waiter.class_queue_ != nullptr) {
    waiter.timer_.disarm();
    return unpark(waiter);
  }
  waiter.base::ListHook<WaitTag>::unlink();
  if (!waiter.refusal_.clean()) {
    waiter.refusal_ = {};
    return;
  }
  if (waiter.undialled_.linked()) {
    count_out(waiter);
    user_.on_queue_work();
  }
  if (Connection* const dial = waiter.dial_; dial != nullptr) {
    end_dial(waiter);
    user_.on_dial_orphaned(*dial);
  }
}

void WaitQueue::take(Waiter& waiter, const Connection* with) {
  if (waiter.dial_ == with) end_dial(waiter);
  if (waiter.undialled_.linked()) sojourn_.placed();
  count_turn(waiter);
  leave(waiter);
}

void WaitQueue::refuse_dialled(Waiter& waiter, const http::Failure& why, const Endpoint& endpoint) {
  CHECK(waiter.queue_ == this && waiter.dial_ != nullptr);
  end_dial(waiter);
  refuse(waiter, why, &endpoint);
}

void WaitQueue::refuse(Waiter& waiter, const http::Failure& why, const Endpoint* endpoint) {
  CHECK(!why.clean());
  const bool waited = waiter.queue_ != nullptr;
  waited ? leave(waiter) : void(waiter.dialled_ = {});
  if (why.kind == http::Kind::pool_timeout) metrics_.timeouts.add(1);
  if (waited && why.kind != http::Kind::pool_full) count_wait(waiter, metrics_.wait_timeout);
  waiter.pass_.give_back();
  waiter.queue_ = this;
  waiter.refusal_ = why;
  waiter.refused_by_ = endpoint;
  refused_.push_back(waiter);
  user_.on_queue_work();
}

void WaitQueue::deliver_refusals() {
  base::List<Waiter, WaitTag> batch;  // one that is refused anew by an upcall waits for the next turn
  batch.take_all(refused_);
  while (Waiter* const waiter = batch.front()) {
    const http::Failure why = waiter->refusal_;
    const Endpoint* const endpoint = waiter->refused_by_;
    leave(*waiter);
    waiter->on_refused(why, endpoint);
  }
}

void WaitQueue::forget_endpoint(const Endpoint& endpoint) {
  for (Waiter* w = refused_.front(); w != nullptr; w = refused_.next(*w)) {
    if (w->refused_by_ == &endpoint) w->refused_by_ = nullptr;
  }
}

// ---- Whose turn it is

bool WaitQueue::empty() const {
  return std::ranges::all_of(lanes_, [](const Queue& q) { return q.all.empty(); });
}

WaitQueue::Queue* WaitQueue::due() {
  const auto found = std::ranges::find_if(lanes_, [](Queue& q) { return !q.all.empty() && q.passed_over >= passes; });
  return found != lanes_.end() ? &*found : nullptr;
}

void WaitQueue::count_turn(const Waiter& served) {
  Queue& its = queue_of(served);
  its.passed_over = 0;
  for (Queue* q = &its + 1; q != lanes_.data() + lanes_.size(); ++q) q->passed_over += q->all.empty() ? 0 : 1;
}

bool WaitQueue::has_turn(const Waiter& waiter, Share share) {
  if (waiter.past(loop_.now())) return false;
  if (share == Share::ignored) return true;
  const bool over = user_.over_share(waiter.want_);
  (over ? saw_over_share_ : saw_within_share_) = true;
  return !over;
}

Waiter* WaitQueue::first_in(Queue& queue, const Offer& offer, Share share) {
  const bool newest = sojourn_.newest_first();
  if (offer.place() == Offer::Place::ready) {
    auto& all = queue.all;
    for (Waiter* w = newest ? all.back() : all.front(); w != nullptr; w = newest ? all.prev(*w) : all.next(*w)) {
      if (has_turn(*w, share) && offer.suits(w->want_)) return w;
    }
    return nullptr;
  }
  for (Waiter::Undialled* u = first_of(queue); u != nullptr; u = next_of(queue, *u)) {
    if (has_turn(u->waiter, share) && offer.suits(u->waiter.want_)) return &u->waiter;
  }
  return nullptr;
}

Waiter::Undialled* WaitQueue::first_of(Queue& queue) const {
  return sojourn_.newest_first() ? queue.undialled.back() : queue.undialled.front();
}

Waiter::Undialled* WaitQueue::next_of(Queue& queue, Waiter::Undialled& one) const {
  return sojourn_.newest_first() ? queue.undialled.prev(one) : queue.undialled.next(one);
}

// False soon after all were found to be over their share, so that a queue of one client is not walked for each place.
bool WaitQueue::share_matters() {
  return all_over_share_.count < 0 || loop_.now() - all_over_share_ >= base::Micros(share_memory);
}

Waiter* WaitQueue::next_for(const Offer& offer) {
  if (share_matters()) {
    saw_within_share_ = saw_over_share_ = false;
    if (Waiter* const w = next_by(offer, Share::kept); w != nullptr) return w;
    if (!saw_over_share_) return nullptr;
    if (!saw_within_share_) all_over_share_ = loop_.now();
  }
  return next_by(offer, Share::ignored);
}

Waiter* WaitQueue::next_by(const Offer& offer, Share share) {
  if (Queue* const q = due(); q != nullptr) {
    if (Waiter* const w = first_in(*q, offer, share); w != nullptr) return w;
  }
  for (Queue& q : lanes_) {
    if (Waiter* const w = first_in(q, offer, share); w != nullptr) return w;
  }
  return nullptr;
}

Waiter* WaitQueue::youngest_over_share() {
  for (unsigned i = http::lanes; i > 0; --i) {
    auto& undialled = lanes_[i - 1].undialled;
    for (Waiter::Undialled* u = undialled.back(); u != nullptr; u = undialled.prev(*u)) {
      if (!u->waiter.want_.fresh && user_.over_share(u->waiter.want_)) return &u->waiter;
    }
  }
  return nullptr;
}

Waiter* WaitQueue::youngest_below(http::Lane lane) {
  for (unsigned i = http::lanes - 1; i > static_cast<unsigned>(lane); --i) {
    auto& undialled = lanes_[i].undialled;
    for (Waiter::Undialled* u = undialled.back(); u != nullptr; u = undialled.prev(*u)) {
      if (!u->waiter.want_.fresh) return &u->waiter;
    }
  }
  return nullptr;
}

// No replay: the slot of the connection that died is about to be free.
Waiter* WaitQueue::oldest_from_below(http::Lane lane) {
  for (unsigned i = http::lanes; i > static_cast<unsigned>(lane); --i) {
    auto& undialled = lanes_[i - 1].undialled;
    for (Waiter::Undialled* u = undialled.front(); u != nullptr; u = undialled.next(*u)) {
      if (!u->waiter.want_.fresh) return &u->waiter;
    }
  }
  return nullptr;
}

void WaitQueue::place_all() {
  Placed placed = Placed::upcalled;
  while (placed == Placed::upcalled) {
    saw_over_share_ = false;
    placed = share_matters() ? place_some(Share::kept) : Placed::some;
    if (placed == Placed::some) placed = place_some(Share::ignored);
  }
}

WaitQueue::Placed WaitQueue::place_some(Share share) {
  if (Queue* const q = due(); q != nullptr && !q->undialled.empty()) {
    Waiter& waiter = first_of(*q)->waiter;
    const bool any = takes_any(waiter.want_);
    const Turn turn = has_turn(waiter, share) ? user_.on_turn(waiter) : Turn::settled;
    if (turn == Turn::upcalled) return Placed::upcalled;
    if (turn == Turn::full && any) return Placed::full;
  }
  for (Waiter *w = first_undialled(), *next = nullptr; w != nullptr; w = next) {
    next = next_undialled(*w);
    if (!has_turn(*w, share)) continue;
    const bool any = takes_any(w->want_);
    const Turn turn = user_.on_turn(*w);
    if (turn == Turn::upcalled) return Placed::upcalled;
    if (turn == Turn::full && any)
      return Placed::full;  // else: who needs a fresh one may be stuck where others are not
  }
  return share == Share::kept && saw_over_share_ ? Placed::some : Placed::all;
}

std::optional<base::Micros> WaitQueue::undialled_since() {
  const auto waits = std::ranges::find_if(lanes_, [](const Queue& q) { return !q.undialled.empty(); });
  if (waits == lanes_.end()) return std::nullopt;
  return waits->undialled.front()->waiter.since_;
}

std::optional<base::Micros> WaitQueue::oldest() {
  std::optional<base::Micros> found;
  for (Queue& q : lanes_) {
    if (q.undialled.empty()) continue;
    const base::Micros since = q.undialled.front()->waiter.since_;
    if (!found.has_value() || since < *found) found = since;
  }
  return found;
}

// Newest first, the one whose turn it is has not waited at all: connections would go to and fro between two workers.
base::Micros WaitQueue::claims_since(const Waiter& waiter) {
  const base::Micros since = waiter.since_;
  return sojourn_.newest_first() ? std::min(since, oldest().value_or(since)) : since;
}

std::uint32_t WaitQueue::count_undialled(std::uint32_t at_most) {
  std::uint32_t n = 0;
  for (Waiter* w = first_undialled(); w != nullptr && n < at_most; w = next_undialled(*w)) ++n;
  return n;
}

Waiter* WaitQueue::first_undialled() {
  for (Queue& q : lanes_) {
    if (!q.undialled.empty()) return &first_of(q)->waiter;
  }
  return nullptr;
}

Waiter* WaitQueue::next_undialled(Waiter& waiter) {
  Queue* q = &queue_of(waiter);
  Waiter::Undialled* u = next_of(*q, waiter.undialled_);
  while (u == nullptr && ++q != lanes_.data() + lanes_.size()) u = first_of(*q);
  return u == nullptr ? nullptr : &u->waiter;
}

}  // namespace sluice::upstream
