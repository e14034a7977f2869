#include "runtime/memory.h"

#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>

#include "base/text.h"
#include "runtime/cgroup.h"

namespace sluice::runtime {

// Version 2 says "max", version 1 a number near 2^63.
uint64_t bytes_of_limit(std::string_view text) {
  return base::parse_u64(text.substr(0, text.find('\n'))).value_or(UINT64_MAX);
}

uint64_t cgroup_memory(const std::string& root) {
  uint64_t least = UINT64_MAX;
  const auto consider = [&](std::string_view controller, const char* file) {
    walk_cgroups(controller, root, [&](const std::string& folder) {
      least = std::min(least, bytes_of_limit(first_line(folder + file).value_or("max")));
    });
  };
  consider("", "/memory.max");
  consider("memory", "/memory.limit_in_bytes");
  return least;
}

uint64_t memory_limit(uint64_t configured) {
  if (configured != 0) return configured;
  const uint64_t machine =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return std::min(machine, cgroup_memory()) / 4 * 3;
}

void give_back_heap() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace sluice::runtime
