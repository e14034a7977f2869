// AvoidList: the endpoints at which one request has failed, by their ids, in the order of its last failure there. Its
// next try goes elsewhere, or, where it has failed everywhere, to the one at which that was longest ago.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "upstream/options.h"

namespace sluice::upstream {

class AvoidList {
 public:
  static constexpr std::uint32_t most = RetryOptions::attempts_max - 1;  // after the last try nobody asks

  // Again: it moves to the end. Above `most` the oldest is forgotten.
  void add(std::uint64_t id) {
    const auto end = std::remove(ids_.begin(), ids_.begin() + count_, id);
    count_ = static_cast<std::uint32_t>(end - ids_.begin());
    if (count_ == most) {
      std::rotate(ids_.begin(), ids_.begin() + 1, ids_.end());
      --count_;
    }
    ids_[count_++] = id;
  }
  void clear() { count_ = 0; }
  bool empty() const { return count_ == 0; }
  // From 1, the oldest; 0: it is not in it.
  std::uint32_t rank(std::uint64_t id) const {
    for (std::uint32_t i = 0; i < count_; ++i) {
      if (ids_[i] == id) return i + 1;
    }
    return 0;
  }

 private:
  std::array<std::uint64_t, most> ids_{};
  std::uint32_t count_ = 0;
};

}  // namespace sluice::upstream
