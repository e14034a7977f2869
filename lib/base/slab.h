// Slab: recycled objects of one type, one slab per thread and type. Freed cells are poisoned in debug and sanitizer
// builds. Cells come in pages of about 16 KB; of those that are wholly free 256 KB are kept, until a trim finds them
// idle, and the others go back to the system: a burst is not paid for ever.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "base/list.h"

namespace sluice::base {

// Untyped part: cells of `cell_bytes`, aligned to 16. Belongs to the thread that made it.
class SlabPages : public ListHook<class SlabTag> {
 public:
  static constexpr size_t free_bytes_kept = 256 * 1024;  // but one page at least

  explicit SlabPages(size_t cell_bytes, size_t free_bytes = free_bytes_kept);
  SlabPages(const SlabPages&) = delete;
  SlabPages& operator=(const SlabPages&) = delete;
  ~SlabPages();  // CHECKs that every cell is back
  void* take();
  void give(void* cell) noexcept;
  // Gives back the free pages of all slabs of this thread that were not needed since the last call. Whether free ones
  // are left.
  static bool trim_thread() noexcept;
  size_t in_use() const { return in_use_; }
  size_t free_pages() const { return free_pages_; }
  size_t cells_per_page() const { return cells_per_page_; }

 private:
  struct Page;
  struct Cell;
  Page* take_page();
  void give_page(Page* page) noexcept;
  void trim() noexcept;

  Page* partial_ = nullptr;  // pages with at least one free cell
  size_t cell_bytes_;
  size_t page_bytes_;
  size_t cells_per_page_;
  size_t pages_kept_;
  size_t in_use_ = 0;
  size_t free_pages_ = 0;
  size_t idle_pages_ = 0;  // of these, not needed since the last trim
};

template <class T>
class Slab {
 public:
  Slab() : pages_(sizeof(T)) {}
  // Constructs a T in a recycled cell.
  template <class... Args>
  T* make(Args&&... args) {
    return ::new (pages_.take()) T(std::forward<Args>(args)...);
  }
  // Destroys it and takes the cell back. `object` came from make() of this slab.
  void recycle(T* object) noexcept {
    object->~T();
    pages_.give(object);
  }
  size_t in_use() const { return pages_.in_use(); }

 private:
  SlabPages pages_;
};

}  // namespace sluice::base
