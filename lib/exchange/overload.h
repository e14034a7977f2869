// Overload: may a worker that is late take another request? Pure: it is told how late each turn of the loop began.
// In the manner of CoDel (RFC 8289): a burst makes one turn late, and is served; a worker that can do no more than what
// comes is late at the beginning of every turn. That is the least of the lateness of all that a turn handles. When it
// has stood above the target for `interval`, what is itself later than that is refused, at the least cost that an
// answer has. So a turn serves for as long as the target says and refuses the rest: what is served waits no longer,
// and as much is served as refusing leaves room for, without a share to steer.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "http/lane.h"

namespace sluice::exchange {

class Overload {
 public:
  static constexpr base::Micros interval{100'000};
  static constexpr base::Micros memory{1'000'000};  // over when nobody was refused for so long

  // `max_lateness`: microseconds, of the process; 0 = off. Outlives this.
  explicit Overload(const std::atomic<int64_t>& max_lateness) : most_(max_lateness) {}

  // A turn is over that began at `began`, when what it handled first was `late`.
  void turn(base::Micros began, base::Micros late);
  bool on() const { return on_; }
  // Nothing is refused, so nobody need look at the clock.
  bool calm() const { return !on_ && late_since_.count < 0; }
  // Is a request refused that turn number `turn`, which began at `began` so late, handles `so_far` later? Low lanes
  // from half of max_lateness on, high ones from twice. The first of each turn is not: whatever makes us late, somebody
  // is served.
  struct Moment {
    base::Micros began, late, so_far;
    uint32_t turn;
  };
  bool refuses(const Moment& moment, http::Lane lane);

 private:
  bool stands(base::Micros at) const { return late_since_.count >= 0 && at - late_since_ >= interval; }
  void begin(base::Micros now);
  base::Micros most() const { return base::Micros{most_.load(std::memory_order_relaxed)}; }

  const std::atomic<int64_t>& most_;
  base::Micros late_since_{-1};  // every turn since then began late; negative: the last one did not
  base::Micros refused_at_{};  // the last one
  uint32_t served_in_ = 0;  // the turn in which one was let in last
  bool on_ = false;
};

}  // namespace sluice::exchange
