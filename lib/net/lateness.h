// Lateness: how late a loop handles what has become ready. Pure: the loop tells it when its turns begin and end, and
// what the kernel says of the thread (RunDelay). Two parts: the thread was runnable and had no CPU (a count that only
// grows, as of the last look), and the turn before was still under way.
#pragma once

#include "base/clock.h"

namespace sluice::net {

class Lateness {
 public:
  static constexpr base::Micros looked_every{5'000};  // the kernel's count: a system call
  static constexpr base::Micros no_sleep{20};  // a poll that did not wait takes less

  explicit Lateness(base::Micros now) : looked_(now - looked_every), ended_(now) {}

  bool due(base::Micros now) const { return now - looked_ >= looked_every; }
  // The wait for events is over. `run_delay`: RunDelay::read() if it was due; negative: not, or not known.
  void begin_turn(base::Micros now, base::Micros run_delay);
  void end_turn(base::Micros now);

  // So long, since the loop was made, the thread was runnable without a CPU.
  base::Micros waited() const { return waited_; }
  // What this turn handles may have been ready for so long, while the turn before went on (what waited() has is left
  // out). 0: the loop slept in between.
  base::Micros backlog() const { return backlog_; }
  // What this turn handles first may be so late, by both.
  base::Micros at_turn() const { return at_turn_; }
  // All turns together.
  base::Micros busy() const { return busy_; }

 private:
  base::Micros looked_;  // when the kernel was asked last
  base::Micros ended_;  // the last turn
  base::Micros began_{};
  base::Micros took_{};  // the last turn
  base::Micros awake_{};  // turns since the kernel was asked
  base::Micros told_{-1};  // by the kernel; negative: nothing yet
  base::Micros waited_{}, backlog_{}, at_turn_{}, busy_{};
};

}  // namespace sluice::net
