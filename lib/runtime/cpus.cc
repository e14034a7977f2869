#include "runtime/cpus.h"

#include <sched.h>

#include <algorithm>

#include "base/text.h"
#include "runtime/cgroup.h"

namespace sluice::runtime {
uint32_t cpus_of_quota(std::string_view quota_and_period) {
  const size_t blank = quota_and_period.find(' ');
  if (blank == std::string_view::npos) return 0;
  std::string_view rest = quota_and_period.substr(blank + 1);
  rest = rest.substr(0, rest.find_first_of(" \n"));
  const auto quota = base::parse_u64(quota_and_period.substr(0, blank));
  const auto period = base::parse_u64(rest);
  if (!quota || !period || *period == 0) return 0;
  return static_cast<uint32_t>(std::clamp<uint64_t>((*quota + *period - 1) / *period, 1, 4096));
}

uint32_t cgroup_cpus(const std::string& root) {
  uint32_t least = 0;
  const auto consider = [&least](std::string_view text) {
    const uint32_t quota = cpus_of_quota(text);
    if (quota != 0 && (least == 0 || quota < least)) least = quota;
  };
  walk_cgroups("", root, [&](const std::string& folder) { consider(first_line(folder + "/cpu.max").value_or("")); });
  walk_cgroups("cpu", root, [&](const std::string& folder) {
    const auto quota = first_line(folder + "/cpu.cfs_quota_us");   // -1: none
    const auto period = first_line(folder + "/cpu.cfs_period_us");
    if (quota && period) consider(*quota + " " + *period);
  });
  return least;
}

uint32_t usable_cpus() {
  cpu_set_t set;
  uint32_t count = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = std::max(1, CPU_COUNT(&set));
  const uint32_t quota = cgroup_cpus();
  return quota == 0 ? count : std::min(count, quota);
}

}  // namespace sluice::runtime
