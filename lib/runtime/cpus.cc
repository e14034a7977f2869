#include "runtime/cpus.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/text.h"

namespace sluice::runtime {
namespace {

// The folder of our cgroup (version 2): the line "0::/path" of /proc/self/cgroup.
std::string own_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  }
  return "/sys/fs/cgroup";
}

}  // namespace

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
  // The limit of a parent holds too, so the way up to the root is walked.
  std::string folder = own_cgroup();
  while (folder.starts_with("/sys/fs/cgroup")) {
    std::string line;
    std::ifstream file(folder + "/cpu.max");
    if (std::getline(file, line)) {
      if (const uint32_t quota = cpus_of_quota(line); quota != 0) count = std::min(count, quota);
    }
    folder.resize(folder.find_last_of('/'));
  }
  return count;
}

}  // namespace sluice::runtime
