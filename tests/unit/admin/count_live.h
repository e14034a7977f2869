// Counts what operator new has given and delete has not taken back. Replaces both: include it in exactly one file of an
// executable.
#pragma once

#include <atomic>
#include <cstdlib>
#include <new>

namespace sluice::support {
inline std::atomic<long> live_objects{0};
}  // namespace sluice::support

// Not inlined: g++ 14 would warn that what new gave (to it, malloc) goes to delete.
[[gnu::noinline]] void* operator new(size_t bytes) {
  void* const at = std::malloc(bytes);
  if (at == nullptr) std::abort();
  ++sluice::support::live_objects;
  return at;
}
[[gnu::noinline]] void operator delete(void* at) noexcept {
  if (at != nullptr) --sluice::support::live_objects;
  std::free(at);
}
void operator delete(void* at, size_t) noexcept { operator delete(at); }
