// Decisions over the whole set. See ejections.h.
#include "upstream/ejections.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "upstream/shared.h"

namespace sluice::upstream {
namespace {

constexpr std::uint32_t percent = 100;
// One whose time is over counts until its trial went well; but not for ever, if nobody asks for it (a priority that is
// not in use).
constexpr base::Millis overdue{10'000};

base::Millis span_of(std::uint32_t level, const OutlierOptions& options) {
  const std::int64_t most = options.max_ejection.count;
  std::int64_t span = options.ejection.count;
  for (std::uint32_t i = 0; i < level && span < most; ++i) span *= 2;
  return base::Millis{std::min(span, most)};
}

bool counts_as_away(const SharedEndpoint& endpoint, base::Micros now) {
  const Standing s = endpoint.standing();
  if (s.disabled()) return false;  // nobody counts on it
  return s.ejected() ? s.ends() + overdue > now : s.why() == Away::paused && s.kept_away(now);
}

using Seen = Ejections::Seen;

double median_of_others(const std::vector<Seen>& all, const Seen& but, double Seen::* what) {
  std::vector<double> others;
  for (const Seen& s : all) {
    if (&s != &but) others.push_back(s.*what);
  }
  std::ranges::sort(others);
  const std::size_t half = others.size() / 2;
  return others.size() % 2 == 1 ? others[half] : (others[half - 1] + others[half]) / 2;
}

}  // namespace

base::Millis next_ejection(EjectionHistory& h, const OutlierOptions& options, base::Micros now) {
  const bool again = h.since.count != 0;
  h.level = again ? std::min(h.level + 1, EjectionHistory::level_most) : 0;
  if (again && h.returned.count != 0 && h.span.count > 0) {
    const std::int64_t levels = (now - h.returned).count / h.span.count;
    h.level -= static_cast<std::uint32_t>(std::clamp<std::int64_t>(levels, 0, h.level));
  }
  const base::Millis span = span_of(h.level, options);
  h.since = now;
  h.span = span;
  h.returned = {};
  return span;
}

std::size_t away_most(std::size_t endpoints, std::uint32_t share) {
  if (endpoints < 2 || share == 0) return 0;
  return std::max<std::size_t>(1, endpoints * share / percent);
}

void Ejections::reset(std::shared_ptr<const EndpointSet> set, const std::optional<OutlierOptions>& options,
                      std::uint32_t panic_threshold, base::Micros now) {
  const std::lock_guard lock(mutex_);
  set_ = std::move(set);
  panic_threshold_ = panic_threshold;
  const std::optional<OutlierOptions> before = options_;
  options_ = options && options->enabled ? options : std::nullopt;
  if (before && options_) follow(*before, now);
  free_surplus(now);
  judge(now);
}

std::optional<base::Millis> Ejections::eject(SharedEndpoint& endpoint, Cause cause, base::Micros now) {
  const std::lock_guard lock(mutex_);
  const Standing s = endpoint.standing();
  EjectionHistory& history = endpoint.ejections_;
  const bool decided = cause == Cause::trial ? !s.ejected() || now < history.since + history.span
                                             : s.ejected() || !options_ || s.failures < options_->consecutive_failures;
  if (decided) return std::nullopt;  // by another worker
  if (!options_ || !room_for(endpoint, now)) {
    free(endpoint, now);
    judge(now);
    return std::nullopt;
  }
  return eject_now(endpoint, now);
}

base::Millis Ejections::eject_now(SharedEndpoint& endpoint, base::Micros now) {
  const base::Millis span = next_ejection(endpoint.ejections_, *options_, now);
  endpoint.apply({.kind = Event::Kind::ejected, .span = span}, now);
  judge(now);
  return span;
}

void Ejections::returned(SharedEndpoint& endpoint, base::Micros now) {
  const std::lock_guard lock(mutex_);
  endpoint.ejections_.returned = now;
  endpoint.ramp_since_.store(now.count, std::memory_order_relaxed);
  judge(now);
}

bool Ejections::pause(SharedEndpoint& endpoint, base::Millis span, base::Micros now) {
  const std::lock_guard lock(mutex_);
  return room_for(endpoint, now) && endpoint.apply({.kind = Event::Kind::paused, .span = span}, now).any();
}

// ---- By comparison

void Ejections::count(SharedEndpoint& endpoint, Outcome outcome, base::Micros took) {
  Sample& sample = endpoint.sample_;
  if (!counts_for(outcome) && !counts_against(outcome)) return;
  sample.requests.fetch_add(1, std::memory_order_relaxed);
  if (counts_against(outcome) || outcome == Outcome::server_error) {
    sample.errors.fetch_add(1, std::memory_order_relaxed);
  } else {
    sample.took.fetch_add(static_cast<std::uint64_t>(std::max<std::int64_t>(0, took.count)), std::memory_order_relaxed);
  }
}

std::vector<Ejections::Seen> Ejections::take_samples() {
  std::vector<Seen> seen;
  for (const EndpointEntry& e : set_->entries) {
    Sample& sample = e.endpoint->sample_;
    const std::uint32_t requests = sample.requests.exchange(0, std::memory_order_relaxed);
    const std::uint32_t errors = std::min(requests, sample.errors.exchange(0, std::memory_order_relaxed));
    const auto took = static_cast<double>(sample.took.exchange(0, std::memory_order_relaxed));
    if (requests < requests_least) continue;
    const std::uint32_t answered = requests - errors;
    seen.push_back({e.endpoint.get(), static_cast<double>(errors) / requests, answered == 0 ? 0 : took / answered});
  }
  return seen;
}

std::vector<Ejections::Outlier> Ejections::compare(base::Micros now) {
  std::int64_t due = compare_at_.load(std::memory_order_relaxed);
  if (due > now.count) return {};
  if (!compare_at_.compare_exchange_strong(due, (now + compare_every).count, std::memory_order_relaxed)) return {};
  const std::lock_guard lock(mutex_);
  const std::vector<Seen> seen = take_samples();
  std::vector<Outlier> found;
  if (due == 0 || !options_ || seen.size() < endpoints_least) return found;  // what came before was no whole window
  for (const Seen& s : seen) {
    const double errors = median_of_others(seen, s, &Seen::errors);
    const double time = median_of_others(seen, s, &Seen::time);
    if (s.errors >= std::max(errors_least, times_worse * errors)) {
      found.push_back({s.endpoint, false, s.errors, errors, {}});
    } else if (s.time >= std::max(time_least, times_worse * time)) {
      found.push_back({s.endpoint, true, s.time, time, {}});
    }
  }
  // Errors first, as they are lost; then who is the slowest.
  std::ranges::sort(found, {}, [](const Outlier& o) { return std::pair(o.slow, -o.own); });
  std::erase_if(found, [this, now](Outlier& o) {
    if (o.endpoint->standing().ejected() || !room_for(*o.endpoint, now)) return true;
    o.span = eject_now(*o.endpoint, now);
    return false;
  });
  return found;
}

void Ejections::judge_panic(base::Micros now) {
  const std::lock_guard lock(mutex_);
  judge(now);
}

std::size_t Ejections::away(const SharedEndpoint* but, base::Micros now) const {
  return static_cast<std::size_t>(std::ranges::count_if(set_->entries, [but, now](const EndpointEntry& e) {
    return e.endpoint.get() != but && counts_as_away(*e.endpoint, now);
  }));
}

// False also for one that has left the set.
bool Ejections::room_for(const SharedEndpoint& endpoint, base::Micros now) const {
  if (set_ == nullptr) return false;
  const bool member = std::ranges::any_of(set_->entries, [&](const auto& e) { return e.endpoint.get() == &endpoint; });
  const std::uint32_t share = options_.value_or(OutlierOptions{}).max_ejected_percent;
  return member && away(&endpoint, now) < away_most(in_service(), share);
}

// A trial that is under way is left alone.
void Ejections::follow(const OutlierOptions& before, base::Micros now) {
  if (before.ejection == options_->ejection && before.max_ejection == options_->max_ejection) return;
  for (const EndpointEntry& e : set_->entries) {
    EjectionHistory& history = e.endpoint->ejections_;
    if (!e.endpoint->standing().ejected() || history.since + history.span <= now) continue;
    history.span = span_of(history.level, *options_);
    const base::Micros left = history.since + history.span - now;
    e.endpoint->apply(
        {.kind = Event::Kind::ejected, .span = base::Millis{std::max<std::int64_t>(0, left.count / 1'000)}}, now);
  }
}

void Ejections::free_surplus(base::Micros now) {
  std::vector<std::pair<base::Micros, SharedEndpoint*>> ejected;
  for (const EndpointEntry& e : set_->entries) {
    const Standing s = e.endpoint->standing();
    if (s.ejected()) ejected.emplace_back(s.ends(), e.endpoint.get());
  }
  std::ranges::sort(ejected);
  const std::size_t most = options_ ? away_most(in_service(), options_->max_ejected_percent) : 0;
  for (std::size_t i = 0; i + most < ejected.size(); ++i) free(*ejected[i].second, now);
}

void Ejections::free(SharedEndpoint& endpoint, base::Micros now) {
  if (endpoint.apply({.kind = Event::Kind::freed}, now).before.ejected()) endpoint.ejections_.returned = now;
}

std::size_t Ejections::in_service() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(set_->entries, [](const EndpointEntry& e) { return !e.endpoint->disabled(); }));
}

// Of those that an operator left in: what was disabled on purpose is no sign that checks go wrong.
void Ejections::judge(base::Micros now) {
  const auto fit = static_cast<std::uint64_t>(std::ranges::count_if(set_->entries, [](const EndpointEntry& e) {
    return e.endpoint->may_serve(false) && !e.endpoint->standing().ejected();
  }));
  const bool panic = fit * percent < std::uint64_t{panic_threshold_} * in_service();
  if (panic_.exchange(panic, std::memory_order_relaxed) != panic)
    panic_changed_.store(now.count, std::memory_order_relaxed);
}

}  // namespace sluice::upstream
