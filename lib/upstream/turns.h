// Turns: the shared counter of round_robin.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice::upstream {

// Whose turn it is under round_robin, for all workers together: a few requests on fresh connections meet different
// endpoints, whichever workers the kernel gave them to. Every request of that option (and no other) writes it: one
// relaxed addition, on a cache line of its own.
class alignas(64) Turns {
 public:
  explicit Turns(std::uint64_t first) : next_(first) {}
  std::uint64_t take() { return next_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> next_;
};

}  // namespace sluice::upstream
