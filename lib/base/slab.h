// Slab: recycled objects of one type, one slab per thread and type. Freed cells are poisoned in debug and sanitizer
// builds. Cells come in pages of about 16 KB; of those that are wholly free 256 KB are kept and the others go back to the system, so
// a burst is not paid for ever.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace sluice::base {

// Untyped part: cells of `cell_bytes`, aligned to 16. Not thread-safe.
class SlabPages {
 public:
  static constexpr size_t free_bytes_kept = 256 * 1024;   // but one page at least

  explicit SlabPages(size_t cell_bytes, size_t free_bytes = free_bytes_kept);
  SlabPages(const SlabPages&) = delete;
  SlabPages& operator=(const SlabPages&) = delete;
  ~SlabPages();  // CHECKs that every cell is back
  void* take();
  void give(void* cell) noexcept;
  size_t in_use() const { return in_use_; }
  size_t free_pages() const { return free_pages_; }

 private:
  struct Page;
  struct Cell;
  Page* partial_ = nullptr;  // pages with at least one free cell
  size_t cell_bytes_;
  size_t cells_per_page_;
  size_t pages_kept_;
  size_t in_use_ = 0;
  size_t free_pages_ = 0;
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
