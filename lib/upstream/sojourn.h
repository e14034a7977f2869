// Sojourn: does a queue stand, and is it longer than a lull in the arrivals can empty? In the field's terms: a
// controlled delay, as in CoDel (RFC 8289), with adaptive LIFO. Pure; one for each queue, told of what happens there.
//
// A queue is calm whenever nobody in it has waited longer than `target`. One that was not calm for a whole `interval`
// stands; and if in that interval more came than were given a place, it grows: then more is asked for than the
// upstream can bear. What waits beyond `kept` is then waste: the places that come free go to those who came last, and
// whoever is shed would have waited for a place that somebody else takes. A burst, however large, grows for a moment
// only, so it loses nobody. What is kept bridges lulls, so that no place stays free because of somebody who was shed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace sluice::upstream {

class Sojourn {
 public:
  // With fewer, a random lull at a load near the capacity empties the queue often enough to be seen (docs/queueing.md).
  static constexpr std::uint32_t kept_least = 64;

  // `target` 0: always calm.
  void configure(base::Millis target, base::Millis interval) {
    target_ = target;
    interval_ = interval;
    if (target.count == 0) calm(base::Micros{});
  }
  // One more comes to wait at `now`; of those who do already the oldest came at `oldest`.
  void comes(base::Micros now, std::optional<base::Micros> oldest) {
    look(now, oldest);
    ++came_;
  }
  void placed() { ++placed_; }  // one that waited has a place
  void not_placed() { placed_ -= std::min(placed_, 1U); }  // it waits again
  bool grows() const { return grows_; }
  // While it grows: how many of `waiting` are too many. `rate` of them are given a place in a second.
  std::uint32_t excess(std::uint32_t waiting, double rate) {
    const double kept = std::max<double>(kept_least, rate * static_cast<double>(interval_.count) / 1'000);
    if (!grows_ || waiting <= kept) return 0;
    newest_first_ = true;
    return waiting - static_cast<std::uint32_t>(kept);
  }
  // From the first excess until it is calm.
  bool newest_first() const { return newest_first_; }

 private:
  void look(base::Micros now, std::optional<base::Micros> oldest) {
    if (target_.count == 0) return;
    if (!oldest.has_value() || now - *oldest <= base::Micros(target_)) return calm(now);
    if (now - since_ < base::Micros(interval_)) return;
    grows_ = came_ > placed_;
    begin(now);
  }
  void calm(base::Micros now) {
    grows_ = newest_first_ = false;
    begin(now);
  }
  void begin(base::Micros now) {
    since_ = now;
    came_ = placed_ = 0;
  }

  base::Millis target_{};
  base::Millis interval_{};
  base::Micros since_{};  // when it was calm last, or the last interval ended
  std::uint32_t came_ = 0;  // since then
  std::uint32_t placed_ = 0;
  bool grows_ = false;
  bool newest_first_ = false;
};

}  // namespace sluice::upstream
