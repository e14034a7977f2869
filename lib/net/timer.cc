// The wheel: level 0 has a slot for each of the next 64 ms, each further level is 64 times coarser. A timer moves down
// one level when its slot comes up, so arm, disarm and expiry are O(1). Empty stretches of time are jumped over.
#include "net/timer.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "net/loop.h"

namespace sluice::net {
namespace {

constexpr uint32_t bits = 6;  // of a slot index
constexpr int64_t mask = (1 << bits) - 1;
constexpr int64_t us_per_tick = 1000;

int64_t tick_at_or_after(base::Micros t) { return (t.count + us_per_tick - 1) / us_per_tick; }
int64_t tick_at_or_before(base::Micros t) { return t.count / us_per_tick; }

}  // namespace

void Timer::arm(Loop& loop, base::Millis after) {
  CHECK(after.count >= 0);
  disarm();
  due_ = loop.now() + after;
  loop.timers().insert(*this);
}

void Timer::disarm() {
  if (wheel_ != nullptr) wheel_->remove(*this);
}

TimerWheel::TimerWheel(base::Micros now) : tick_(tick_at_or_before(now)) {}

TimerWheel::~TimerWheel() {
  for (auto& level : wheel_) {
    for (Slot& slot : level) {
      while (Timer* t = slot.front()) remove(*t);
    }
  }
}

void TimerWheel::insert(Timer& timer) {
  timer.wheel_ = this;
  ++armed_;
  place(timer, std::max(tick_at_or_after(timer.due_), tick_ + 1));
}

void TimerWheel::place(Timer& timer, int64_t due) {
  const int64_t farthest = tick_ + (int64_t{1} << (bits * levels)) - 1;
  due = std::min(due, farthest);  // beyond the wheel: placed anew when that slot comes up
  uint32_t level = 0;
  while (due - tick_ >= int64_t{1} << (bits * (level + 1))) ++level;
  const auto slot = static_cast<uint32_t>((due >> (bits * level)) & mask);
  wheel_[level][slot].push_back(timer);
  occupied_[level] |= uint64_t{1} << slot;
}

void TimerWheel::remove(Timer& timer) {
  timer.unlink();
  timer.wheel_ = nullptr;
  --armed_;  // the slot's bit is cleared when next looked at
}

// Slots from the current one to the next occupied one of `level`: 1..64, or 0 if there is none.
uint32_t TimerWheel::distance(uint32_t level) const {
  const auto here = static_cast<int>((tick_ >> (bits * level)) & mask);
  while (occupied_[level] != 0) {
    // Bit 0 of `turned` is the slot after the current one.
    const uint64_t turned = std::rotr(occupied_[level], here + 1);
    const int ahead = std::countr_zero(turned);
    const int slot = (here + 1 + ahead) & static_cast<int>(mask);
    if (!wheel_[level][static_cast<size_t>(slot)].empty()) return static_cast<uint32_t>(ahead) + 1;
    occupied_[level] &= ~(uint64_t{1} << slot);
  }
  return 0;
}

// The next tick at which a timer is due or has to move down a level; -1 if none is armed.
int64_t TimerWheel::next_tick() const {
  int64_t next = -1;
  for (uint32_t level = 0; level < levels; ++level) {
    const uint32_t ahead = distance(level);
    if (ahead == 0) continue;
    const int64_t at = ((tick_ >> (bits * level)) + ahead) << (bits * level);
    if (next < 0 || at < next) next = at;
  }
  return next;
}

base::Micros TimerWheel::until_next(base::Micros now) const {
  const int64_t next = armed_ == 0 ? -1 : next_tick();
  if (next < 0) return base::Micros{-1};
  return base::Micros{std::max<int64_t>(next * us_per_tick - now.count, 0)};
}

// tick_ has just reached the start of a slot of `level`: its timers move down.
void TimerWheel::cascade(uint32_t level) {
  const auto index = static_cast<size_t>((tick_ >> (bits * level)) & mask);
  Slot moving;
  moving.take_all(wheel_[level][index]);
  occupied_[level] &= ~(uint64_t{1} << index);
  while (Timer* t = moving.pop_front()) place(*t, std::max(tick_at_or_after(t->due_), tick_));
}

void TimerWheel::run_due(base::Micros now) {
  const int64_t target = tick_at_or_before(now);
  Slot due;
  while (armed_ != 0 && tick_ < target) {
    const int64_t next = next_tick();
    if (next < 0 || next > target) break;
    tick_ = next;
    for (uint32_t level = levels - 1; level > 0; --level) {
      if ((tick_ & ((int64_t{1} << (bits * level)) - 1)) == 0) cascade(level);
    }
    const auto index = static_cast<size_t>(tick_ & mask);
    due.take_all(wheel_[0][index]);
    occupied_[0] &= ~(uint64_t{1} << index);
  }
  tick_ = std::max(tick_, target);
  // Collected first: what the calls arm is due in a later turn.
  while (Timer* t = due.front()) {
    remove(*t);
    t->call_(t->owner_);
  }
}

}  // namespace sluice::net
