// Epochs: which former configurations are still in use, as the workers say. Each publish begins an epoch; what it
// replaced may be freed, or given to others, when no worker holds anything of the time in which that was in force.
// Pure; control's thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace sluice::runtime {

using Epoch = uint64_t;  // 1 is the first that is published

// What one worker says of itself, whenever it changes.
struct Held {
  Epoch applied = 0;  // it has everything up to this one
  std::vector<Epoch> older;  // it uses something of these, which are over otherwise; sorted, each once
  bool operator==(const Held&) const = default;
};

// The time in which something was in force: from `begin` until `end`, which is the epoch that replaced it.
struct Life {
  Epoch begin = 0;
  Epoch end = 0;
};

class Epochs {
 public:
  explicit Epochs(uint32_t workers) : held_(workers) {}
  Epoch begin() { return ++now_; }
  Epoch now() const { return now_; }
  void held(uint32_t worker, Held held) { held_[worker] = std::move(held); }  // news of a worker
  // Has every worker what was published as `epoch`?
  bool everywhere(Epoch epoch) const;
  // Nobody uses anything of that life any more. A WebSocket from before holds its own epoch, not those that came after
  // it.
  bool over(const Life& life) const;

 private:
  Epoch now_ = 0;
  std::vector<Held> held_;  // by worker
};

}  // namespace sluice::runtime
