#include "runtime/epochs.h"

#include <algorithm>

namespace sluice::runtime {

bool Epochs::everywhere(Epoch epoch) const {
  return std::ranges::all_of(held_, [epoch](const Held& h) { return h.applied >= epoch; });
}

bool Epochs::over(const Life& life) const {
  if (!everywhere(life.end)) return false;
  return std::ranges::all_of(held_, [&life](const Held& h) {
    const auto first = std::ranges::lower_bound(h.older, life.begin);
    return first == h.older.end() || *first >= life.end;
  });
}

}  // namespace sluice::runtime
