// Pages of equal cells. A page is aligned to its size, so a cell finds its page by masking; pages with a free cell
// stand in one doubly linked list. Some wholly free pages are kept, for the batches of streams that begin and end in
// one turn on HTTP/2; every further one goes back at once, all of them do when half of max_memory is held, and of those
// that are kept what was not needed since the last trim.
#include "base/slab.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/check.h"
#include "base/pages.h"
#include "base/poison.h"

namespace sluice::base {

struct SlabPages::Cell {
  Cell* next;
};

struct alignas(16) SlabPages::Page {
  Page* next;
  Page* prev;
  Cell* free;
  SlabPages* home;
  size_t used;
};

namespace {

constexpr size_t usual_page_bytes = size_t{16} * 1024;
constexpr size_t least_cells = 3;  // of a page, so that big objects share pages as well
constexpr size_t shared_max = 24 * 1024;  // larger ones have one each, or one of them would keep much
constexpr size_t header_bytes = 48;

size_t page_bytes(size_t cell_bytes) {
  const size_t cells = cell_bytes > shared_max ? 1 : least_cells;
  return std::max(usual_page_bytes, std::bit_ceil(header_bytes + cells * cell_bytes));
}

// Of this thread, so that all of them can be trimmed.
thread_local List<SlabPages, SlabTag> slabs_of_thread;

}  // namespace

SlabPages::SlabPages(size_t cell_bytes, size_t free_bytes)
    : cell_bytes_((std::max(cell_bytes, sizeof(Cell)) + 15) & ~size_t{15}),
      page_bytes_(page_bytes(cell_bytes_)),
      cells_per_page_(cell_bytes_ > shared_max ? 1 : (page_bytes_ - header_bytes) / cell_bytes_),
      pages_kept_(std::max<size_t>(1, free_bytes / page_bytes_)) {
  static_assert(sizeof(Page) == header_bytes);
  slabs_of_thread.push_back(*this);
}

SlabPages::~SlabPages() {
  CHECK(in_use_ == 0);
  while (partial_ != nullptr) give_page(partial_);
}

SlabPages::Page* SlabPages::take_page() {
  auto* page = static_cast<Page*>(Pages::take(page_bytes_, header_bytes + cells_per_page_ * cell_bytes_));
  *page = Page{nullptr, nullptr, nullptr, this, 0};
  char* cells = reinterpret_cast<char*>(page + 1);
  for (size_t i = cells_per_page_; i-- > 0;) {  // so that cells go out in rising order
    void* cell = cells + i * cell_bytes_;
    static_cast<Cell*>(cell)->next = page->free;
    page->free = static_cast<Cell*>(cell);
    poison(static_cast<char*>(cell) + sizeof(Cell), cell_bytes_ - sizeof(Cell));
  }
  ++free_pages_;
  return page;
}

// A free one, out of the list.
void SlabPages::give_page(Page* page) noexcept {
  --free_pages_;
  if (page->prev != nullptr) page->prev->next = page->next;
  if (page->next != nullptr) page->next->prev = page->prev;
  if (partial_ == page) partial_ = page->next;
  unpoison(page, page_bytes_);
  Pages::give(page, page_bytes_, header_bytes + cells_per_page_ * cell_bytes_);
}

void SlabPages::trim() noexcept {
  for (Page *page = partial_, *next = nullptr; page != nullptr && idle_pages_ > 0; page = next) {
    next = page->next;
    if (page->used > 0) continue;
    give_page(page);
    --idle_pages_;
  }
  idle_pages_ = free_pages_;
}

bool SlabPages::trim_thread() noexcept {
  bool more = false;
  for (SlabPages* slab = slabs_of_thread.front(); slab != nullptr; slab = slabs_of_thread.next(*slab)) {
    if (slab->free_pages_ == 0) continue;
    slab->trim();
    more = more || slab->free_pages_ != 0;
  }
  return more;
}

void* SlabPages::take() {
  if (partial_ == nullptr) partial_ = take_page();
  Page* page = partial_;
  Cell* cell = page->free;
  unpoison(cell, cell_bytes_);
  page->free = cell->next;
  if (page->used++ == 0) idle_pages_ = std::min(idle_pages_, --free_pages_);
  if (page->free == nullptr) {  // full: leaves the list, which it heads
    partial_ = page->next;
    if (partial_ != nullptr) partial_->prev = nullptr;
    page->next = nullptr;
  }
  ++in_use_;
  return cell;
}

void SlabPages::give(void* memory) noexcept {
  const size_t into_page = reinterpret_cast<uintptr_t>(memory) & (page_bytes_ - 1);
  void* const page_start = static_cast<char*>(memory) - into_page;
  auto* page = static_cast<Page*>(page_start);
  CHECK(page->used > 0 && in_use_ > 0);
  DCHECK(page->home == this);  // or it came from another slab, which may be another thread's
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
  if (++free_pages_ > pages_kept_ || !MemoryLimit::ample()) give_page(page);
}

}  // namespace sluice::base
