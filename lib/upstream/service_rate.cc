// Spans of a second, each in one word. See service_rate.h.
#include "upstream/service_rate.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace sluice::upstream {

ServiceRate::ServiceRate(std::uint32_t workers) : workers_(workers), shares_(std::make_unique<Share[]>(workers)) {
  CHECK(workers > 0);
}

void ServiceRate::count(std::uint32_t worker, base::Micros now) {
  const auto number = static_cast<std::uint64_t>(now.count / base::Micros(span).count) & number_mask;
  std::atomic<Tally>& cell = shares_[worker].tallies[number % spans];
  Tally tally = cell.load(std::memory_order_relaxed);
  if (tally.number != number) tally = {number & number_mask, 0};
  ++tally.served;
  cell.store(tally, std::memory_order_relaxed);
}

double ServiceRate::per_second(base::Micros now) const {
  const auto number = static_cast<std::uint64_t>(now.count / base::Micros(span).count) & number_mask;
  std::uint64_t served = 0;
  std::uint64_t oldest = 0;  // spans ago
  for (std::uint32_t w = 0; w < workers_; ++w) {
    for (const std::atomic<Tally>& one : shares_[w].tallies) {
      const Tally tally = one.load(std::memory_order_relaxed);
      std::uint64_t age = (number - tally.number) & number_mask;
      if (age > number_mask / 2) age = 0;  // another worker's clock may be ahead of ours by a turn
      if (age >= spans || tally.served == 0) continue;
      served += tally.served;
      oldest = std::max(oldest, age);
    }
  }
  constexpr std::int64_t micros = base::Micros(span).count;
  const std::int64_t covered = static_cast<std::int64_t>(oldest) * micros + now.count % micros + 1;
  return static_cast<double>(served) * 1e6 / static_cast<double>(covered);
}

std::uint32_t stay_away_seconds(std::uint32_t waiting, double per_second, std::uint64_t draw) {
  constexpr double least = 1;
  constexpr double most = stay_away_most;
  const double drain = waiting == 0 ? least : per_second * most <= waiting ? most : waiting / per_second;
  const double jitter = 0.75 + 0.5 * static_cast<double>(draw % 1'024) / 1'024;
  return static_cast<std::uint32_t>(std::clamp(std::ceil(std::max(drain, least) * jitter), least, most));
}

}  // namespace sluice::upstream
