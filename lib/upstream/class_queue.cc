// Places of a pool class: who waits, who is next, who gives one back. See class_queue.h.
#include "upstream/class_queue.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "upstream/pool_class.h"
#include "upstream/queue.h"

namespace sluice::upstream {
namespace {

constexpr base::Micros never{std::numeric_limits<std::int64_t>::max()};

constexpr http::Failure full{http::Kind::pool_full, http::Where::proxy, http::Detail::none, true};

}  // namespace

// ---- PoolClass

bool PoolClass::enter_queue(std::uint32_t max_waiting) {
  std::uint32_t n = waiting_.load();
  while (n < max_waiting) {
    if (waiting_.compare_exchange_weak(n, n + 1)) return true;
  }
  return false;
}

std::uint32_t class_limit(const PoolClassOptions& options, std::uint64_t connections) {
  if (options.percent == 0) return std::max(options.max_connections, 1U);
  const std::uint64_t share = connections * options.percent / 100;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(share, 1, std::numeric_limits<std::uint32_t>::max()));
}

// ---- ClassPass

ClassPass::ClassPass(Circuit::Pass&& place, ClassQueue& home) : place_(std::move(place)), home_(&home) { ++home.out_; }

ClassPass& ClassPass::operator=(ClassPass&& o) noexcept {
  if (this != &o) {
    give_back();
    place_ = std::move(o.place_);
    home_ = std::exchange(o.home_, nullptr);
  }
  return *this;
}

void ClassPass::leave() {
  ClassQueue* const home = std::exchange(home_, nullptr);
  place_.give_back();  // before the look: see WaitBoard
  --home->out_;
  if (home->of_->board().anyone()) home->user_.on_class_work();
}

// ---- ClassQueue

ClassQueue::ClassQueue(std::shared_ptr<PoolClass> of, std::uint32_t worker, std::uint32_t workers, User& user)
    : of_(std::move(of)), worker_(worker), alone_(workers == 1), user_(user) {}

ClassQueue::~ClassQueue() { CHECK(unused()); }

bool ClassQueue::enter(Waiter& waiter) {
  if (of_->board().anyone()) return false;
  Circuit::Pass place = of_->enter();
  if (!place) return false;
  waiter.class_pass_ = ClassPass(std::move(place), *this);
  return true;
}

void ClassQueue::announce() {
  const auto lane = std::ranges::find_if(lanes_, [](const Lane& l) { return !l.empty(); });
  of_->board().announce(worker_, lane == lanes_.end() ? base::Micros{} : lane->front()->since(), WaitBoard::Own::some);
}

void ClassQueue::join(Waiter& waiter) {
  const auto lane = static_cast<unsigned>(waiter.want().lane);
  if (lanes_[lane].empty()) passed_over_[lane] = 0;
  lanes_[lane].push_back(waiter);
  ++count_;
  announce();
  user_.on_class_work();  // a place may have come back before it was announced
}

void ClassQueue::leave(Waiter& waiter) {
  waiter.base::ListHook<WaitTag>::unlink();
  --count_;
  of_->leave_queue();
  announce();
}

Waiter* ClassQueue::first_in(Lane& lane, base::Micros now) {
  Waiter* waiter = lane.front();
  while (waiter != nullptr && waiter->past(now)) waiter = lane.next(*waiter);
  return waiter;
}

Waiter* ClassQueue::next(base::Micros now) {
  for (unsigned i = 0; i < http::lanes; ++i) {
    if (lanes_[i].empty() || passed_over_[i] < passes) continue;
    if (Waiter* const waiter = first_in(lanes_[i], now); waiter != nullptr) return waiter;
  }
  for (Lane& lane : lanes_) {
    if (Waiter* const waiter = first_in(lane, now); waiter != nullptr) return waiter;
  }
  return nullptr;
}

Waiter* ClassQueue::let_in(Waiter& waiter, Circuit::Pass&& place) {
  const auto its = static_cast<unsigned>(waiter.want().lane);
  passed_over_[its] = 0;
  for (unsigned i = its + 1; i < http::lanes; ++i) passed_over_[i] += lanes_[i].empty() ? 0 : 1;
  waiter.class_pass_ = ClassPass(std::move(place), *this);
  return &waiter;
}

Waiter* ClassQueue::admit(base::Micros now) {
  bool passed = alone_;
  while (of_->board().anyone()) {
    Waiter* const mine = next(now);
    const base::Micros than = mine == nullptr ? never : mine->since() - base::Micros(handover_margin);
    const auto other = passed ? std::nullopt : of_->board().longest(worker_, than, than);
    if (mine == nullptr && !other.has_value()) return nullptr;
    Circuit::Pass place = of_->enter();
    if (!place) return nullptr;
    if (!other.has_value()) return let_in(*mine, std::move(place));
    user_.pass_place(*other, std::make_shared<ClassPlace>(of_, std::move(place)));
    passed = true;
  }
  return nullptr;
}

Waiter* ClassQueue::take(ClassPlace& place, base::Micros now) {
  Waiter* const mine = next(now);
  return mine == nullptr ? nullptr : let_in(*mine, std::move(place.pass));
}

Waiter* ClassQueue::youngest_below(http::Lane lane) {
  for (unsigned i = http::lanes - 1; i > static_cast<unsigned>(lane); --i) {
    for (Waiter* w = lanes_[i].back(); w != nullptr; w = lanes_[i].prev(*w)) {
      if (!w->want().fresh) return w;
    }
  }
  return nullptr;
}

Waiter* ClassQueue::any() {
  const auto lane = std::ranges::find_if(lanes_, [](const Lane& l) { return !l.empty(); });
  return lane == lanes_.end() ? nullptr : lane->front();
}

// ---- WaitQueue: the way through a class

void WaitQueue::park(Waiter& waiter, const Want& want, http::Sink& sink, base::Millis budget, ClassQueue& of,
                     std::uint32_t max_waiting) {
  CHECK(waiter.queue_ == nullptr && budget.count > 0);
  waiter.refused_as_ = "pool_class";  // if it is
  if (!of.of().enter_queue(max_waiting)) {
    Waiter* const other = of.youngest_below(want.lane);
    if (other == nullptr) return refuse(waiter, full, nullptr);
    of.of().count_waiting();  // before the other's place is given back, so that nobody else takes it
    refuse(*other, full, nullptr);
  }
  begin(waiter, want, sink, budget);
  waiter.class_queue_ = &of;
  of.join(waiter);
  ++parked_;
  waiter.timer_.arm(loop_, budget);
}

void WaitQueue::unpark(Waiter& waiter) {
  --parked_;
  std::exchange(waiter.class_queue_, nullptr)->leave(waiter);
}

// Let in before, it may pass max_waiting. Its time goes on, and the queue's judgement of itself begins with now.
void WaitQueue::admit(Waiter& waiter) {
  CHECK(waiter.queue_ == this && waiter.class_queue_ != nullptr);
  const Want want = waiter.want_;
  const base::Micros asked = waiter.asked_;
  const base::Micros left = std::max(waiter.timer_.due() - loop_.now(), base::Micros{1});
  waiter.timer_.disarm();
  unpark(waiter);
  waiter.queue_ = nullptr;
  waiter.refused_as_ = {};
  join_undialled(waiter, want, *waiter.sink_, base::Millis{(left.count + 999) / 1'000}, ~0U);
  waiter.asked_ = asked;
}

}  // namespace sluice::upstream
