#include "runtime/memory.h"

#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "runtime/cgroup.h"

namespace sluice::runtime {

// Version 2 says "max", version 1 a number near 2^63.
uint64_t bytes_of_limit(std::string_view text) { return base::parse_u64(text.substr(0, text.find('\n'))).value_or(UINT64_MAX); }

uint64_t memory_limit(uint64_t configured) {
  if (configured != 0) return configured;
  uint64_t least = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const auto consider = [&least](std::string_view line) { least = std::min(least, bytes_of_limit(line)); };
  walk_cgroups("", "memory.max", consider);
  walk_cgroups("memory", "memory.limit_in_bytes", consider);
  return least / 4 * 3;
}

}  // namespace sluice::runtime
