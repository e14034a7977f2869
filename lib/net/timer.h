// Timers: intrusive members in a hierarchical wheel, one wheel per loop. arm and disarm are O(1) and allocate nothing.
// Resolution is 1 ms; a timer never fires early and at most one turn and 1 ms late.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"
#include "base/list.h"

namespace sluice::net {

class Loop;
class TimerWheel;

class Timer : public base::ListHook<class TimerTag> {
 public:
  // `call(owner)` runs at the loop when the time is over; the timer is disarmed before the call.
  using Call = void (*)(void* owner);
  Timer(void* owner, Call call) : owner_(owner), call_(call) {}
  // Convenience: Timer t{this, timer_call<&Session::on_idle>}.
  ~Timer() { disarm(); }

  void arm(Loop& loop, base::Millis after);   // re-arms if armed; after >= 0
  void disarm();
  bool armed() const { return linked(); }
  base::Micros due() const { return due_; }   // while armed

 private:
  friend class TimerWheel;
  void* owner_;
  Call call_;
  base::Micros due_{};
  TimerWheel* wheel_ = nullptr;
};

namespace detail {
template <class M>
struct MemberOf;
template <class C>
struct MemberOf<void (C::*)()> {
  using Class = C;
};
}  // namespace detail

// Turns a member function `void C::f()` into a Timer::Call for an owner of type C.
template <auto Method>
void timer_call(void* owner) {
  (static_cast<typename detail::MemberOf<decltype(Method)>::Class*>(owner)->*Method)();
}

class TimerWheel {
 public:
  explicit TimerWheel(base::Micros now);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();                                    // timers still armed are disarmed
  void insert(Timer& timer);                        // timer.due_ is set
  void remove(Timer& timer);
  // Runs every timer that is due at `now`. What the calls arm is due in a later turn, also for 0 ms.
  void run_due(base::Micros now);
  // Time from `now` to the next moment when run_due() has work: a timer that is due, or one that moves down a level (so
  // at most `levels` wake-ups a timer). Negative if no timer is armed.
  base::Micros until_next(base::Micros now) const;
  size_t armed() const { return armed_; }

 private:
  static constexpr uint32_t levels = 6;  // 64 slots each: 64 ms, 4 s, 4.4 min, 4.7 h, 12 d, 2.2 y
  static constexpr uint32_t slots = 64;
  using Slot = base::List<Timer, TimerTag>;
  void place(Timer& timer, int64_t due);
  void cascade(uint32_t level);
  uint32_t distance(uint32_t level) const;
  int64_t next_tick() const;
  std::array<std::array<Slot, slots>, levels> wheel_;
  mutable std::array<uint64_t, levels> occupied_{};  // one bit per slot; clear = surely empty, set = look
  int64_t tick_;  // ms of the clock that run_due has reached
  size_t armed_ = 0;
};

}  // namespace sluice::net
