#include "net/lateness.h"

#include <algorithm>

namespace sluice::net {

namespace {

constexpr base::Micros none{0};

}  // namespace

// The kernel does not say when the thread had no CPU: as much of it as the turns since the last look can hold is taken
// to lie in them, where their length has it already; the rest lay in the wait that is just over.
void Lateness::begin_turn(base::Micros now, base::Micros run_delay) {
  began_ = now;
  const base::Micros wait = now - ended_;
  base::Micros delay = none;
  if (run_delay >= none) {
    if (told_ >= none) delay = std::max(run_delay - told_, none);
    told_ = run_delay;
  }
  const base::Micros in_wait = std::min(wait, std::max(delay - awake_, none));
  const bool slept = wait - in_wait > no_sleep;
  waited_ = waited_ + delay;
  backlog_ = slept ? none : std::max(took_ - delay, none);
  at_turn_ = slept ? in_wait : took_ + wait;
  if (run_delay >= none) {
    looked_ = now;
    awake_ = none;
  }
}

void Lateness::end_turn(base::Micros now) {
  ended_ = now;
  took_ = now - began_;
  awake_ = awake_ + took_;
  busy_ = busy_ + took_;
}

}  // namespace sluice::net
