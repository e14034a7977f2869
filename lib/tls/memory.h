// What BoringSSL allocates comes from per-thread free lists, so that connections and requests in their steady state ask
// the heap for nothing. The hooks (OPENSSL_memory_alloc, _free, _get_size) are weak symbols of libcrypto; they work in
// every executable that links this library, and hooked() tells whether they do. Memory may be freed by another thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::tls {

struct MemoryCounters {
  std::uint64_t taken = 0;  // allocations of BoringSSL on this thread
  std::uint64_t from_heap = 0;  // of these, the ones that no free list could serve
};
MemoryCounters memory_counters();
bool memory_hooked();

inline constexpr std::size_t free_list_cell_bytes_max = 4096;  // larger ones go to the heap at once
inline constexpr std::size_t free_list_bytes_max = 512 * 1024;  // kept on one thread, all sizes together

}  // namespace sluice::tls
