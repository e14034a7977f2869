// Pages of equal cells. A page is aligned to its size, so a cell finds its page by masking; pages with a free cell stand
// in one doubly linked list. Some wholly free pages are kept, for the batches of streams that begin and end in one turn on HTTP/2;
// the memory of every further one goes back to the system, and its addresses to a pool that all threads share: the heap would write
// its own marks into it, and so keep a quarter of it.
#include "base/slab.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "base/poison.h"

namespace sluice::base {

struct SlabPages::Cell {
  Cell* next;
};

struct alignas(16) SlabPages::Page {
  Page* next;
  Page* prev;
  Cell* free;
  size_t used;
};

namespace {

constexpr size_t usual_page_bytes = size_t{16} * 1024;
constexpr size_t least_cells = 3;       // of a page, so that big objects share pages as well
constexpr size_t header_bytes = 32;

size_t page_bytes(size_t cell_bytes) { return std::max(usual_page_bytes, std::bit_ceil(header_bytes + least_cells * cell_bytes)); }

// Pages that no slab has: addresses without memory behind them, by page size. Locked once a page, which is seldom.
class PagePool {
 public:
  static constexpr size_t span_bytes = size_t{1} << 20;     // asked of the system at a time

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::vector<void*>& pages = free_[static_cast<size_t>(std::bit_width(bytes))];
    if (pages.empty()) map(bytes, pages);
    void* const page = pages.back();
    pages.pop_back();
    return page;
  }
  void give(void* page, size_t bytes) {
    madvise(page, bytes, MADV_DONTNEED);                    // advice: if it is not taken the memory stays with the page
    const std::lock_guard lock(mutex_);
    free_[static_cast<size_t>(std::bit_width(bytes))].push_back(page);
  }

 private:
  static void map(size_t bytes, std::vector<void*>& to) {
    const size_t size = std::max(span_bytes, bytes) + bytes;   // room to align in
    void* const span = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(span != MAP_FAILED);
    madvise(span, size, MADV_NOHUGEPAGE);                   // or 2 MiB come with the first cell
    const size_t skip = (bytes - (reinterpret_cast<uintptr_t>(span) & (bytes - 1))) & (bytes - 1);
    char* const first = static_cast<char*>(span) + skip;
    for (size_t i = (size - skip) / bytes; i-- > 0;) to.push_back(first + i * bytes);   // so that they go out in rising order
  }
  std::mutex mutex_;
  std::array<std::vector<void*>, 64> free_;
};

PagePool& page_pool() {
  static PagePool pool;
  return pool;
}

}  // namespace

SlabPages::SlabPages(size_t cell_bytes, size_t free_bytes)
    : cell_bytes_((std::max(cell_bytes, sizeof(Cell)) + 15) & ~size_t{15}),
      cells_per_page_((page_bytes(cell_bytes_) - header_bytes) / cell_bytes_),
      pages_kept_(std::max<size_t>(1, free_bytes / page_bytes(cell_bytes_))) {
  static_assert(sizeof(Page) == header_bytes);
}

SlabPages::~SlabPages() {
  CHECK(in_use_ == 0);
  while (partial_ != nullptr) {
    Page* page = partial_;
    partial_ = page->next;
    unpoison(page, page_bytes(cell_bytes_));
    page_pool().give(page, page_bytes(cell_bytes_));
  }
}

void* SlabPages::take() {
  if (partial_ == nullptr) {
    const size_t bytes = page_bytes(cell_bytes_);
    auto* page = static_cast<Page*>(page_pool().take(bytes));
    *page = Page{nullptr, nullptr, nullptr, 0};
    char* cells = reinterpret_cast<char*>(page + 1);
    for (size_t i = cells_per_page_; i-- > 0;) {  // so that cells go out in rising order
      void* cell = cells + i * cell_bytes_;
      static_cast<Cell*>(cell)->next = page->free;
      page->free = static_cast<Cell*>(cell);
      poison(static_cast<char*>(cell) + sizeof(Cell), cell_bytes_ - sizeof(Cell));
    }
    partial_ = page;
    ++free_pages_;
  }
  Page* page = partial_;
  Cell* cell = page->free;
  unpoison(cell, cell_bytes_);
  page->free = cell->next;
  if (page->used++ == 0) --free_pages_;
  if (page->free == nullptr) {  // full: leaves the list, which it heads
    partial_ = page->next;
    if (partial_ != nullptr) partial_->prev = nullptr;
    page->next = nullptr;
  }
  ++in_use_;
  return cell;
}

void SlabPages::give(void* memory) noexcept {
  const size_t bytes = page_bytes(cell_bytes_);
  const size_t into_page = reinterpret_cast<uintptr_t>(memory) & (bytes - 1);
  void* const page_start = static_cast<char*>(memory) - into_page;
  auto* page = static_cast<Page*>(page_start);
  CHECK(page->used > 0 && in_use_ > 0);
  auto* cell = static_cast<Cell*>(memory);
  const bool was_full = page->free == nullptr;
  cell->next = page->free;
  page->free = cell;
  poison(reinterpret_cast<char*>(cell) + sizeof(Cell), cell_bytes_ - sizeof(Cell));
  --in_use_;
  if (was_full) {
    page->prev = nullptr;
    page->next = partial_;
    if (partial_ != nullptr) partial_->prev = page;
    partial_ = page;
  }
  if (--page->used > 0) return;
  if (++free_pages_ <= pages_kept_) return;
  --free_pages_;
  if (page->prev != nullptr) page->prev->next = page->next;
  if (page->next != nullptr) page->next->prev = page->prev;
  if (partial_ == page) partial_ = page->next;
  unpoison(page, bytes);
  page_pool().give(page, bytes);
}

}  // namespace sluice::base
