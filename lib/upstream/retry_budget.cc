// A share per worker, summed by who wants a retry. See retry_budget.h.
#include "upstream/retry_budget.h"

#include <algorithm>

namespace sluice::upstream {

RetryBudget::RetryBudget(std::uint32_t workers) : workers_(workers), shares_(std::make_unique<Share[]>(workers)) {}

RetryBudget::Tally RetryBudget::current(const Share& share, std::uint64_t span) {
  const Tally tally = share.tallies[span % spans].load(std::memory_order_relaxed);
  return tally.span == (span & span_mask) ? tally : Tally{span & span_mask, 0, 0};
}

void RetryBudget::count_request(std::uint32_t worker, base::Micros now) {
  const auto span = static_cast<std::uint64_t>(now.count / span_micros);
  Tally tally = current(shares_[worker], span);
  if (tally.requests < requests_most) ++tally.requests;
  shares_[worker].tallies[span % spans].store(tally, std::memory_order_relaxed);
}

// Sequentially consistent: a retry that was drawn before another worker began to look is one that it sees. So whoever
// looks last misses one for each of the others at most, which has looked too and not yet drawn.
bool RetryBudget::admit(std::uint32_t worker, base::Micros now, double ratio) {
  const auto span = static_cast<std::uint64_t>(now.count / span_micros);
  const Sum all = sum(span);
  if (static_cast<double>(all.retries) + 1.0 > all.allowed(ratio)) return false;
  Tally mine = current(shares_[worker], span);
  if (mine.retries == retries_most) return false;
  ++mine.retries;
  shares_[worker].tallies[span % spans].store(mine);
  return true;
}

double RetryBudget::used(base::Micros now, double ratio) const {
  const Sum all = sum(static_cast<std::uint64_t>(now.count / span_micros));
  return static_cast<double>(all.retries) / all.allowed(ratio);
}

double RetryBudget::Sum::allowed(double ratio) const {
  return std::max(ratio * static_cast<double>(requests), static_cast<double>(floor_per_second * window_seconds));
}

RetryBudget::Sum RetryBudget::sum(std::uint64_t span) const {
  Sum all;
  for (std::uint32_t w = 0; w < workers_; ++w) {
    for (const std::atomic<Tally>& one : shares_[w].tallies) {
      const Tally tally = one.load();
      const std::uint64_t age = (span - tally.span) & span_mask;
      if (age >= spans && age < span_mask + 1 - spans)
        continue;  // another worker's clock may be ahead of ours by a turn
      all.requests += tally.requests;
      all.retries += tally.retries;
    }
  }
  return all;
}

}  // namespace sluice::upstream
