// ServiceRate: how many requests of one upstream were given a connection in the last seconds, in the whole process:
// what its queue can hope for. Each worker counts in a share of its own, on a cache line that nobody else writes, so a
// request costs a plain load and store; who wants the rate, which is rare, sums the shares.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/clock.h"

namespace sluice::upstream {

class ServiceRate {
 public:
  static constexpr std::size_t spans = 8;  // a share is one cache line
  static constexpr base::Millis span{1'000};
  explicit ServiceRate(std::uint32_t workers);
  void count(std::uint32_t worker, base::Micros now);  // on the thread of `worker`
  // A second, over the last 7 to 8 s, or since the first that is known of them; 0: nobody was served.
  double per_second(base::Micros now) const;

 private:
  static constexpr unsigned number_bits = 24;
  static constexpr std::uint64_t number_mask = (std::uint64_t{1} << number_bits) - 1;
  // In one word, so that nobody reads the count of one span as that of another.
  struct Tally {
    std::uint64_t number : number_bits = 0;  // of the span, modulo half a year
    std::uint64_t served : 64 - number_bits = 0;
  };
  static_assert(std::atomic<Tally>::is_always_lock_free);
  struct alignas(64) Share {
    std::array<std::atomic<Tally>, spans> tallies{};
  };
  static_assert(sizeof(Share) == 64);

  std::uint32_t workers_;
  std::unique_ptr<Share[]> shares_;
};

// How long somebody who is refused should stay away: until those who wait now are served, `waiting` at `per_second`,
// give or take a quarter (`draw`, any number), so that they do not come back together. 1 to 30 s.
inline constexpr std::uint32_t stay_away_most = 30;
std::uint32_t stay_away_seconds(std::uint32_t waiting, double per_second, std::uint64_t draw);

}  // namespace sluice::upstream
