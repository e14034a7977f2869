// Pages: memory of the system by the page, for what traffic needs: slabs, arenas, chunks. What is given back leaves the
// process at once, its addresses go to a pool that all threads share. The one place that knows how much is held, and
// how much may be.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::base {

class Pages {
 public:
  // Of any content, aligned to its size, which is a power of two of at least 4 KiB. Of it `bytes` are meant to be used,
  // and count.
  static void* take(size_t size, size_t bytes);
  static void give(void* page, size_t size, size_t bytes) noexcept;  // as it was taken
  static size_t held();  // by all threads
};

// `[runtime] max_memory`: what pages may be held, all workers together. Any thread.
class MemoryLimit {
 public:
  static void set(size_t bytes);
  static size_t bytes();
  // Above it requests are refused, whole or not (whole ones of low priority above 7/8, of high above 9/8); above 5/4 of
  // it new connections and streams.
  static bool above(size_t eighths = 8);
  static bool far_above();
  // Half of it is free: only then does a slab keep what is free, and a connection hold more body than one request may.
  static bool ample();
  // Of `most` streams so many are offered to a connection: all while a half is free, fewer as it fills, never none:
  // shedding begins before refusals.
  static uint32_t streams(uint32_t most);
};

}  // namespace sluice::base
