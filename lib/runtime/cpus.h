// How many processors this process may use: the least of its CPU affinity and the CPU limits of its cgroups, rounded
// up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::runtime {

// At least 1. Read once at start.
uint32_t usable_cpus();

// What the cgroups allow, of version 2 (cpu.max) and 1 (cpu.cfs_quota_us and cpu.cfs_period_us), rounded up; 0 = no
// limit. `root`: see walk_cgroups().
uint32_t cgroup_cpus(const std::string& root = "");

// The text of cpu.max ("max 100000", "150000 100000"), or quota and period of version 1 in one ("-1 100000"), as
// processors, rounded up; 0 = no limit or not readable.
uint32_t cpus_of_quota(std::string_view quota_and_period);

// How long cgroups held our threads back at their CPU limits.
class Throttling {
 public:
  explicit Throttling(const std::string& root = "");  // finds the files; see walk_cgroups()
  bool known() const { return !files_.empty(); }
  // Reads them; any thread. Of the cgroup that held back most, of ours and those above it: each counts its own.
  double seconds() const;

 private:
  std::vector<std::string> files_;
};

// Of a cpu.stat: throttled_usec of version 2, throttled_time (nanoseconds) of version 1; nullopt: it has neither.
std::optional<double> throttled_seconds(std::string_view cpu_stat);

}  // namespace sluice::runtime
