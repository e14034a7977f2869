// Sojourn: does a queue stand, and is it longer than a lull in the arrivals can empty? In the field's terms: a
// controlled delay, as in CoDel (RFC 8289), with adaptive LIFO. Pure; one for each queue, told of what happens there.
//
// A queue is calm whenever nobody in it has waited longer than `target`. One that was not calm for a whole `interval`
// stands; and if in that interval more came than were given a place, it grows. If then more wait than can be served
// within their `budget`, or one in twenty of those who came in that interval left without a place, somebody is lost in
// any case: the places that come free go to those who came last, until it is calm, and what waits beyond `kept` is
// waste: whoever is shed would have waited for a place that somebody else takes. As long as all who wait can be served
// in time nobody is shed, however long it stands: clients that each wait for an answer before they ask again do that to
// every pool that is smaller than they are many. A burst grows for a moment only, so it loses nobody. What is kept
// bridges lulls, so that no place stays free because of somebody who was shed.
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

  // `target` 0: always calm. `budget`: for so long a request may wait.
  void configure(base::Millis target, base::Millis interval, base::Millis budget) {
    target_ = target;
    interval_ = interval;
    budget_ = budget;
    if (target.count == 0) calm(base::Micros{});
  }
  // One more comes to wait at `now`; of those who do already the oldest came at `oldest`.
  void comes(base::Micros now, std::optional<base::Micros> oldest) {
    look(now, oldest);
    ++came_;
  }
  void placed() { ++placed_; }  // one that waited has a place
  void not_placed() { placed_ -= std::min(placed_, 1U); }  // it waits again
  void left() { ++left_; }  // it gave up, or its time was over
  bool grows() const { return grows_; }
  // While it grows: how many of `waiting` are too many. `rate` of them are given a place in a second, as measured over
  // several; what this queue saw in its last interval counts if it was more, as before it there may have been silence.
  std::uint32_t excess(std::uint32_t waiting, double rate) {
    if (!grows_) return 0;
    const double a_milli = std::max(rate / 1'000, placed_a_milli_);
    const auto in = [a_milli](base::Millis span) {
      return std::max<double>(kept_least, a_milli * static_cast<double>(span.count));
    };
    if (!newest_first_ && !lost_ && waiting <= in(budget_)) return 0;
    if (waiting <= kept_least) return 0;
    newest_first_ = true;
    const double kept = in(interval_);
    return waiting <= kept ? 0 : waiting - static_cast<std::uint32_t>(kept);
  }
  // From the first excess until it is calm.
  bool newest_first() const { return newest_first_; }

 private:
  void look(base::Micros now, std::optional<base::Micros> oldest) {
    if (target_.count == 0) return;
    if (!oldest.has_value() || now - *oldest <= base::Micros(target_)) return calm(now);
    if (now - since_ < base::Micros(interval_)) return;
    grows_ = came_ > placed_;
    lost_ = left_ >= std::max(came_ / 20, 1U);
    placed_a_milli_ = placed_ * 1e3 / static_cast<double>((now - since_).count);
    begin(now);
  }
  void calm(base::Micros now) {
    grows_ = lost_ = newest_first_ = false;
    begin(now);
  }
  void begin(base::Micros now) {
    since_ = now;
    came_ = placed_ = left_ = 0;
  }

  base::Millis target_{};
  base::Millis interval_{};
  base::Millis budget_{};
  base::Micros since_{};  // when it was calm last, or the last interval ended
  std::uint32_t came_ = 0;  // since then
  std::uint32_t placed_ = 0;
  std::uint32_t left_ = 0;
  double placed_a_milli_ = 0;  // in the last interval
  bool grows_ = false;
  bool lost_ = false;
  bool newest_first_ = false;
};

}  // namespace sluice::upstream
