// Holders: the requests of one worker that have a stream of this upstream. Of those whose client takes nothing of an
// answer that is here, the longest-stalled gives way while others wait (threats.md row 57).
#pragma once

#include "base/list.h"
#include "upstream/cluster.h"

namespace sluice::upstream {

class Holders {
 public:
  static constexpr base::Millis patience{2'000};  // so long a client may take nothing while others wait
  static constexpr base::Millis every{100};  // one gives way at most

  void add(Waiter& waiter) {
    waiter.held_.unlink();
    list_.push_back(waiter.held_);
  }
  // Of those that have stalled since before `now` - patience; nullptr: none has.
  Waiter* longest_stalled(base::Micros now) {
    Waiter* found = nullptr;
    base::Micros since = now - base::Micros(patience);
    for (Waiter::Held* h = list_.front(); h != nullptr; h = list_.next(*h)) {
      const base::Micros its = h->waiter.stalled_since();
      if (its.count == 0 || its > since) continue;
      found = &h->waiter;
      since = its;
    }
    return found;
  }

 private:
  base::List<Waiter::Held, HeldTag> list_;
};

}  // namespace sluice::upstream
