// The simulation of docs/balancing.md: each picker against each trouble.
//   sim_balance [--instances N] [--servers N] [--requests N] [--spread X] [--load X] [--seconds X] [--plots DIR]
//               [--check]
// At most 1,000 instances and 1,000 servers (about 600 MB). Prints one line a run; --plots writes the SVG files;
// --check ends with 1 unless what the documentation says of each picker holds (short, for CI). A second table is of
// queues: policies and limits under loads up to three times the capacity, `--seconds` each (queue_table.h).
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "model.h"
#include "plot.h"
#include "queue_table.h"

namespace {

using namespace sluice;
using namespace sluice::sim;
using upstream::Balance;

struct Named {
  const char* name;
  Balance balance;
};
constexpr Named pickers[] = {{"p2c", Balance::p2c},
                             {"p2c_ewma", Balance::p2c_ewma},
                             {"round_robin", Balance::round_robin},
                             {"least_requests", Balance::least_requests},
                             {"ring_hash", Balance::ring_hash}};

struct Setting {
  const char* name;
  Trouble trouble;
  base::Millis slow_start;
};
constexpr Setting stories[] = {{"equal", Trouble::none, base::Millis{0}},
                               {"one 10x slower", Trouble::slow, base::Millis{0}},
                               {"one lost", Trouble::lost, base::Millis{0}},
                               {"back, cold", Trouble::returns, base::Millis{0}},
                               {"slow start", Trouble::returns, base::Millis{10'000}},
                               {"one fails", Trouble::fails, base::Millis{0}}};

struct Arguments {
  Story story;
  std::string plots;
  double queue_seconds = 60;
  bool check = false;
};

bool read(int argc, char** argv, Arguments& to) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view key = argv[i];
    if (key == "--check") {
      to.check = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const char* const value = argv[++i];
    const auto number = static_cast<std::uint32_t>(std::strtoul(value, nullptr, 10));
    if (key == "--instances")
      to.story.instances = number;
    else if (key == "--servers")
      to.story.servers = number;
    else if (key == "--requests")
      to.story.requests = number;
    else if (key == "--spread")
      to.story.spread = std::strtod(value, nullptr);
    else if (key == "--load")
      to.story.load = std::strtod(value, nullptr);
    else if (key == "--seconds")
      to.queue_seconds = std::strtod(value, nullptr);
    else if (key == "--plots")
      to.plots = value;
    else
      return false;
  }
  const auto sound = [](std::uint32_t n) { return n >= 2 && n <= 1'000; };
  return sound(to.story.instances) && sound(to.story.servers) && to.story.requests >= 1'000 && to.story.load > 0;
}

bool write(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  return static_cast<bool>(file.flush());
}

using Table = std::vector<std::vector<Result>>;  // by picker, by story

bool plot(const std::string& directory, const Table& table) {
  std::vector<std::string> groups;
  for (const Setting& s : stories) groups.emplace_back(s.name);
  std::vector<Series> waits;
  std::vector<Series> shares;
  std::vector<Series> cold;
  std::vector<Series> warm;
  for (std::size_t p = 0; p < table.size(); ++p) {
    waits.push_back({pickers[p].name, {}});
    shares.push_back({pickers[p].name, {}});
    for (const Result& r : table[p]) {
      waits.back().values.push_back(r.wait_p99);
      shares.back().values.push_back(r.share);
    }
    cold.push_back({pickers[p].name, table[p][3].over_time});
    warm.push_back({pickers[p].name, table[p][4].over_time});
  }
  return write(directory + "/balance-wait.svg", bars("Waiting at a server, p99", "ms", groups, waits, 50)) &&
         write(directory + "/balance-share.svg",
               bars("Requests of server 0", "1 = a fair share", groups, shares, 1.2)) &&
         write(directory + "/balance-return.svg", lines("Answers over time, p99: away, then back cold", "ms", cold)) &&
         write(directory + "/balance-slow-start.svg", lines("The same with slow start", "ms", warm));
}

int faults = 0;

void expect(bool holds, const char* picker, const char* what) {
  if (holds) return;
  std::printf("does not hold: %s: %s\n", picker, what);
  ++faults;
}

// What docs/balancing.md says, with room for the few requests of a short run.
void check(const Table& table) {
  for (std::size_t p = 0; p < table.size(); ++p) {
    const std::vector<Result>& r = table[p];
    const char* const name = pickers[p].name;
    expect(r[0].share > 0.7 && r[0].share < 1.3, name, "equal servers get alike");
    expect(r[5].share < 1.1, name, "who fails at once gets no more than its share");
    expect(r[5].share > 0, name, "who fails is asked again");
    expect(r[2].tries < 1.05, name, "a lost server costs few tries");
    const bool by_load = p == 0 || p == 1 || p == 3;
    if (by_load) expect(r[1].share < 0.7, name, "a slow server gets less");
    if (by_load) expect(r[1].wait_p99 < table[2][1].wait_p99, name, "a slow server hurts less than in turn");
  }
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!read(argc, argv, arguments)) {
    std::fputs("usage: see the head of tests/sim/balance/main.cc\n", stderr);
    return 2;
  }
  std::printf("%-15s %-15s %9s %9s %9s %8s %8s %7s\n", "picker", "story", "wait p50", "wait p99", "time p99", "busiest",
              "share", "tries");
  Table table;
  for (const Named& picker : pickers) {
    table.emplace_back();
    for (const Setting& setting : stories) {
      Story story = arguments.story;
      story.balance = picker.balance;
      story.trouble = setting.trouble;
      story.slow_start = setting.slow_start;
      const Result r = run(story);
      std::printf("%-15s %-15s %9.2f %9.2f %9.2f %8.3f %8.3f %7.4f\n", picker.name, setting.name, r.wait_p50,
                  r.wait_p99, r.time_p99, r.busiest, r.share, r.tries);
      table.back().push_back(r);
    }
  }
  if (!arguments.plots.empty() && !plot(arguments.plots, table)) {
    std::fputs("cannot write the plots\n", stderr);
    return 2;
  }
  int queue_faults = 0;
  if (!queue_table(arguments.queue_seconds, arguments.plots, queue_faults)) {
    std::fputs("cannot write the plots\n", stderr);
    return 2;
  }
  if (!arguments.check) return 0;
  check(table);
  return faults + queue_faults == 0 ? 0 : 1;
}
