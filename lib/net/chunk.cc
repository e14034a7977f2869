// Chunk pool: per-thread free lists of the two common sizes, bounded so that the memory of a burst is given back.
#include "net/chunk.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>

#include "base/check.h"

namespace sluice::net {

struct ChunkPool {
  struct Class {
    uint32_t bytes;
    uint32_t keep_max;                // free chunks kept; the rest goes back to the heap
    Chunk* free = nullptr;            // linked through their payload
    uint32_t kept = 0;
  };
  static constexpr uint32_t keep_usual = 64;
  static constexpr uint32_t keep_bulk = 8;

  std::array<Class, 2> classes{{{Chunk::usual_bytes, keep_usual}, {Chunk::bulk_bytes, keep_bulk}}};
  size_t live = 0;
  Chunk* scratch = nullptr;

  ~ChunkPool() {
    if (scratch != nullptr) std::free(scratch);
    for (Class& c : classes) {
      while (c.free != nullptr) std::free(std::exchange(c.free, next(c.free)));
    }
  }
  static Chunk*& next(Chunk* chunk) { return *reinterpret_cast<Chunk**>(chunk->data()); }
  Class* class_of(uint32_t bytes) {
    for (Class& c : classes) {
      if (c.bytes == bytes) return &c;
    }
    return nullptr;
  }
  Chunk* take(uint32_t bytes) {
    Chunk* chunk = nullptr;
    Class* const c = class_of(bytes);
    if (c != nullptr && c->free != nullptr) {
      chunk = std::exchange(c->free, next(c->free));
      --c->kept;
    } else {
      chunk = static_cast<Chunk*>(std::malloc(sizeof(Chunk) + bytes));
      CHECK(chunk != nullptr);
    }
    chunk->count_ = 1;
    chunk->capacity_ = bytes;
    chunk->used_ = 0;
    chunk->scratch_ = 0;
    ++live;
    return chunk;
  }
  void give(Chunk* chunk) {
    --live;
    Class* const c = class_of(chunk->capacity_);
    if (c == nullptr || c->kept == c->keep_max) return std::free(chunk);
    next(chunk) = c->free;
    c->free = chunk;
    ++c->kept;
  }
};

namespace {
thread_local ChunkPool pool;
}

Chunk* Chunk::make(uint32_t bytes) {
  CHECK(bytes <= largest_bytes);
  for (const uint32_t size : {usual_bytes, 2 * usual_bytes, bulk_bytes}) {
    if (bytes <= size) return pool.take(size);
  }
  return pool.take(largest_bytes);
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
  for (const auto& c : pool.classes) kept += c.kept;
  return kept;
}

}  // namespace sluice::net
