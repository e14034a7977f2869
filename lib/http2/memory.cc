// Four sizes to a doubling, so that at most a fifth of a block is waste; 16 bytes in front of each tell its size.
#include "http2/memory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/poison.h"

namespace sluice::http2 {
namespace {

struct alignas(16) Block {
  Block* next;                      // while it is free
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

struct Lists {
  std::array<Block*, classes> free{};
  std::array<size_t, classes> kept{};
  size_t live = 0;
  size_t live_bytes = 0;

  ~Lists() {
    for (Block*& first : free) {
      while (first != nullptr) {
        Block* const block = first;
        first = block->next;
        base::unpoison(block + 1, block->bytes);
        std::free(block);
      }
    }
  }
};
thread_local Lists lists;

Block* block_of(void* payload) { return static_cast<Block*>(payload) - 1; }

}  // namespace

void* Memory::take(size_t bytes) noexcept {
  Block* block = nullptr;
  if (bytes > largest_bytes) {
    if (bytes > UINT32_MAX) return nullptr;
    block = static_cast<Block*>(std::malloc(sizeof(Block) + bytes));
    if (block == nullptr) return nullptr;
    *block = {nullptr, no_class, static_cast<uint32_t>(bytes)};
  } else {
    const unsigned size_class = class_of(bytes);
    const size_t size = class_bytes(size_class);
    block = lists.free[size_class];
    if (block != nullptr) {
      lists.free[size_class] = block->next;
      lists.kept[size_class] -= size;
      base::unpoison(block + 1, size);
    } else {
      block = static_cast<Block*>(std::malloc(sizeof(Block) + size));
      if (block == nullptr) return nullptr;
      *block = {nullptr, size_class, static_cast<uint32_t>(size)};
    }
  }
  ++lists.live;
  lists.live_bytes += sizeof(Block) + block->bytes;
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
  --lists.live;
  lists.live_bytes -= sizeof(Block) + block->bytes;
  const uint32_t size_class = block->size_class;
  if (size_class == no_class || lists.kept[size_class] + block->bytes > kept_bytes_max) return std::free(block);
  lists.kept[size_class] += block->bytes;
  block->next = lists.free[size_class];
  lists.free[size_class] = block;
  base::poison(payload, block->bytes);
}

size_t Memory::live() { return lists.live; }
size_t Memory::live_bytes() { return lists.live_bytes; }

}  // namespace sluice::http2
