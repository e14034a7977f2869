// Settling: do all workers say that nothing from before the last change is in use? Pure. Control asks in rounds; an answer to a question
// from before the change, or from an earlier round, says nothing: it may have been on its way while the change was made.
#pragma once

#include <cstdint>

namespace sluice::runtime {

class Settling {
 public:
  enum class Verdict : uint8_t { open, settled, in_use };   // in_use: ask again later

  explicit Settling(uint32_t workers) : workers_(workers) {}
  // Something left, and the workers will hear of it before the next question. A round under way comes to nothing: ask again.
  void changed() { ++round_; }
  // A round begins. What the answers must bear.
  uint64_t ask() {
    answers_ = settled_ = 0;
    return ++round_;
  }
  // Of one worker, once a round. Not open once a round at most: with the last worker's answer.
  Verdict answer(uint64_t round, bool settled) {
    if (round != round_) return Verdict::open;
    settled_ += settled ? 1 : 0;
    if (++answers_ < workers_) return Verdict::open;
    return settled_ == workers_ ? Verdict::settled : Verdict::in_use;
  }

 private:
  uint32_t workers_;
  uint64_t round_ = 0;
  uint32_t answers_ = 0;
  uint32_t settled_ = 0;
};

}  // namespace sluice::runtime
