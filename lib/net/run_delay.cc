#include "net/run_delay.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "base/text.h"

namespace sluice::net {

base::Micros parse_run_delay(std::string_view schedstat) {
  const size_t first = schedstat.find(' ');
  if (first == std::string_view::npos) return base::Micros{-1};
  const std::string_view rest = schedstat.substr(first + 1);
  const auto nanos = base::parse_u64(rest.substr(0, rest.find(' ')));
  return nanos ? base::Micros{static_cast<int64_t>(*nanos / 1000)} : base::Micros{-1};
}

base::Micros RunDelay::read() {
  if (!std::exchange(asked_, true)) file_.reset(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  if (!file_) return base::Micros{-1};
  char text[128];
  const ssize_t got = ::pread(file_.value(), text, sizeof text, 0);
  return got > 0 ? parse_run_delay({text, static_cast<size_t>(got)}) : base::Micros{-1};
}

}  // namespace sluice::net
