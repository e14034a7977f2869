#include "upstream/load.h"

#include <algorithm>
#include <cmath>

namespace sluice::upstream {

// ---- LoadMeter

void LoadMeter::roll(base::Micros now) {
  if (began_.count < 0) began_ = rolled_ = now;
  for (std::size_t steps = 0; rolled_ < now; ++steps) {
    if (steps > spans) {  // longer than the window: all of it looks alike
      rolled_ = base::Micros{now.count - now.count % span_micros};
      span_.fill(Span{.busy = in_service_ * span_micros});
      span_[at_] = Span{};
    }
    const std::int64_t edge = rolled_.count - rolled_.count % span_micros + span_micros;
    const std::int64_t until = std::min(edge, now.count);
    span_[at_].busy += in_service_ * (until - rolled_.count);
    rolled_ = base::Micros{until};
    if (until != edge) return;
    at_ = at_ + 1 == spans ? 0 : at_ + 1;
    span_[at_] = Span{};
  }
}

Load LoadMeter::look(base::Micros now) {
  roll(now);
  Span all;
  for (const Span& s : span_) {
    all.arrivals += s.arrivals;
    all.ended += s.ended;
    all.busy += s.busy;
  }
  const std::int64_t whole = static_cast<std::int64_t>(spans - 1) * span_micros + now.count % span_micros;
  const std::int64_t so_far = std::max(now.count - began_.count, span_micros / 10);
  const double seconds = static_cast<double>(std::min(so_far, whole)) / 1e6;
  Load load;
  load.arrivals = all.arrivals / seconds;
  load.in_service = static_cast<double>(all.busy) / 1e6 / seconds;
  if (all.ended != 0) load.service = base::Micros{all.busy / all.ended};
  load.offered = std::max(load.in_service, load.arrivals * static_cast<double>(load.service.count) / 1e6);
  return load;
}

LoadMeter::Pace LoadMeter::pace(base::Micros now) {
  roll(now);
  if (std::ranges::any_of(span_, [](const Span& s) { return s.arrivals != 0 || s.ended != 0; })) return Pace::moving;
  const bool still_told = std::ranges::any_of(span_, [](const Span& s) { return s.busy != 0; });
  if (in_service_ != 0) return Pace::steady;
  return still_told ? Pace::moving : Pace::quiet;
}

// ---- Advisor

Advisor::Advisor(std::uint32_t workers) : workers_(workers), told_(std::make_unique<Told[]>(workers)) {}

void Advisor::tell(std::uint32_t worker, const Load& load) {
  Told& told = told_[worker];
  told.offered.store(static_cast<float>(load.offered), std::memory_order_relaxed);
  told.arrivals.store(static_cast<float>(load.arrivals), std::memory_order_relaxed);
  told.service.store(load.service.count, std::memory_order_relaxed);
  if (load.service.count == 0) return;
  told.seconds = std::min(told.seconds + 1, memory);
  const std::int64_t usual = told.usual.load(std::memory_order_relaxed);
  told.usual.store(usual + (load.service.count - usual) / told.seconds, std::memory_order_relaxed);
}

Advisor::View Advisor::look() const {
  View view;
  double arrivals = 0;
  double service = 0;
  double usual = 0;
  for (std::uint32_t w = 0; w < workers_; ++w) {
    const Told& told = told_[w];
    view.offered += told.offered.load(std::memory_order_relaxed);
    const std::int64_t served = told.service.load(std::memory_order_relaxed);
    if (served == 0) continue;
    const double weight = told.arrivals.load(std::memory_order_relaxed);
    arrivals += weight;
    service += weight * static_cast<double>(served);
    usual += weight * static_cast<double>(told.usual.load(std::memory_order_relaxed));
  }
  view.recommended = view.offered + 2 * std::sqrt(view.offered);
  if (arrivals > 0) {
    view.service = base::Micros{static_cast<std::int64_t>(service / arrivals)};
    view.usual = base::Micros{static_cast<std::int64_t>(usual / arrivals)};
  }
  return view;
}

Advice Advisor::advise(const View& view, double limit, Advice before) {
  if (view.recommended <= (before == Advice::none ? limit : calm_below * limit)) return Advice::none;
  const bool slow = static_cast<double>(view.service.count) > slow_factor * static_cast<double>(view.usual.count);
  return slow ? Advice::upstream_slow : Advice::raise_max_connections;
}

}  // namespace sluice::upstream
