// The program behind scripts/sim: stories of the House by seed.
//   house --seed N       one, told event by event
//   house --seeds N [--first M] [--jobs J]   N of them, by J processes; at the first that breaks: its seed, and 1
//   house --large        what turns cost as the configuration grows
//   house --shrink N     the same story with as few events as still break it
// --without "cap gauges": without these invariants.
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "large.h"
#include "story.h"
#include "support/count_allocations.h"

namespace {

using namespace sluice;
using house::Plot;

constexpr uint64_t tell_every = 1'000;

volatile uint64_t under_way = 0;

// For CHECKs and sanitizers, which end the process: says which story it was.
void on_abort(int) {
  char text[64];
  const int length =
      std::snprintf(text, sizeof text, "seed %llu: aborted\n", static_cast<unsigned long long>(under_way));
  if (length > 0) [[maybe_unused]]
    const auto written = write(STDERR_FILENO, text, static_cast<size_t>(length));
  std::_Exit(3);
}

std::optional<std::string> tell(const Plot& plot) {
  under_way = plot.seed;
  try {
    house::Story(plot).run();
    return std::nullopt;
  } catch (const house::Broken& broken) {
    return broken.what;
  }
}

bool breaks(const Plot& plot) {
  const pid_t child = fork();
  if (child == 0) {
    std::freopen("/dev/null", "w", stderr);
    std::_Exit(tell(plot) ? 1 : 0);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int one(uint64_t seed, const std::string& without) {
  const auto broken = tell({.seed = seed, .told = true, .without = without});
  if (broken) std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), broken->c_str());
  return broken ? 1 : 0;
}

int some(uint64_t first, uint64_t end, uint64_t stride, const std::string& without) {
  for (uint64_t seed = first; seed < end; seed += stride) {
    if (const auto broken = tell({.seed = seed, .without = without})) {
      std::printf("seed %llu: %s\n(scripts/sim --seed tells it, --shrink makes it short)\n",
                  static_cast<unsigned long long>(seed), broken->c_str());
      return 1;
    }
    if (seed % tell_every == 0) std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(seed));
  }
  return 0;
}

// By `jobs` processes, each of which takes one seed of so many.
int many(uint64_t first, uint64_t count, uint64_t jobs, const std::string& without) {
  for (uint64_t job = 1; job < jobs; ++job) {
    if (fork() == 0) std::_Exit(some(first + job, first + count, jobs, without));
  }
  int broken = some(first, first + count, jobs, without);
  for (int status = 0; wait(&status) > 0;) broken |= WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  if (broken == 0) std::printf("%llu stories, none broken\n", static_cast<unsigned long long>(count));
  return broken == 0 ? 0 : 1;
}

int large() {
  try {
    house::large();
    return 0;
  } catch (const house::Broken& broken) {
    std::printf("%s\n", broken.what.c_str());
    return 1;
  }
}

// Leaves out runs of events, from half of them down to single ones, as long as the story still breaks.
int shrink(uint64_t seed, const std::string& without) {
  Plot plot{.seed = seed, .without = without};
  plot.left_out.assign(house::Story::events, false);
  if (!breaks(plot)) {
    std::printf("seed %llu does not break\n", static_cast<unsigned long long>(seed));
    return 0;
  }
  for (uint32_t run = house::Story::events / 2; run != 0; run /= 2) {
    for (uint32_t at = 0; at + run <= house::Story::events; at += run) {
      Plot shorter = plot;
      for (uint32_t i = at; i < at + run; ++i) shorter.left_out[i] = true;
      if (breaks(shorter)) plot = shorter;
    }
  }
  plot.told = true;
  const auto broken = tell(plot);
  std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), broken ? broken->c_str() : "aborted");
  return 1;
}

// Hash tables keyed by address: the order they are walked in must be the seed's, too.
void fix_addresses(char** arguments) {
  const int now = personality(0xffffffff);
  if (now < 0 || (now & ADDR_NO_RANDOMIZE) != 0) return;
  if (personality(static_cast<unsigned long>(now) | ADDR_NO_RANDOMIZE) < 0) return;
  execv("/proc/self/exe", arguments);
}

}  // namespace

int main(int count, char** arguments) {
  fix_addresses(arguments);
  std::signal(SIGABRT, on_abort);
  base::set_log(base::LogLevel::error, base::LogFormat::text);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const auto value = [&](std::string_view name) -> std::optional<uint64_t> {
    for (int i = 1; i + 1 < count; ++i) {
      if (arguments[i] == name) return std::strtoull(arguments[i + 1], nullptr, 10);
    }
    return std::nullopt;
  };
  std::string without;
  for (int i = 1; i + 1 < count; ++i) {
    if (std::string_view(arguments[i]) == "--without") without = arguments[i + 1];
  }
  house::House::work_so_far = support::allocations;
  if (count == 2 && std::string_view(arguments[1]) == "--large") return large();
  if (const auto seed = value("--seed")) return one(*seed, without);
  if (const auto seed = value("--shrink")) return shrink(*seed, without);
  if (const auto seeds = value("--seeds")) {
    return many(value("--first").value_or(1), *seeds, value("--jobs").value_or(1), without);
  }
  std::fprintf(stderr,
               "usage: house --seed N | --seeds N [--first M] [--jobs J] | --shrink N | --large   [--without "
               "\"INVARIANT ...\"]\n");
  return 2;
}
