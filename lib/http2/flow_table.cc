// Linear probing, at most half full; what is removed leaves no mark: those behind it move up.
#include "http2/flow_table.h"

#include <random>

#include "base/check.h"
#include "http2/memory.h"

namespace sluice::http2 {
namespace {

constexpr size_t slots_at_first = 8;

[[gnu::noinline]] uint32_t drawn() { return std::random_device{}(); }

// A client chooses its ids: which of them meet must not be known to it. (The last steps of MurmurHash3, with a seed.)
size_t hash(int32_t id) {
  static const uint32_t seed = drawn();
  uint32_t h = static_cast<uint32_t>(id) ^ seed;
  h = (h ^ h >> 16) * 0x85ebca6bU;
  h = (h ^ h >> 13) * 0xc2b2ae35U;
  return h ^ h >> 16;
}

}  // namespace

size_t FlowTable::home(int32_t id) const { return hash(id) & mask_; }

Flow* FlowTable::find(int32_t id) const {
  if (size_ == 0) return nullptr;
  for (size_t i = home(id); slots_[i].id != 0; i = (i + 1) & mask_) {
    if (slots_[i].id == id) return slots_[i].flow;
  }
  return nullptr;
}

bool FlowTable::add(int32_t id, Flow& flow) {
  if ((slots_ == nullptr || 2 * (size_ + 1) > mask_ + 1) && !grow()) return false;
  size_t i = home(id);
  while (slots_[i].id != 0) i = (i + 1) & mask_;
  slots_[i] = {id, &flow};
  ++size_;
  return true;
}

bool FlowTable::grow() {
  const size_t before = slots_ == nullptr ? 0 : mask_ + 1;
  const size_t after = before == 0 ? slots_at_first : 2 * before;
  auto* const larger = static_cast<Slot*>(Memory::take_zeroed(after, sizeof(Slot)));
  if (larger == nullptr) return false;
  Slot* const old = slots_;
  slots_ = larger;
  mask_ = after - 1;
  for (size_t k = 0; k < before; ++k) {
    if (old[k].id == 0) continue;
    size_t i = home(old[k].id);
    while (slots_[i].id != 0) i = (i + 1) & mask_;
    slots_[i] = old[k];
  }
  Memory::give(old);
  return true;
}

void FlowTable::remove(int32_t id) {
  CHECK(size_ != 0);
  size_t hole = home(id);
  while (slots_[hole].id != id) {
    CHECK(slots_[hole].id != 0);
    hole = (hole + 1) & mask_;
  }
  for (size_t i = (hole + 1) & mask_; slots_[i].id != 0; i = (i + 1) & mask_) {
    // May it stand in the hole? Only if its home is not between the hole and its place.
    if (((i - home(slots_[i].id)) & mask_) < ((i - hole) & mask_)) continue;
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole] = {0, nullptr};
  --size_;
}

void FlowTable::rest() {
  Memory::give(slots_);
  slots_ = nullptr;
  mask_ = size_ = 0;
}

}  // namespace sluice::http2
