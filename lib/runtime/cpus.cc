#include "runtime/cpus.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/text.h"
#include "runtime/cgroup.h"

namespace sluice::runtime {
namespace {

std::string all_of(const std::string& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace

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

std::optional<double> throttled_seconds(std::string_view cpu_stat) {
  while (!cpu_stat.empty()) {
    const std::string_view line = cpu_stat.substr(0, cpu_stat.find('\n'));
    cpu_stat.remove_prefix(std::min(line.size() + 1, cpu_stat.size()));
    const size_t blank = line.find(' ');
    if (blank == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, blank);
    const double scale = key == "throttled_usec" ? 1e6 : key == "throttled_time" ? 1e9 : 0;
    const auto count = base::parse_u64(line.substr(blank + 1));
    if (scale != 0 && count) return static_cast<double>(*count) / scale;
  }
  return std::nullopt;
}

Throttling::Throttling(const std::string& root) {
  for (const std::string_view controller : {"", "cpu"}) {
    walk_cgroups(controller, root, [this](const std::string& folder) {
      if (throttled_seconds(all_of(folder + "/cpu.stat"))) files_.push_back(folder + "/cpu.stat");
    });
  }
}

double Throttling::seconds() const {
  double most = 0;
  for (const std::string& file : files_) most = std::max(most, throttled_seconds(all_of(file)).value_or(0));
  return most;
}

}  // namespace sluice::runtime
