// SimLoop: a net::Loop in simulated time. Events are posted to it; waiting moves the clock instead of the wall.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "net/loop.h"

namespace sluice::support {

class SimLoop {
 public:
  SimLoop();
  // Several loops on one clock, which whoever turns them moves: none of them waits.
  explicit SimLoop(base::FakeClock& shared);
  ~SimLoop();
  SimLoop(const SimLoop&) = delete;
  SimLoop& operator=(const SimLoop&) = delete;

  net::Loop& loop() { return *loop_; }
  const base::Clock& clock() const { return clock_; }
  base::Micros now() const { return clock_.now(); }

  // `event` runs at the loop, as if a socket had become ready, `after` from now and in a turn of its own or a later
  // one.
  void post(base::Micros after, std::function<void()> event);
  // For what runs at the loop: it costs so much CPU time. (A turn takes none by itself.)
  void burn(base::Micros span);
  // When the next wait for events is over the thread has no CPU for so long.
  void starve(base::Micros span);
  // Turns until nothing more happens unless time passes. Aborts after a million turns: something spins.
  void settle();
  // Lets `span` pass, with everything that happens on the way.
  void run_for(base::Millis span);
  // Lets time pass until `done()`; false if that took longer than `limit`.
  bool until(const std::function<bool()>& done, base::Millis limit = base::minutes(10));
  uint64_t turns() const { return turns_; }
  // One turn, which waits so long if nothing is to be done.
  void turn(base::Millis longest_wait) { turn(base::Micros{longest_wait}); }

  bool alone() const { return &clock_ == &own_clock_; }
  // For loops on a shared clock.
  bool work_now() const;  // a turn would do something
  base::Micros until_next() const;  // until it will, if nobody else gives it work; negative: never
  void turn_now() { turn(base::Micros{0}); }

 private:
  class Driver;
  void turn(base::Micros longest_wait);

  base::FakeClock own_clock_;
  base::FakeClock& clock_;
  Driver* driver_;  // owned by loop_
  std::unique_ptr<net::Loop> loop_;
  uint64_t turns_ = 0;
};

}  // namespace sluice::support
