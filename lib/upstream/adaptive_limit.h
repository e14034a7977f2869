// AdaptiveLimit: the Gradient of one endpoint for all workers. Each answer costs one addition; who ends a window works
// out the limit, and nobody waits for it. Any thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "upstream/gradient.h"

namespace sluice::upstream {

class AdaptiveLimit {
 public:
  static constexpr std::uint32_t samples = 50;  // of one window
  static constexpr std::uint64_t took_most = 60'000'000;  // microseconds that one counts as

  // An answer took `took`; `in_flight` were under way, it included.
  void answered(base::Micros took, std::uint32_t in_flight, base::Micros now) {
    const std::uint64_t micros = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(took.count), 1, took_most);
    const std::uint64_t sum = sums_.fetch_add(one + micros, std::memory_order_relaxed) + one + micros;
    if (sum / one < samples || busy_.test_and_set(std::memory_order_acquire)) return;
    const std::uint64_t all = sums_.exchange(0, std::memory_order_relaxed);
    if (all / one > 0) {
      gradient_.window(base::Micros{static_cast<std::int64_t>((all % one) / (all / one))}, in_flight, now);
      limit_.store(gradient_.limit(), std::memory_order_relaxed);
    }
    busy_.clear(std::memory_order_release);
  }
  std::uint32_t limit() const { return limit_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint64_t one = std::uint64_t{1} << 48;  // answers above, microseconds below
  std::atomic<std::uint64_t> sums_{0};
  std::atomic<std::uint32_t> limit_{static_cast<std::uint32_t>(Gradient::first)};
  std::atomic_flag busy_;  // somebody works out the limit
  Gradient gradient_;
};

}  // namespace sluice::upstream
