// process_*: what every exporter tells of its own process, read from /proc at each scrape.
#pragma once

#include <cstdint>

namespace sluice::metrics {

struct ProcessFacts {
  double cpu_seconds = 0;      // user and system, all threads
  double start_time = 0;       // Unix time
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;        // the soft limit
  uint64_t threads = 0;
};

// Zeros for what cannot be read.
ProcessFacts read_process();

}  // namespace sluice::metrics
