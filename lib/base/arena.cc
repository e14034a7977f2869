// Blocks of the arenas and the per-thread pool they come back to. The pool is bounded, so a burst is not paid for ever.
#include "base/arena.h"

#include <cstdlib>

#include "base/check.h"
#include "base/poison.h"

namespace sluice::base {
namespace {

constexpr size_t pooled_blocks_max = 2048;  // of each size: 2 and 4 MB a thread

// An arena begins with a small block: most requests and answers need no more, and a stream that lasts for hours keeps what it took.
constexpr size_t first_block_bytes = 1024;

struct FreeBlock {
  FreeBlock* next;
};

// Plain pointers, so that an arena which outlives the pool (thread exit) still finds it in a known state.
struct Pool {
  size_t bytes;
  FreeBlock* head;
  size_t size;
};
thread_local Pool small_pool{first_block_bytes, nullptr, 0};
thread_local Pool pool{Arena::block_bytes, nullptr, 0};
thread_local bool pool_closed = false;

struct PoolCloser {
  ~PoolCloser() {
    pool_closed = true;
    for (Pool* p : {&small_pool, &pool}) {
      while (p->head != nullptr) {
        FreeBlock* block = p->head;
        unpoison(block, p->bytes);
        p->head = block->next;
        std::free(block);
      }
      p->size = 0;
    }
  }
  void touch() const {}
};
thread_local PoolCloser pool_closer;

void* take_block(Pool& from) {
  if (from.head == nullptr) {
    void* memory = std::malloc(from.bytes);
    CHECK(memory != nullptr);
    return memory;
  }
  FreeBlock* block = from.head;
  unpoison(block, from.bytes);
  from.head = block->next;
  --from.size;
  return block;
}

void give_block(Pool& to, void* memory) noexcept {
  if (pool_closed || to.size >= pooled_blocks_max) {
    std::free(memory);
    return;
  }
  pool_closer.touch();  // from here on this thread frees its pools when it ends
  auto* block = static_cast<FreeBlock*>(memory);
  poison(reinterpret_cast<char*>(block) + sizeof(FreeBlock), to.bytes - sizeof(FreeBlock));
  block->next = to.head;
  to.head = block;
  ++to.size;
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
  const bool small = blocks_ == nullptr && bytes <= first_block_bytes - sizeof(Block);
  Pool& from = small ? small_pool : pool;
  auto* block = static_cast<Block*>(take_block(from));
  block->size = from.bytes;
  block->next = blocks_;
  blocks_ = block;
  held_ += from.bytes;
  auto* const at = reinterpret_cast<char*>(block + 1);  // aligned to 16, as malloc's memory is
  at_ = at + bytes;
  end_ = at + (from.bytes - sizeof(Block));
  return block + 1;
}

void Arena::reset() noexcept {
  while (blocks_ != nullptr) {
    Block* block = blocks_;
    blocks_ = block->next;
    if (block->size == block_bytes) {
      give_block(pool, block);
    } else if (block->size == first_block_bytes) {
      give_block(small_pool, block);
    } else {
      std::free(block);
    }
  }
  at_ = end_ = nullptr;
  held_ = 0;
}

}  // namespace sluice::base
