// The end of a process whose state is not what its code relies on. Written with poll(2) and write(2) alone, as nothing
// else can be trusted then.
#include "base/check.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace sluice::base {

void check_failed(const char* expression, const char* file, int line) noexcept {
  char text[512];
  const int n = std::snprintf(text, sizeof text, "CHECK failed: %s at %s:%d\n", expression, file, line);
  const size_t size = n < 0 ? 0 : (static_cast<size_t>(n) < sizeof text ? static_cast<size_t>(n) : sizeof text - 1);
  // A stderr that takes nothing must not keep us alive. So short a text fits where poll() sees room.
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  constexpr int patience_ms = 100;
  if (poll(&room, 1, patience_ms) == 1) {
    [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, text, size);  // nobody is left to tell
  }
  std::abort();
}

}  // namespace sluice::base
