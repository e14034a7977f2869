// HeadTime: how long one endpoint takes to the head of an answer, for p2c_ewma: a peak EWMA, as in Finagle and linkerd.
// A longer time counts at once, a shorter one little by little; without answers it fades, so that who was slow is asked
// again. Pure.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/clock.h"

namespace sluice::upstream {

struct HeadTime {
  static constexpr base::Millis half_life{5'000};

  float micros = 0;  // 0 = no measure
  std::uint32_t at = 0;  // in milliseconds, modulo 50 days

  // What is left of it; 0 = no measure.
  float faded(base::Micros now) const { return micros * left(age(now)); }
  // `well`: the answer was no failure. A failure may come quickly because nothing was done: it makes nobody faster.
  HeadTime after(base::Micros took, bool well, base::Micros now) const {
    const auto sample = static_cast<float>(std::max<std::int64_t>(took.count, 1));
    const auto stamp = static_cast<std::uint32_t>(now.count / 1'000);
    if (!well) return micros != 0 && sample > faded(now) ? HeadTime{sample, stamp} : *this;
    if (micros == 0 || sample >= micros) return {sample, stamp};
    const std::uint32_t since = age(now);
    if (since == 0) return *this;  // one answer a millisecond is enough to go down by
    const float keep = left(since);
    return {micros * keep + sample * (1 - keep), stamp};
  }
  bool operator==(const HeadTime&) const = default;

 private:
  std::uint32_t age(base::Micros now) const {
    const auto since = static_cast<std::int32_t>(static_cast<std::uint32_t>(now.count / 1'000) - at);
    return static_cast<std::uint32_t>(std::max(since, 0));  // another worker's clock may be ahead of ours
  }
  static float left(std::uint32_t age) {
    return std::exp2(-static_cast<float>(age) / static_cast<float>(half_life.count));
  }
};

}  // namespace sluice::upstream
