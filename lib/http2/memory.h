// Memory for nghttp2: free lists by size, one set per thread, so that a connection in steady state asks malloc for nothing.
// Blocks stay on the thread that took them.
#pragma once

#include <cstddef>

namespace sluice::http2 {

class Memory {
 public:
  static constexpr size_t largest_bytes = 32 * 1024;        // larger blocks go to malloc each time
  static constexpr size_t kept_bytes_max = 256 * 1024;      // free bytes kept for each size

  static void* take(size_t bytes) noexcept;                 // nullptr if there is none
  static void* take_zeroed(size_t n, size_t bytes) noexcept;
  static void* resize(void* block, size_t bytes) noexcept;  // block may be nullptr
  static void give(void* block) noexcept;                   // nullptr: nothing
  // In use on this thread (tests): blocks, and the bytes they take.
  static size_t live();
  static size_t live_bytes();
};

}  // namespace sluice::http2
