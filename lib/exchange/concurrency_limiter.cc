#include "exchange/concurrency_limiter.h"

#include <bit>

#include "base/check.h"

namespace sluice::exchange {

ConcurrencyLimiter::ConcurrencyLimiter(size_t keys, base::KeyedHash hash)
    : hash_(hash), sets_count_(keys == 1 ? 1 : keys / ways), sets_(std::make_unique<Set[]>(sets_count_)) {
  CHECK(std::has_single_bit(sets_count_));
}

// A key has one place, but where two workers gave it one each in the same moment: hence the sum. Of all that are let in
// the last one has seen the others.
uint64_t ConcurrencyLimiter::open_of(const Set& set, uint64_t mark) {
  uint64_t open = 0;
  for (const std::atomic<uint64_t>& place : set.places) {
    const uint64_t word = place.load(std::memory_order_seq_cst);
    if (word >> count_bits == mark) open += word & count_mask;
  }
  return open;
}

ConcurrencyLimiter::Taken ConcurrencyLimiter::take(std::string_view key, uint32_t most) {
  const uint64_t hash = hash_(key);
  const uint64_t mark = hash >> count_bits;
  Set& set = sets_[hash & (sets_count_ - 1)];
  while (true) {
    std::atomic<uint64_t>* own = nullptr;
    std::atomic<uint64_t>* free = nullptr;
    for (std::atomic<uint64_t>& place : set.places) {
      const uint64_t word = place.load(std::memory_order_seq_cst);
      if (own == nullptr && word >> count_bits == mark) own = &place;
      if (free == nullptr && (word & count_mask) == 0) free = &place;
    }
    std::atomic<uint64_t>* const place = own != nullptr ? own : free;
    if (place == nullptr) return {Verdict::uncounted, Held()};
    uint64_t word = place->load(std::memory_order_seq_cst);
    const bool still_own = word >> count_bits == mark;
    if (!still_own && (word & count_mask) != 0) continue;  // another key has taken it meanwhile
    const uint64_t open = still_own ? word & count_mask : 0;
    if (open >= most) return {Verdict::refused, Held()};
    if (!place->compare_exchange_strong(word, mark << count_bits | (open + 1), std::memory_order_seq_cst)) continue;
    Held held(*place);
    if (open_of(set, mark) > most) return {Verdict::refused, Held()};  // the end of `held` gives it back
    return {Verdict::admitted, std::move(held)};
  }
}

}  // namespace sluice::exchange
