// How long keep_warm() leaves an endpoint alone that ends unused connections as soon as they are made: or min_idle
// would connect to it for ever, four times a second. Pure; one per endpoint and worker.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace sluice::upstream {

class WarmPause {
 public:
  static constexpr base::Millis first{250};  // after one that died young, or whose connect failed,
  static constexpr base::Millis most{10'000};  // doubling up to this
  static constexpr base::Millis young{1'000};  // whoever lived so long, or served a request, was worth its connect

  bool over(base::Micros now) const { return now >= not_before_; }
  // Those that were made together die together, and count once.
  void note_death(base::Micros now) {
    if (!over(now)) return;
    pause_ = pause_.count == 0 ? first : std::min(base::Millis{pause_.count * 2}, most);
    not_before_ = now + pause_;
  }
  void note_life() { *this = {}; }

 private:
  base::Millis pause_{0};
  base::Micros not_before_{};
};

}  // namespace sluice::upstream
