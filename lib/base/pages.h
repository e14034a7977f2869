// Pages: memory of the system by the page, for what traffic needs: slabs, arenas, chunks. What is given back leaves the process at once,
// its addresses go to a pool that all threads share. The one place that knows how much is held.
#pragma once

#include <cstddef>

namespace sluice::base {

class Pages {
 public:
  // Of any content, aligned to its size, which is a power of two of at least 4 KiB. Of it `bytes` are meant to be used, and count.
  static void* take(size_t size, size_t bytes);
  static void give(void* page, size_t size, size_t bytes) noexcept;   // as it was taken
  static size_t held();                                               // by all threads
};

}  // namespace sluice::base
