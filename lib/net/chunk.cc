// Chunks come from slabs of their thread, a size each, which give back to the system what a burst leaves.
#include "net/chunk.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/slab.h"

namespace sluice::net {

struct ChunkPool {
  struct Size {
    uint32_t bytes;
    base::SlabPages slab;
    Size(uint32_t payload, size_t free_bytes) : bytes(payload), slab(sizeof(Chunk) + payload, free_bytes) {}
  };
  static constexpr size_t keep_usual = size_t{8} << 20;   // until a trim finds them idle
  static constexpr size_t keep_bulk = size_t{16} << 20;
  static constexpr size_t keep_seldom = 0;

  std::array<Size, 4> sizes{Size(Chunk::usual_bytes, keep_usual), Size(2 * Chunk::usual_bytes, keep_seldom),
                            Size(Chunk::bulk_bytes, keep_bulk), Size(Chunk::largest_bytes, keep_seldom)};
  size_t live = 0;
  Chunk* scratch = nullptr;

  ~ChunkPool() {
    if (scratch != nullptr) scratch->unref();
  }
  Chunk* take(uint32_t bytes) {
    Size& size = *std::ranges::find_if(sizes, [bytes](const Size& s) { return bytes <= s.bytes; });
    auto* const chunk = static_cast<Chunk*>(size.slab.take());
    chunk->count_ = 1;
    chunk->capacity_ = size.bytes;
    chunk->used_ = 0;
    chunk->scratch_ = 0;
    ++live;
    return chunk;
  }
  void give(Chunk* chunk) {
    --live;
    std::ranges::find(sizes, chunk->capacity_, &Size::bytes)->slab.give(chunk);
  }
};

namespace {
thread_local ChunkPool pool;
}

Chunk* Chunk::make(uint32_t bytes) {
  CHECK(bytes <= largest_bytes);
  return pool.take(bytes);
}

Chunk& Chunk::scratch(uint32_t bytes) {
  CHECK(bytes <= usual_bytes);
  Chunk*& chunk = pool.scratch;
  if (chunk != nullptr && chunk->count_ == 1) chunk->used_ = 0;  // nobody looks at it: start over, warm in the cache
  if (chunk != nullptr && chunk->room() < bytes) std::exchange(chunk, nullptr)->unref();
  if (chunk == nullptr) {
    chunk = make(usual_bytes);
    chunk->scratch_ = 1;
  }
  return *chunk;
}

void Chunk::give_back() { pool.give(this); }

size_t Chunk::live() { return pool.live - (pool.scratch != nullptr && pool.scratch->count_ == 1 ? 1 : 0); }

size_t Chunk::kept_free() {
  size_t kept = 0;
  for (const auto& size : pool.sizes) kept += size.slab.free_pages() * size.slab.cells_per_page();
  return kept;
}

}  // namespace sluice::net
