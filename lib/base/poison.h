// What free memory of ours looks like: a pattern in debug builds, forbidden to touch under AddressSanitizer.
#pragma once

#include <cstddef>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define SLUICE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLUICE_ASAN 1
#endif
#endif

#ifdef SLUICE_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace sluice::base {

inline constexpr unsigned char poison_byte = 0xdb;

// Marks memory as free: filled in debug builds, then out of bounds under ASan.
inline void poison([[maybe_unused]] void* at, [[maybe_unused]] size_t bytes) noexcept {
#if !defined(NDEBUG) || defined(SLUICE_ASAN)
  std::memset(at, poison_byte, bytes);
#endif
#ifdef SLUICE_ASAN
  ASAN_POISON_MEMORY_REGION(at, bytes);
#endif
}

// Makes it usable again; the content stays what it was.
inline void unpoison([[maybe_unused]] void* at, [[maybe_unused]] size_t bytes) noexcept {
#ifdef SLUICE_ASAN
  ASAN_UNPOISON_MEMORY_REGION(at, bytes);
#endif
}

}  // namespace sluice::base
