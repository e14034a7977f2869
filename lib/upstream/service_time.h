// What a failure that took no time counts as: the time that a success would have taken.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace sluice::upstream {

// How long an upstream usually takes to serve a request, as one worker sees it: a moving average of those that were
// answered (a request that fails at once says nothing of it), of one in eight.
class ServiceTime {
 public:
  static constexpr base::Micros least{
      10'000};  // the floor: one that serves in 1 ms is not sent 1,000 failures a second
  static constexpr base::Micros most{10'000'000};  // a tunnel of hours counts as this
  void add(base::Micros took) { usual_ += (std::clamp(took.count, least.count, most.count) - usual_) / 8; }
  base::Micros usual() const { return base::Micros{usual_}; }
  // The measure (HeadTime) of who has just answered, in microseconds, averaged over about 32; 0 = none yet. What an
  // endpoint without a measure counts as under p2c_ewma: as the others are measured, by their peaks, not as they are.
  void add_head(float micros) { usual_head_ += usual_head_ == 0 ? micros : (micros - usual_head_) / 32; }
  float usual_head() const { return usual_head_; }
  // Something that decays by half in this time weighs, over all time, as much as if it stayed whole for usual().
  base::Micros half_life() const { return base::Micros{usual_ * 693 / 1'000}; }

 private:
  std::int64_t usual_ = least.count;
  float usual_head_ = 0;
};

}  // namespace sluice::upstream
