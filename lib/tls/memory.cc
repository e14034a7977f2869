// The hooks. A block is what malloc() gave, without a header of ours: its class follows from malloc_usable_size(),
// which saves the 8 bytes that BoringSSL puts in front of each block otherwise. Everything is wiped when it is freed
// (it may be a key).
#include "tls/memory.h"

#include <malloc.h>
#include <openssl/mem.h>

#include <array>
#include <cstdlib>
#include <cstring>

namespace sluice::tls {
namespace {

// glibc's sizes are 24, 40, 56, ...: 16 * n + 8.
constexpr std::size_t step = 16;
constexpr std::size_t extra = 8;
constexpr std::size_t classes = (free_list_cell_bytes_max - extra) / step + 1;

std::size_t class_for(std::size_t bytes) { return bytes <= step + extra ? 1 : (bytes - extra + step - 1) / step; }
std::size_t bytes_of(std::size_t size_class) { return size_class * step + extra; }

struct Cell {
  Cell* next;
};

// Trivially destructible, because BoringSSL may free from the destructors of other thread-locals: `Closer` empties it
// and everything that comes later goes to the heap.
struct FreeLists {
  std::array<Cell*, classes> free;
  std::size_t kept_bytes;
  MemoryCounters counters;
  bool closer_made;
  bool closed;
};
thread_local constinit FreeLists lists{};

struct Closer {
  Closer() { lists.closer_made = true; }
  ~Closer() {
    lists.closed = true;
    for (Cell*& head : lists.free) {
      while (head != nullptr) {
        Cell* const cell = head;
        head = cell->next;
        std::free(cell);
      }
    }
    lists.kept_bytes = 0;
  }
  void touch() const {}
};

void make_closer() {
  static thread_local Closer closer;
  closer.touch();
}

void wipe(void* block, std::size_t bytes) {
  std::memset(block, 0, bytes);
  __asm__ __volatile__("" : : "r"(block) : "memory");  // the memory is read, as far as the compiler knows
}

}  // namespace

MemoryCounters memory_counters() { return lists.counters; }

bool memory_hooked() {
  const std::uint64_t before = lists.counters.taken;
  OPENSSL_free(OPENSSL_malloc(1));
  return lists.counters.taken != before;
}

extern "C" {

__attribute__((visibility("default"))) void* OPENSSL_memory_alloc(std::size_t size) noexcept;
__attribute__((visibility("default"))) void OPENSSL_memory_free(void* block) noexcept;
__attribute__((visibility("default"))) std::size_t OPENSSL_memory_get_size(void* block) noexcept;

void* OPENSSL_memory_alloc(std::size_t size) noexcept {
  ++lists.counters.taken;
  const std::size_t size_class = class_for(size);
  if (size_class < classes) {
    Cell*& head = lists.free[size_class];
    if (head != nullptr) {
      Cell* const cell = head;
      head = cell->next;
      lists.kept_bytes -= bytes_of(size_class);
      return cell;
    }
    size = bytes_of(size_class);
  }
  ++lists.counters.from_heap;
  return std::malloc(size);
}

void OPENSSL_memory_free(void* block) noexcept {
  const std::size_t bytes = malloc_usable_size(block);
  wipe(block, bytes);
  const std::size_t size_class = (bytes - extra) / step;  // the largest class that fits
  if (size_class >= classes || lists.closed || lists.kept_bytes + bytes_of(size_class) > free_list_bytes_max)
    return std::free(block);
  if (!lists.closer_made) make_closer();
  Cell* const cell = static_cast<Cell*>(block);
  cell->next = lists.free[size_class];
  lists.free[size_class] = cell;
  lists.kept_bytes += bytes_of(size_class);
}

std::size_t OPENSSL_memory_get_size(void* block) noexcept { return malloc_usable_size(block); }

}  // extern "C"

}  // namespace sluice::tls
