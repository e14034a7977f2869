// CHECK: invariants that always hold. A broken one is a bug of ours, so the process aborts with place and text
// rather than go on with a state nobody thought of. DCHECK is compiled out of release builds (hot loops only).
#pragma once

namespace sluice::base {

// Prints "CHECK failed: EXPR at FILE:LINE" to stderr and aborts. Never returns.
[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace sluice::base

#define CHECK(condition)                                     \
  (__builtin_expect(!!(condition), 1) ? static_cast<void>(0) \
                                      : ::sluice::base::check_failed(#condition, __FILE__, __LINE__))

#ifdef NDEBUG
#define DCHECK(condition) static_cast<void>(sizeof(!(condition)))
#else
#define DCHECK(condition) CHECK(condition)
#endif

#define UNREACHABLE() ::sluice::base::check_failed("unreachable", __FILE__, __LINE__)
