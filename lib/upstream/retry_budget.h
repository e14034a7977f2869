// RetryBudget: how many retries the whole process may make, by how many requests there were.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/clock.h"

namespace sluice::upstream {

// Retries / requests over the last 10 s (8.75 at least), with a floor of 3 retries a second, for the whole process.
// Each worker counts in a share of its own, on a cache line that nobody else writes: a request costs a plain load and
// store. Who wants a retry, which is rare, sums the shares. With one worker the limit is exact. Of n workers those that
// ask at the same moment do not see each other: at most n - 1 retries beyond the limit.
class RetryBudget {
 public:
  static constexpr std::uint32_t window_seconds = 10;
  static constexpr std::uint32_t floor_per_second = 3;
  explicit RetryBudget(std::uint32_t workers);
  // On the thread of `worker`.
  void count_request(std::uint32_t worker, base::Micros now);
  bool admit(std::uint32_t worker, base::Micros now, double ratio);  // draws one retry if the budget allows it
  // How much of what it allows was drawn: 0 to 1 and a little. Any thread.
  double used(base::Micros now, double ratio) const;

 private:
  static constexpr std::size_t spans = 8;  // of the window: so a share is one cache line
  static constexpr std::int64_t span_micros = std::int64_t{window_seconds} * 1'000'000 / spans;
  static constexpr std::uint64_t span_mask = (std::uint64_t{1} << 20) - 1;
  static constexpr std::uint64_t requests_most = (std::uint64_t{1} << 24) - 1;
  static constexpr std::uint64_t retries_most = (std::uint64_t{1} << 20) - 1;
  // What a worker counted in one span: in one word, so that nobody reads the counts of one span as those of another.
  struct Tally {
    std::uint64_t span : 20 = 0;  // its number, modulo 15 days
    std::uint64_t requests : 24 = 0;
    std::uint64_t retries : 20 = 0;
  };
  static_assert(std::atomic<Tally>::is_always_lock_free);
  struct alignas(64) Share {
    std::array<std::atomic<Tally>, spans> tallies{};
  };
  static_assert(sizeof(Share) == 64);
  struct Sum {
    std::uint64_t requests = 0;
    std::uint64_t retries = 0;
    double allowed(double ratio) const;
  };
  static Tally current(const Share& share, std::uint64_t span);
  Sum sum(std::uint64_t span) const;

  std::uint32_t workers_;
  std::unique_ptr<Share[]> shares_;
};

}  // namespace sluice::upstream
