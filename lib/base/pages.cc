// Addresses without memory behind them wait by size. The heap would write its own marks into what is free, and so keep
// a quarter of it. Slabs keep what is in use again and again: here a lock a page is seldom, and the count beside it is
// written no oftener.
#include "base/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/check.h"

namespace sluice::base {
namespace {

constexpr size_t system_page_bytes = 4096;

std::atomic<size_t> held_bytes{0};
std::atomic<size_t> limit_bytes{SIZE_MAX};

size_t rounded(size_t bytes) { return (bytes + system_page_bytes - 1) & ~(system_page_bytes - 1); }

class Addresses {
 public:
  static constexpr size_t span_bytes = size_t{1} << 20;  // asked of the system at a time

  void* take(size_t size) {
    const std::lock_guard lock(mutex_);
    std::vector<void*>& pages = free_[static_cast<size_t>(std::bit_width(size))];
    if (pages.empty()) map(size, pages);
    void* const page = pages.back();
    pages.pop_back();
    return page;
  }
  void give(void* page, size_t size) {
    madvise(page, size, MADV_DONTNEED);  // advice: if it is not taken the memory stays with the page
    const std::lock_guard lock(mutex_);
    free_[static_cast<size_t>(std::bit_width(size))].push_back(page);
  }

 private:
  static void map(size_t size, std::vector<void*>& to) {
    const size_t span_size = std::max(span_bytes, size) + size;  // room to align in
    void* const span =
        mmap(nullptr, span_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(span != MAP_FAILED);
    madvise(span, span_size, MADV_NOHUGEPAGE);  // or 2 MiB come with the first byte
    const size_t skip = (size - (reinterpret_cast<uintptr_t>(span) & (size - 1))) & (size - 1);
    char* const first = static_cast<char*>(span) + skip;
    for (size_t i = (span_size - skip) / size; i-- > 0;)
      to.push_back(first + i * size);  // so that they go out in rising order
  }
  std::mutex mutex_;
  std::array<std::vector<void*>, 64> free_;
};

// Never destroyed: what dies at the end of the process may still give back.
Addresses& addresses() {
  static Addresses& all = *std::make_unique<Addresses>().release();
  return all;
}

}  // namespace

void* Pages::take(size_t size, size_t bytes) {
  DCHECK(size >= system_page_bytes && std::has_single_bit(size) && bytes <= size);
  held_bytes.fetch_add(rounded(bytes), std::memory_order_relaxed);
  return addresses().take(size);
}

void Pages::give(void* page, size_t size, size_t bytes) noexcept {
  addresses().give(page, size);
  held_bytes.fetch_sub(rounded(bytes), std::memory_order_relaxed);
}

size_t Pages::held() { return held_bytes.load(std::memory_order_relaxed); }

void MemoryLimit::set(size_t bytes) { limit_bytes.store(bytes, std::memory_order_relaxed); }
size_t MemoryLimit::bytes() { return limit_bytes.load(std::memory_order_relaxed); }
bool MemoryLimit::above(size_t eighths) {
  const size_t held = Pages::held();
  const size_t most = bytes();
  const size_t eighth = most / 8;
  if (eighths <= 8) return held > most - eighth * (8 - eighths);
  return held > most && held - most > eighth * (eighths - 8);
}
bool MemoryLimit::ample() { return Pages::held() <= bytes() / 2; }
bool MemoryLimit::far_above() {
  const size_t held = Pages::held();
  const size_t most = bytes();
  return held > most && held - most > most / 4;
}

// All up to a half of the limit, a half up to three quarters, an eighth up to all of it; from there on one at a time.
uint32_t MemoryLimit::streams(uint32_t most) {
  const size_t held = Pages::held();
  const size_t limit = bytes();
  if (ample()) return most;
  if (held <= limit - limit / 4) return std::max<uint32_t>(most / 2, 1);
  if (held <= limit) return std::max<uint32_t>(most / 8, 1);
  return 1;
}

}  // namespace sluice::base
