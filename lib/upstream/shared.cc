// The atomics that workers share, and the endpoint set that control changes. See shared.h.
#include "upstream/shared.h"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "base/check.h"

namespace sluice::upstream {
namespace {

std::uint64_t next_endpoint_id() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

// +1 unless that would pass `cap`.
bool add_below(std::atomic<std::uint32_t>& count, std::uint32_t cap) {
  std::uint32_t n = count.load();
  while (n < cap) {
    if (count.compare_exchange_weak(n, n + 1)) return true;
  }
  return false;
}

}  // namespace

// ---- SharedEndpoint

SharedEndpoint::SharedEndpoint(std::uint64_t id, std::string name, net::Address address, std::string host,
                               std::uint32_t workers)
    : id_(id),
      name_(std::move(name)),
      host_(std::move(host)),
      address_(std::move(address)),
      workers_(workers),
      tallies_(std::make_unique<EndpointTally[]>(workers)) {}

bool SharedEndpoint::open_slot(std::uint32_t cap) { return add_below(connections_, cap); }

bool SharedEndpoint::begin_request(std::uint32_t limit) {
  if (limit != 0) return add_below(in_flight_, limit);
  in_flight_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void SharedEndpoint::close_slot() { CHECK(connections_.fetch_sub(1) != 0); }

bool SharedEndpoint::enter_tunnel(std::uint32_t cap) {
  if (!add_below(tunnels_, cap)) return false;
  close_slot();
  return true;
}

void SharedEndpoint::leave_tunnel() { CHECK(tunnels_.fetch_sub(1) != 0); }

SharedEndpoint::Change SharedEndpoint::apply(const Event& event, base::Micros now) {
  Change change;
  change.before = standing_.load(std::memory_order_relaxed);
  do {
    change.after = note(change.before, event, now);
    if (!change.any()) return change;
  } while (!standing_.compare_exchange_weak(change.before, change.after, std::memory_order_relaxed));
  const Standing &a = change.before, &b = change.after;
  if (a.away != b.away || a.down != b.down || a.off != b.off) changed_at_.store(now.count, std::memory_order_relaxed);
  return change;
}

std::optional<std::uint32_t> SharedEndpoint::spare_elsewhere(std::uint32_t worker, std::uint64_t but) const {
  const std::uint64_t others = spares_.load(std::memory_order_relaxed) & ~spare_bit(worker) & ~but;
  if (others == 0) return std::nullopt;
  const std::uint64_t after = worker < 63 ? others & (~std::uint64_t{0} << (worker + 1)) : 0;
  return static_cast<std::uint32_t>(std::countr_zero(after != 0 ? after : others));
}

SharedEndpoint::Trial SharedEndpoint::claim_trial(base::Micros now, base::Millis at_most) {
  const Change change = apply({.kind = Event::Kind::trial_claimed, .span = at_most}, now);
  return change.any() ? Trial::yes : Trial::no;
}

bool SharedEndpoint::connect_failed(base::Micros now, Trial trial) {
  const Change change = apply({.kind = Event::Kind::connect_failed, .trial = trial == Trial::yes}, now);
  return change.any() && change.after.why() == Away::aside;
}

void SharedEndpoint::connected(base::Micros now, Trial trial) {
  apply({.kind = Event::Kind::connected, .trial = trial == Trial::yes}, now);
}

// By half in each half-life, along a straight line within one.
std::uint32_t SharedEndpoint::decayed(Penalty penalty, base::Micros now, base::Micros half_life) {
  const auto at = static_cast<std::int64_t>(penalty.at << 4);
  const std::int64_t age = std::max<std::int64_t>(now.count - at, 0);  // another worker's clock may be ahead of ours
  const std::int64_t halves = age / half_life.count;
  if (halves >= 20) return 0;
  const std::int64_t units = static_cast<std::int64_t>(penalty.units) >> halves;
  return static_cast<std::uint32_t>(units - units * (age - halves * half_life.count) / (2 * half_life.count));
}

void SharedEndpoint::penalise(base::Micros now, base::Micros half_life) {
  Penalty before = penalty_.load(std::memory_order_relaxed);
  Penalty after;
  do {
    after.units = std::min(decayed(before, now, half_life) + load_unit, penalties_most * load_unit) & 0xf'ffff;
    after.at = std::max(static_cast<std::uint64_t>(now.count) >> 4, std::uint64_t{before.at}) & 0xfff'ffff'ffff;
  } while (!penalty_.compare_exchange_weak(before, after, std::memory_order_relaxed));
}

// ---- SharedUpstream

SharedUpstream::SharedUpstream(std::string name, std::uint32_t workers, std::uint64_t first_turn)
    : name_(std::move(name)),
      workers_(workers),
      board_(workers),
      busy_(std::make_unique<Busy[]>(workers)),
      turns_(first_turn),
      retries_(workers),
      advisor_(workers),
      service_rate_(workers),
      set_(std::make_shared<const EndpointSet>()) {
  CHECK(workers > 0);
  ejections_.reset(set_, outlier_, 0, {});
}

EndpointSetPtr SharedUpstream::set_endpoints(std::span<const EndpointSpec> specs, std::uint32_t panic_threshold,
                                             Newcomers newcomers, base::Micros now, Balance balance) {
  using Key = std::tuple<std::string, std::string, std::string>;
  std::map<Key, std::shared_ptr<SharedEndpoint>> known;
  for (const EndpointEntry& e : set_->entries) {
    known.emplace(Key{e.endpoint->name(), e.endpoint->host(), e.endpoint->address().text()}, e.endpoint);
  }
  const bool slow = newcomers == Newcomers::slow && !known.empty();  // alone they share alike at any weight

  std::vector<EndpointEntry> next;
  std::map<Key, std::size_t> placed;
  for (const EndpointSpec& spec : specs) {
    if (!spec.address.has_value()) continue;
    const Key key{spec.name, spec.host.empty() ? spec.name : spec.host, spec.address->text()};
    if (const auto twice = placed.find(key); twice != placed.end()) {
      std::uint32_t& weight = next[twice->second].weight;
      weight = std::min(weight + spec.weight, weight_max);
      continue;
    }
    placed.emplace(key, next.size());
    const auto old = known.find(key);
    std::shared_ptr<SharedEndpoint> endpoint = old != known.end() ? old->second : nullptr;
    if (endpoint == nullptr) {
      endpoint = std::make_shared<SharedEndpoint>(next_endpoint_id(), spec.name, *spec.address, spec.host, workers_);
      endpoint->changed_at_.store(now.count, std::memory_order_relaxed);
      if (slow) endpoint->ramp_since_.store(now.count, std::memory_order_relaxed);
    }
    next.push_back(EndpointEntry{std::move(endpoint), std::clamp(spec.weight, 1u, weight_max), spec.priority});
  }
  std::erase_if(left_, [](const Left& one) { return one.endpoint.expired(); });
  std::unordered_set<const SharedEndpoint*> stay;
  for (const EndpointEntry& e : next) stay.insert(e.endpoint.get());
  for (const EndpointEntry& e : set_->entries) {
    if (!stay.contains(e.endpoint.get()) && e.endpoint->connections() + e.endpoint->tunnels() != 0)
      left_.push_back({e.endpoint, set_by_ == SetBy::dns, now});
  }
  set_by_ = SetBy::configuration;
  set_ = std::make_shared<const EndpointSet>(std::move(next), balance);
  ejections_.reset(set_, outlier_, panic_threshold, now);
  return set_;
}

bool SharedUpstream::set_health(SharedEndpoint& endpoint, Health health, base::Micros now) {
  if (health == Health::up && !endpoint.healthy()) endpoint.ramp_since_.store(now.count, std::memory_order_relaxed);
  if (!endpoint.apply({.kind = Event::Kind::checked, .health = health}, now).any()) return false;
  // Checks that do well again have seen that it was mended.
  if (health == Health::up && endpoint.apply({.kind = Event::Kind::freed}, now).before.ejected()) {
    ejections_.returned(endpoint, now);
  }
  ejections_.judge_panic(now);
  return true;
}

bool SharedUpstream::set_disabled(SharedEndpoint& endpoint, bool disabled, base::Micros now) {
  const Event::Kind kind = disabled ? Event::Kind::disabled : Event::Kind::enabled;
  if (!endpoint.apply({.kind = kind}, now).any()) return false;
  if (!disabled) endpoint.ramp_since_.store(now.count, std::memory_order_relaxed);
  ejections_.judge_panic(now);
  return true;
}

Capacity SharedUpstream::capacity(const EndpointSet& set, std::uint32_t max_connections) const {
  Capacity all;
  const bool any = panic();
  for (const EndpointEntry& e : set.entries) {
    if (!e.endpoint->may_serve(any) || (!any && e.endpoint->standing().ejected())) continue;
    ++all.endpoints;
    all.connections += max_connections;
    const std::uint32_t streams = std::max(e.endpoint->stream_limit().load(std::memory_order_relaxed), 1u);
    all.requests += static_cast<double>(max_connections) * streams;
  }
  return all;
}

std::uint32_t SharedUpstream::busy() const {
  std::uint32_t all = 0;
  for (std::uint32_t w = 0; w < workers_; ++w) all += busy_[w].count.load(std::memory_order_relaxed);
  return all;
}

bool SharedUpstream::enter_queue(std::uint32_t max_waiting) { return add_below(waiting_, max_waiting); }

std::shared_ptr<PoolClass> SharedUpstream::pool_class(const std::string& name) {
  const std::lock_guard lock(classes_mutex_);
  std::shared_ptr<PoolClass> found;
  std::erase_if(classes_, [&](const std::weak_ptr<PoolClass>& one) {
    const std::shared_ptr<PoolClass> live = one.lock();
    if (live != nullptr && live->name() == name) found = live;
    return live == nullptr;
  });
  if (found == nullptr) classes_.emplace_back(found = std::make_shared<PoolClass>(name, workers_));
  return found;
}

std::vector<std::string> SharedUpstream::swap_exported_classes(std::vector<std::string> names) {
  const std::lock_guard lock(classes_mutex_);
  exported_classes_.swap(names);
  return names;
}

}  // namespace sluice::upstream
