// 16 bytes in front of each block tell its size; the rest is base::SlabSizes.
#include "http2/memory.h"

#include <cstdint>
#include <cstring>

#include "base/slab_sizes.h"

namespace sluice::http2 {
namespace {

struct alignas(16) Block {
  size_t bytes;                     // of the payload
};
static_assert(sizeof(Block) == 16);

struct Blocks {
  base::SlabSizes sizes{sizeof(Block), Memory::free_bytes_kept};
  size_t live = 0;
  size_t live_bytes = 0;
};
thread_local Blocks blocks;

Block* block_of(void* payload) { return static_cast<Block*>(payload) - 1; }

}  // namespace

void* Memory::take(size_t bytes) noexcept {
  if (bytes > UINT32_MAX) return nullptr;
  const size_t size = base::SlabSizes::size_of(bytes);
  auto* const block = static_cast<Block*>(blocks.sizes.take(size));
  *block = {size};
  ++blocks.live;
  blocks.live_bytes += sizeof(Block) + size;
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
  --blocks.live;
  blocks.live_bytes -= sizeof(Block) + block->bytes;
  blocks.sizes.give(block, block->bytes);
}

size_t Memory::live() { return blocks.live; }
size_t Memory::live_bytes() { return blocks.live_bytes; }

}  // namespace sluice::http2
