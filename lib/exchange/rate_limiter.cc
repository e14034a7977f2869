#include "exchange/rate_limiter.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace sluice::exchange {
namespace {

__extension__ using Wide = unsigned __int128;

// Ticks are fine enough that a request costs 16 or more, and so coarse, where that allows it, that 2^44 of them last
// for ten years: then no place that was left long ago is taken for one in debt.
constexpr uint64_t cost_least = 16;
constexpr uint64_t cost_most = uint64_t{1} << 20;
constexpr uint64_t ticks_a_second = 50'000;
constexpr uint64_t debt_most = uint64_t{1} << 40;
// The clocks of two workers differ by a turn at most; a turn of a minute is none.
constexpr base::Millis clocks_differ = base::seconds(60);

uint64_t bursts_of_debt(const route::RateLimit& limit) { return limit.cost.empty() ? 1 : RateLimiter::overdraft; }

uint64_t cost_of(const route::RateLimit& limit) {
  const uint64_t wanted = ticks_a_second * static_cast<uint64_t>(limit.per.count) / 1000 / limit.requests;
  return std::clamp(std::min(wanted, debt_most / (limit.burst * bursts_of_debt(limit))), cost_least, cost_most);
}

// The window in whole seconds, as the field wants it, and what is granted in it.
std::string policy_of(const route::RateLimit& limit) {
  const auto per = static_cast<uint64_t>(limit.per.count);
  const uint64_t window = (per + 999) / 1000;
  const uint64_t quota = limit.requests * (window * 1000) / per;
  return "\"default\";q=" + std::to_string(quota) + ";w=" + std::to_string(window);
}

}  // namespace

RateLimiter::RateLimiter(const route::RateLimit& limit, base::KeyedHash hash)
    : limit_(limit),
      hash_(hash),
      cost_(cost_of(limit)),
      tolerance_((limit.burst - 1) * cost_),
      debt_most_(limit.burst * bursts_of_debt(limit) * cost_),
      believed_(std::min(debt_most_ + ticks(clocks_differ), time_mask / 2)),
      sets_count_(limit.key == route::RateKey::route ? 1 : keys_max / ways),
      sets_(std::make_unique<Set[]>(sets_count_)),
      policy_(policy_of(limit)) {
  CHECK(limit.requests > 0 && limit.burst > 0 && limit.per.count > 0);
  CHECK(std::has_single_bit(sets_count_));
}

bool RateLimiter::counts_as(const route::RateLimit& limit) const {
  route::RateLimit other = limit;
  other.dry_run = limit_.dry_run;
  return other == limit_;
}

RateLimiter::Verdict RateLimiter::take(uint64_t hash, base::Micros now) {
  const uint64_t mark = std::max<uint64_t>(hash >> time_bits, 1);
  const uint64_t at = ticks(now) & time_mask;
  Set& set = sets_[hash & (sets_count_ - 1)];
  while (true) {
    Found found = find(set, mark, at);
    if (found.debt > tolerance_) return {false, seconds_of(found.debt - tolerance_)};
    const uint64_t next = mark << time_bits | ((at + found.debt + cost_) & time_mask);
    if (set.places[found.way].compare_exchange_weak(found.word, next, std::memory_order_relaxed)) return {};
  }
}

void RateLimiter::charge(uint64_t hash, uint64_t requests, base::Micros now) {
  const uint64_t mark = std::max<uint64_t>(hash >> time_bits, 1);
  const uint64_t at = ticks(now) & time_mask;
  const uint64_t more = std::min(requests, debt_most_ / cost_) * cost_;
  Set& set = sets_[hash & (sets_count_ - 1)];
  while (true) {
    Found found = find(set, mark, at);
    const uint64_t debt = std::max(found.debt, std::min(found.debt + more, debt_most_));
    const uint64_t next = mark << time_bits | ((at + debt) & time_mask);
    if (set.places[found.way].compare_exchange_weak(found.word, next, std::memory_order_relaxed)) return;
  }
}

// The key's place, or the one it may have: of whose key owes least.
RateLimiter::Found RateLimiter::find(const Set& set, uint64_t mark, uint64_t at) const {
  Found least;
  uint64_t least_debt = UINT64_MAX;
  for (size_t way = 0; way < ways; ++way) {
    const uint64_t word = set.places[way].load(std::memory_order_relaxed);
    const uint64_t debt = debt_of(word, at);
    if (word >> time_bits == mark) return {way, word, debt};
    if (debt >= least_debt) continue;
    least_debt = debt;
    least = {way, word, 0};
  }
  return least;
}

uint64_t RateLimiter::debt_of(uint64_t word, uint64_t at) const {
  const uint64_t ahead = (word - at) & time_mask;  // more than half of the range: it lies behind
  return word == 0 || ahead > believed_ ? 0 : ahead;
}

uint64_t RateLimiter::ticks(base::Micros now) const {
  const auto per = static_cast<Wide>(base::Micros(limit_.per).count);
  return static_cast<uint64_t>(static_cast<Wide>(now.count) * limit_.requests * cost_ / per);
}

uint32_t RateLimiter::seconds_of(uint64_t ticks) const {
  const Wide a_second = static_cast<Wide>(limit_.requests) * cost_ * 1000;
  const Wide seconds = (static_cast<Wide>(ticks) * static_cast<Wide>(limit_.per.count) + a_second - 1) / a_second;
  return static_cast<uint32_t>(std::clamp<uint64_t>(static_cast<uint64_t>(seconds), 1, UINT32_MAX));
}

}  // namespace sluice::exchange
