// Answers: how many a worker gave, and how many of them failed: a status of 5xx, or cut after their head. Running
// numbers, and those of the last minute in slots, which age as they are read: nothing ticks for it. Answers about our
// health are none. Plain numbers of one worker, read by mail. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace sluice::exchange {

class Answers {
 public:
  static constexpr base::Micros slot{10'000'000};
  static constexpr size_t slots = 6;               // the last 50 to 60 s

  struct Counts {
    uint64_t all = 0;
    uint64_t failed = 0;
    Counts& operator+=(const Counts& more) {
      all += more.all;
      failed += more.failed;
      return *this;
    }
    Counts operator-(const Counts& before) const { return {all - before.all, failed - before.failed}; }
    bool operator==(const Counts&) const = default;
  };

  void count(base::Micros now, bool failed) {
    const int64_t number = now.count / slot.count;
    Slot& here = ring_[static_cast<size_t>(number) % slots];
    if (here.number != number) here = {number, {}};
    const Counts one{1, failed ? uint64_t{1} : 0};
    here.counts += one;
    ever_ += one;
  }
  const Counts& ever() const { return ever_; }
  Counts lately(base::Micros now) const {
    Counts sum;
    for (const Slot& one : ring_) {
      if (one.number > now.count / slot.count - static_cast<int64_t>(slots)) sum += one.counts;
    }
    return sum;
  }

 private:
  struct Slot {
    int64_t number = -1;
    Counts counts;
  };
  std::array<Slot, slots> ring_{};
  Counts ever_;
};

}  // namespace sluice::exchange
