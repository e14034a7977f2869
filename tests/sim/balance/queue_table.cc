#include "queue_table.h"

#include <array>
#include <cstdio>
#include <fstream>
#include <vector>

#include "plot.h"
#include "queues.h"

namespace sluice::sim {
namespace {

struct Named {
  const char* name;
  Policy policy;
  std::uint32_t limit;
};
// The server works on 20 at a time. 10,000 is no limit: whoever comes is sent there.
constexpr std::array<Named, 6> policies{{{"no limit", Policy::first_come, 10'000},
                                         {"first come", Policy::first_come, 20},
                                         {"last come", Policy::last_come, 20},
                                         {"sluice", Policy::shedding, 20},
                                         {"sluice, limit 80", Policy::shedding, 80},
                                         {"sluice, adaptive", Policy::shedding, 0}}};
constexpr std::array<double, 7> loads{0.5, 0.8, 0.95, 1.1, 1.5, 2, 3};

using Row = std::array<QueueResult, loads.size()>;
using Table = std::array<Row, policies.size()>;

bool write(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  return static_cast<bool>(file.flush());
}

bool plot(const std::string& folder, const Table& table) {
  std::vector<std::string> groups;
  for (const double load : loads) groups.push_back("load " + std::to_string(load).substr(0, 4));
  std::vector<Series> good;
  std::vector<Series> time;
  for (std::size_t p = 0; p < policies.size(); ++p) {
    good.push_back({policies[p].name, {}});
    time.push_back({policies[p].name, {}});
    for (const QueueResult& r : table[p]) {
      good.back().values.push_back(100 * r.good);
      time.back().values.push_back(r.time_p99);
    }
  }
  return write(folder + "/queue-good.svg",
               bars("Answers within a second", "% of what was possible", groups, good, 110)) &&
         write(folder + "/queue-time.svg", bars("Time until those answers, p99", "ms", groups, time, 1'000));
}

void expect(bool holds, const Named& policy, double load, const char* what, int& faults) {
  if (holds) return;
  std::printf("does not hold: %s at load %g: %s\n", policy.name, load, what);
  ++faults;
}

// What docs/balancing.md says, with room for a short run.
void check(const Table& table, int& faults) {
  for (std::size_t p = 0; p < policies.size(); ++p) {
    for (std::size_t l = 0; l < loads.size(); ++l) {
      const QueueResult& r = table[p][l];
      if (loads[l] < 1) expect(r.good > 0.98, policies[p], loads[l], "below the capacity all are answered", faults);
      if (policies[p].policy != Policy::shedding || loads[l] < 1.5) continue;
      expect(r.good > 0.9, policies[p], loads[l], "above it the work is not less", faults);
      expect(r.told_p50 < 400, policies[p], loads[l], "who is refused knows soon", faults);
      expect(r.wasted < 0.01, policies[p], loads[l], "nobody works for who has left", faults);
    }
  }
  const QueueResult& open = table[0][4];
  expect(open.good < 0.2, policies[0], loads[4], "without a limit the work is for who has left", faults);
}

}  // namespace

bool queue_table(double seconds, const std::string& plots, int& faults) {
  std::printf("\n%-17s %5s %9s %9s %9s %9s %7s\n", "policy", "load", "good %", "time p50", "time p99", "told p50",
              "wasted");
  Table table;
  for (std::size_t p = 0; p < policies.size(); ++p) {
    for (std::size_t l = 0; l < loads.size(); ++l) {
      const QueueResult r = run(
          QueueStory{.policy = policies[p].policy, .limit = policies[p].limit, .load = loads[l], .seconds = seconds});
      std::printf("%-17s %5g %9.1f %9.1f %9.1f %9.1f %7.3f\n", policies[p].name, loads[l], 100 * r.good, r.time_p50,
                  r.time_p99, r.told_p50, r.wasted);
      table[p][l] = r;
    }
  }
  check(table, faults);
  return plots.empty() || plot(plots, table);
}

}  // namespace sluice::sim
