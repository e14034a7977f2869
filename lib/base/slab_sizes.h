// SlabSizes: slabs by size, four to a doubling, so that at most a fifth of a block is waste, and what a crowd gives
// back are whole pages.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "base/slab.h"

namespace sluice::base {

// Belongs to the thread that made it.
class SlabSizes {
 public:
  static constexpr size_t smallest_bytes = 64;
  static constexpr size_t largest_bytes = 128 * 1024;  // larger blocks have pages of their own, that go back at once

  // `head_bytes`: of the user, in front of each block. `free_bytes`: kept of each size, but one page at least.
  SlabSizes(size_t head_bytes, size_t free_bytes) : head_bytes_(head_bytes), free_bytes_(free_bytes) {}
  // The head, aligned to 16, and `bytes` behind it.
  void* take(size_t bytes);
  void give(void* head, size_t bytes) noexcept;  // `bytes` as it was taken
  static size_t size_of(size_t bytes);  // what a block of so many has

 private:
  static constexpr size_t sizes = 45;
  SlabPages& slab(size_t size_class);

  std::array<std::optional<SlabPages>, sizes> slabs_;
  size_t head_bytes_;
  size_t free_bytes_;
};

}  // namespace sluice::base
