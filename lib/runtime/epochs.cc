#include "runtime/epochs.h"

#include <algorithm>
#include <utility>

namespace sluice::runtime {

void Epochs::held(uint32_t worker, Held held) {
  held_[worker] = std::move(held);
  const auto first_over = std::partition(waiting_.begin(), waiting_.end(), [this](const Waiting& w) { return !over(w.life); });
  std::vector<Waiting> due(std::make_move_iterator(first_over), std::make_move_iterator(waiting_.end()));
  waiting_.erase(first_over, waiting_.end());
  for (const Waiting& one : due) one.action();
}

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
