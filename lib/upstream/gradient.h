// Gradient: how many requests one endpoint bears at once, found from how long its answers take against how long they
// take at best (Netflix's gradient2, Envoy's adaptive concurrency). Pure; AdaptiveLimit has it for all workers.
//
// While answers take no longer than `tolerance` times the floor the limit grows by its square root, a queue that the
// endpoint is granted; as they take longer it shrinks in proportion, by half at most. Nothing is learned about a limit
// that is not used. What is called the floor under load would creep up with the load, so it is measured anew now and
// then: with a quarter of the limit for the time of two windows, of which the second one counts.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/clock.h"

namespace sluice::upstream {

class Gradient {
 public:
  static constexpr double first = 32;
  static constexpr double least = 4;
  static constexpr double most = 10'000;
  static constexpr double tolerance = 1.5;
  static constexpr double smoothing = 0.2;  // what one window moves
  static constexpr base::Millis measure_every{30'000};

  // Some answers took `mean` on average; `in_flight` were under way. Times are positive.
  void window(base::Micros mean, std::uint32_t in_flight, base::Micros now) {
    if (measuring_ != 0) return measure(mean, now);
    floor_ = floor_.count == 0 ? mean : std::min(floor_, mean);
    const bool used = in_flight * 2 >= limit();
    if (now - since_ >= base::Micros(measure_every)) {
      since_ = now;
      // Below half of the limit nobody queues for it: any time is as good as a measured one.
      used ? void(measuring_ = 2) : void(floor_ = mean);
    }
    if (!used) return;
    const double gradient =
        std::clamp(tolerance * static_cast<double>(floor_.count) / static_cast<double>(mean.count), 0.5, 1.0);
    const double wanted = limit_ * gradient + std::sqrt(limit_);
    limit_ = std::clamp(limit_ + smoothing * (wanted - limit_), least, most);
  }
  std::uint32_t limit() const {
    return static_cast<std::uint32_t>(measuring_ == 0 ? limit_ : std::max(least, limit_ / 4));
  }

 private:
  void measure(base::Micros mean, base::Micros now) {
    if (--measuring_ != 0) return;  // answers of before
    floor_ = mean;
    since_ = now;
  }

  double limit_ = first;
  base::Micros floor_{};  // 0 = none yet
  base::Micros since_{};  // when it was measured
  int measuring_ = 0;  // windows until it is
};

}  // namespace sluice::upstream
