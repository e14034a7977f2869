// Memory for nghttp2's HPACK and the tables of streams: pages by size, one set per thread, so that a connection in
// steady state asks malloc for nothing. Blocks stay on the thread that took them.
#pragma once

#include <cstddef>

namespace sluice::http2 {

class Memory {
 public:
  static constexpr size_t free_bytes_kept = 32 * 1024;  // of each size: what is taken lives as long as its connection

  static void* take(size_t bytes) noexcept;  // nullptr: larger than any block may be
  static void* take_zeroed(size_t n, size_t bytes) noexcept;
  static void* resize(void* block, size_t bytes) noexcept;  // block may be nullptr
  static void give(void* block) noexcept;  // nullptr: nothing
  // In use on this thread (tests): blocks, and the bytes they take.
  static size_t live();
  static size_t live_bytes();
};

}  // namespace sluice::http2
