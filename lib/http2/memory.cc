// Four sizes to a doubling, so that at most a fifth of a block is waste; each size has pages of its own (base::SlabPages), so that what
// a crowd of connections gives back when it falls idle are whole pages. 16 bytes in front of each block tell its size.
#include "http2/memory.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/slab.h"

namespace sluice::http2 {
namespace {

struct alignas(16) Block {
  uint32_t size_class;
  uint32_t bytes;                   // of the payload
};
static_assert(sizeof(Block) == 16);

constexpr size_t smallest_bytes = 64;
constexpr unsigned steps = 4;       // sizes to a doubling
constexpr unsigned floor_log2(size_t n) { return static_cast<unsigned>(std::bit_width(n)) - 1; }
constexpr unsigned first_shift = floor_log2(smallest_bytes);
constexpr unsigned last_shift = floor_log2(Memory::largest_bytes);
constexpr unsigned classes = (last_shift - first_shift) * steps + 1;
constexpr uint32_t no_class = classes;

// The class whose blocks hold `bytes` (<= largest_bytes).
unsigned class_of(size_t bytes) {
  if (bytes <= smallest_bytes) return 0;
  const unsigned shift = floor_log2(bytes - 1);                    // 2^shift < bytes <= 2^(shift + 1)
  const size_t step = (size_t{1} << shift) / steps;
  const size_t over = bytes - (size_t{1} << shift);
  return (shift - first_shift) * steps + static_cast<unsigned>((over + step - 1) / step);
}

size_t class_bytes(unsigned size_class) {
  const unsigned shift = first_shift + size_class / steps;
  return (size_t{1} << shift) + size_class % steps * ((size_t{1} << shift) / steps);
}

struct Sizes {
  std::array<std::optional<base::SlabPages>, classes> pages;
  size_t live = 0;
  size_t live_bytes = 0;
};
thread_local Sizes sizes;

base::SlabPages& pages_of(unsigned size_class) {
  auto& pages = sizes.pages[size_class];
  if (!pages) pages.emplace(sizeof(Block) + class_bytes(size_class), Memory::free_bytes_kept);
  return *pages;
}

Block* block_of(void* payload) { return static_cast<Block*>(payload) - 1; }

}  // namespace

void* Memory::take(size_t bytes) noexcept {
  Block* block = nullptr;
  if (bytes > largest_bytes) {
    if (bytes > UINT32_MAX) return nullptr;
    block = static_cast<Block*>(std::malloc(sizeof(Block) + bytes));
    if (block == nullptr) return nullptr;
    *block = {no_class, static_cast<uint32_t>(bytes)};
  } else {
    const unsigned size_class = class_of(bytes);
    block = static_cast<Block*>(pages_of(size_class).take());
    *block = {size_class, static_cast<uint32_t>(class_bytes(size_class))};
  }
  ++sizes.live;
  sizes.live_bytes += sizeof(Block) + block->bytes;
  return block + 1;
}

void* Memory::take_zeroed(size_t n, size_t bytes) noexcept {
  if (bytes != 0 && n > SIZE_MAX / bytes) return nullptr;
  void* const block = take(n * bytes);
  if (block != nullptr) std::memset(block, 0, n * bytes);
  return block;
}

void* Memory::resize(void* block, size_t bytes) noexcept {
  if (block == nullptr) return take(bytes);
  const size_t before = block_of(block)->bytes;
  if (bytes <= before) return block;
  void* const larger = take(bytes);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, block, before);
  give(block);
  return larger;
}

void Memory::give(void* payload) noexcept {
  if (payload == nullptr) return;
  Block* const block = block_of(payload);
  --sizes.live;
  sizes.live_bytes -= sizeof(Block) + block->bytes;
  if (block->size_class == no_class) return std::free(block);
  pages_of(block->size_class).give(block);
}

size_t Memory::live() { return sizes.live; }
size_t Memory::live_bytes() { return sizes.live_bytes; }

}  // namespace sluice::http2
