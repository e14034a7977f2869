// Blocks of the arenas come from slabs of their thread, which give back to the system what a burst leaves.
#include "base/arena.h"

#include "base/check.h"
#include "base/slab_sizes.h"

namespace sluice::base {
namespace {

// An arena begins with a small block: most requests and answers need no more, and a stream that lasts for hours keeps
// what it took.
constexpr size_t first_block_bytes = 1024;
constexpr size_t blocks_kept = 2048;  // free ones, of each of the two usual sizes
constexpr size_t large_kept_bytes = 64 * 1024;
constexpr size_t head_bytes = 16;  // sizeof(Block)

struct Blocks {
  SlabPages first{first_block_bytes, blocks_kept* first_block_bytes};
  SlabPages usual{Arena::block_bytes, blocks_kept* Arena::block_bytes};
  SlabSizes large{head_bytes, large_kept_bytes};
};
thread_local Blocks blocks_of_thread;

}  // namespace

void* Arena::allocate_slow(size_t bytes, size_t align) {
  static_assert(sizeof(Block) == head_bytes);
  DCHECK(align <= 16 && (align & (align - 1)) == 0);
  CHECK(bytes <= SIZE_MAX - sizeof(Block));
  constexpr size_t room = block_bytes - sizeof(Block);
  if (bytes > room) {  // a block of its own, behind the current one, whose rest stays in use
    auto* block = static_cast<Block*>(blocks_of_thread.large.take(bytes));
    block->size = sizeof(Block) + bytes;
    held_ += block->size;
    Block*& place = blocks_ == nullptr ? blocks_ : blocks_->next;
    block->next = place;
    place = block;
    return block + 1;
  }
  const bool small = blocks_ == nullptr && bytes <= first_block_bytes - sizeof(Block);
  SlabPages& from = small ? blocks_of_thread.first : blocks_of_thread.usual;
  auto* block = static_cast<Block*>(from.take());
  block->size = small ? first_block_bytes : block_bytes;
  block->next = blocks_;
  blocks_ = block;
  held_ += block->size;
  auto* const at = reinterpret_cast<char*>(block + 1);  // aligned to 16, as cells are
  at_ = at + bytes;
  end_ = at + (block->size - sizeof(Block));
  return block + 1;
}

void Arena::reset() noexcept {
  if (blocks_ == nullptr) return;
  Blocks& home = blocks_of_thread;
  while (blocks_ != nullptr) {
    Block* block = blocks_;
    blocks_ = block->next;
    if (block->size == block_bytes) {
      home.usual.give(block);
    } else if (block->size == first_block_bytes) {
      home.first.give(block);
    } else {
      home.large.give(block, block->size - sizeof(Block));
    }
  }
  at_ = end_ = nullptr;
  held_ = 0;
}

}  // namespace sluice::base
