// Counts calls of malloc and its kin (operator new included) in the process. Defines malloc: include it in exactly one
// file of an executable. Works in sanitizer builds too, through their hooks.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace sluice::support {
inline std::atomic<uint64_t> allocations_made{0};
inline uint64_t allocations() { return allocations_made.load(std::memory_order_relaxed); }
inline void count_allocation() { allocations_made.fetch_add(1, std::memory_order_relaxed); }
}  // namespace sluice::support

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLUICE_COUNT_BY_HOOK 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLUICE_COUNT_BY_HOOK 1
#endif
#endif

#ifdef SLUICE_COUNT_BY_HOOK
// NOLINTBEGIN: names of the sanitizer runtime and of glibc
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, size_t),
                                                         void (*on_free)(const volatile void*));
namespace sluice::support {
inline const int allocation_hook_installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { count_allocation(); }, [](const volatile void*) {});
}  // namespace sluice::support
#else
extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t n, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);
void* __libc_memalign(size_t align, size_t bytes);
void* malloc(size_t bytes) {
  sluice::support::count_allocation();
  return __libc_malloc(bytes);
}
void* calloc(size_t n, size_t bytes) {
  sluice::support::count_allocation();
  return __libc_calloc(n, bytes);
}
void* realloc(void* old, size_t bytes) {
  sluice::support::count_allocation();
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(size_t align, size_t bytes) {
  sluice::support::count_allocation();
  return __libc_memalign(align, bytes);
}
int posix_memalign(void** to, size_t align, size_t bytes) {
  sluice::support::count_allocation();
  *to = __libc_memalign(align, bytes);
  return *to == nullptr ? ENOMEM : 0;
}
}
// NOLINTEND
#endif
