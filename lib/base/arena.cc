// Blocks of the arenas and the per-thread pool they come back to. The pool is bounded, so a burst is not paid for ever.
#include "base/arena.h"

#include <cstdlib>

#include "base/check.h"
#include "base/poison.h"

namespace sluice::base {
namespace {

constexpr size_t pooled_blocks_max = 2048;  // 4 MB a thread

struct FreeBlock {
  FreeBlock* next;
};

// Plain pointers, so that an arena which outlives the pool (thread exit) still finds it in a known state.
thread_local FreeBlock* pool_head = nullptr;
thread_local size_t pool_size = 0;
thread_local bool pool_closed = false;

struct PoolCloser {
  ~PoolCloser() {
    pool_closed = true;
    while (pool_head != nullptr) {
      FreeBlock* block = pool_head;
      unpoison(block, Arena::block_bytes);
      pool_head = block->next;
      std::free(block);
    }
    pool_size = 0;
  }
  void touch() const {}
};
thread_local PoolCloser pool_closer;

void* take_block() {
  if (pool_head == nullptr) {
    void* memory = std::malloc(Arena::block_bytes);
    CHECK(memory != nullptr);
    return memory;
  }
  FreeBlock* block = pool_head;
  unpoison(block, Arena::block_bytes);
  pool_head = block->next;
  --pool_size;
  return block;
}

void give_block(void* memory) noexcept {
  if (pool_closed || pool_size >= pooled_blocks_max) {
    std::free(memory);
    return;
  }
  pool_closer.touch();  // from here on this thread frees its pool when it ends
  auto* block = static_cast<FreeBlock*>(memory);
  poison(reinterpret_cast<char*>(block) + sizeof(FreeBlock), Arena::block_bytes - sizeof(FreeBlock));
  block->next = pool_head;
  pool_head = block;
  ++pool_size;
}

}  // namespace

void* Arena::allocate_slow(size_t bytes, size_t align) {
  static_assert(sizeof(Block) % 16 == 0);
  DCHECK(align <= 16 && (align & (align - 1)) == 0);
  CHECK(bytes <= SIZE_MAX - sizeof(Block));
  constexpr size_t room = block_bytes - sizeof(Block);
  if (bytes > room) {  // a block of its own, behind the current one, whose rest stays in use
    auto* block = static_cast<Block*>(std::malloc(sizeof(Block) + bytes));
    CHECK(block != nullptr);
    block->size = sizeof(Block) + bytes;
    held_ += block->size;
    Block*& place = blocks_ == nullptr ? blocks_ : blocks_->next;
    block->next = place;
    place = block;
    return block + 1;
  }
  auto* block = static_cast<Block*>(take_block());
  block->size = block_bytes;
  block->next = blocks_;
  blocks_ = block;
  held_ += block_bytes;
  auto* const at = reinterpret_cast<char*>(block + 1);  // aligned to 16, as malloc's memory is
  at_ = at + bytes;
  end_ = at + room;
  return block + 1;
}

void Arena::reset() noexcept {
  while (blocks_ != nullptr) {
    Block* block = blocks_;
    blocks_ = block->next;
    if (block->size == block_bytes) {
      give_block(block);
    } else {
      std::free(block);
    }
  }
  at_ = end_ = nullptr;
  held_ = 0;
}

}  // namespace sluice::base
