#include "runtime/cpus.h"

#include <sched.h>

#include <algorithm>

#include "base/text.h"
#include "runtime/cgroup.h"

namespace sluice::runtime {
uint32_t cpus_of_quota(std::string_view cpu_max) {
  const size_t blank = cpu_max.find(' ');
  if (blank == std::string_view::npos) return 0;
  std::string_view rest = cpu_max.substr(blank + 1);
  rest = rest.substr(0, rest.find_first_of(" \n"));
  const auto quota = base::parse_u64(cpu_max.substr(0, blank));
  const auto period = base::parse_u64(rest);
  if (!quota || !period || *period == 0) return 0;
  return static_cast<uint32_t>(std::clamp<uint64_t>((*quota + *period - 1) / *period, 1, 4096));
}

uint32_t usable_cpus() {
  cpu_set_t set;
  uint32_t count = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = std::max(1, CPU_COUNT(&set));
  walk_cgroups("", "cpu.max", [&count](std::string_view line) {
    if (const uint32_t quota = cpus_of_quota(line); quota != 0) count = std::min(count, quota);
  });
  return count;
}

}  // namespace sluice::runtime
