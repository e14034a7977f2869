#include "base/slab_sizes.h"

#include <bit>

#include "base/pages.h"

namespace sluice::base {
namespace {

constexpr size_t steps = 4;                                  // sizes to a doubling
constexpr size_t floor_log2(size_t n) { return static_cast<size_t>(std::bit_width(n)) - 1; }
constexpr size_t first_shift = floor_log2(SlabSizes::smallest_bytes);
constexpr size_t last_class = (floor_log2(SlabSizes::largest_bytes) - first_shift) * steps;

// The class whose blocks hold `bytes` (<= largest_bytes).
size_t class_of(size_t bytes) {
  if (bytes <= SlabSizes::smallest_bytes) return 0;
  const size_t shift = floor_log2(bytes - 1);                // 2^shift < bytes <= 2^(shift + 1)
  const size_t step = (size_t{1} << shift) / steps;
  const size_t over = bytes - (size_t{1} << shift);
  return (shift - first_shift) * steps + (over + step - 1) / step;
}

size_t class_bytes(size_t size_class) {
  const size_t shift = first_shift + size_class / steps;
  return (size_t{1} << shift) + size_class % steps * ((size_t{1} << shift) / steps);
}

}  // namespace

SlabPages& SlabSizes::slab(size_t size_class) {
  static_assert(sizes == last_class + 1);
  auto& slab = slabs_[size_class];
  if (!slab) slab.emplace(head_bytes_ + class_bytes(size_class), free_bytes_);
  return *slab;
}

void* SlabSizes::take(size_t bytes) {
  if (bytes <= largest_bytes) return slab(class_of(bytes)).take();
  const size_t whole = head_bytes_ + bytes;
  return Pages::take(std::bit_ceil(whole), whole);
}

void SlabSizes::give(void* head, size_t bytes) noexcept {
  if (bytes <= largest_bytes) return slab(class_of(bytes)).give(head);
  const size_t whole = head_bytes_ + bytes;
  Pages::give(head, std::bit_ceil(whole), whole);
}

size_t SlabSizes::size_of(size_t bytes) { return bytes <= largest_bytes ? class_bytes(class_of(bytes)) : bytes; }

}  // namespace sluice::base
