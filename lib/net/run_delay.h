// RunDelay: for how long a thread was runnable without a CPU, as the kernel counts it (/proc/thread-self/schedstat,
// Documentation/scheduler/sched-stats.rst): waits behind other threads, and throttling by a cgroup.
#pragma once

#include <string_view>

#include "base/clock.h"
#include "net/fd.h"

namespace sluice::net {

class RunDelay {
 public:
  // From the thread that it is about, which is the one that reads it (it opens the file at the first read). Since the
  // thread began; negative: this kernel does not tell. One pread.
  base::Micros read();

 private:
  Fd file_;
  bool asked_ = false;
};

// The second field of the line, which is in nanoseconds. Negative: it is none.
base::Micros parse_run_delay(std::string_view schedstat);

}  // namespace sluice::net
