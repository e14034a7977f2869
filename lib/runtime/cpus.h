// How many processors this process may use: the lesser of its CPU affinity and its cgroup's cpu.max, rounded up.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::runtime {

// At least 1. Read once at start.
uint32_t usable_cpus();

// The text of cpu.max ("max 100000", "150000 100000") as processors, rounded up; 0 = no limit or not readable.
uint32_t cpus_of_quota(std::string_view cpu_max);

}  // namespace sluice::runtime
