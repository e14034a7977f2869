// Counts calls of malloc and its kin (operator new included) in the process, and by thread. Defines malloc: include it
// in exactly one file of an executable. Works in sanitizer builds too, through their hooks.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace sluice::support {
inline std::atomic<uint64_t> allocations_made{0};
inline uint64_t allocations() { return allocations_made.load(std::memory_order_relaxed); }

struct ThreadAllocations {
  std::atomic<long> thread{0};
  std::atomic<uint64_t> made{0};
};
inline std::array<ThreadAllocations, 256> by_thread;  // the last one: all threads beyond
inline std::atomic<size_t> threads_seen{0};
inline constinit thread_local ThreadAllocations* own_allocations = nullptr;

inline void count_allocation() {
  allocations_made.fetch_add(1, std::memory_order_relaxed);
  if (own_allocations == nullptr) {
    const size_t place = threads_seen.fetch_add(1, std::memory_order_relaxed);
    own_allocations = &by_thread[place < by_thread.size() ? place : by_thread.size() - 1];
    own_allocations->thread.store(syscall(SYS_gettid), std::memory_order_relaxed);
  }
  own_allocations->made.fetch_add(1, std::memory_order_relaxed);
}

// Those of the threads that live and whose names begin so.
inline uint64_t allocations_of(std::string_view name) {
  uint64_t made = 0;
  for (const ThreadAllocations& one : by_thread) {
    const long thread = one.thread.load(std::memory_order_relaxed);
    if (thread == 0) continue;
    std::string its;
    std::getline(std::ifstream("/proc/self/task/" + std::to_string(thread) + "/comm"), its);
    if (its.starts_with(name)) made += one.made.load(std::memory_order_relaxed);
  }
  return made;
}
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
