// How many processors this process may use: the least of its CPU affinity and the CPU limits of its cgroups, rounded
// up.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::runtime {

// At least 1. Read once at start.
uint32_t usable_cpus();

// What the cgroups allow, of version 2 (cpu.max) and 1 (cpu.cfs_quota_us and cpu.cfs_period_us), rounded up; 0 = no
// limit. `root`: see walk_cgroups().
uint32_t cgroup_cpus(const std::string& root = "");

// The text of cpu.max ("max 100000", "150000 100000"), or quota and period of version 1 in one ("-1 100000"), as
// processors, rounded up; 0 = no limit or not readable.
uint32_t cpus_of_quota(std::string_view quota_and_period);

}  // namespace sluice::runtime
