// The gradient, by simulation: an endpoint that works on so many requests at once, and clients that ask for more.
#include "upstream/gradient.h"

#include <algorithm>
#include <queue>
#include <random>
#include <thread>
#include <vector>

#include "upstream/adaptive_limit.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

namespace {

using namespace sluice;
using upstream::AdaptiveLimit;
using upstream::Gradient;

// `clients` ask again as soon as they are answered, at most limit() at a time; the endpoint has `servers`, of 10 ms.
struct Endpoint {
  int servers = 20;
  double mean_ms = 10;
  double now_ms = 0;
  AdaptiveLimit limit;
  std::mt19937_64 random{3};
  std::priority_queue<double, std::vector<double>, std::greater<>> free;  // when each server is
  using Answer = std::pair<double, double>;  // when, and how long it took
  std::priority_queue<Answer, std::vector<Answer>, std::greater<>> under_way;

  // Returns how long an answer took on average.
  double run(int clients, double for_ms) {
    while (static_cast<int>(free.size()) > servers) free.pop();
    while (static_cast<int>(free.size()) < servers) free.push(now_ms);
    double sum = 0;
    int n = 0;
    for (const double end = now_ms + for_ms; now_ms < end;) {
      const auto most = std::min<std::size_t>(static_cast<std::size_t>(clients), limit.limit());
      while (under_way.size() < most) {
        const double starts = std::max(free.top(), now_ms);
        const double ends = starts + std::gamma_distribution<double>(4, mean_ms / 4)(random);
        free.pop();
        free.push(ends);
        under_way.push({ends, ends - now_ms});
      }
      const auto [at, took] = under_way.top();
      const auto in_flight = static_cast<std::uint32_t>(under_way.size());
      under_way.pop();
      now_ms = std::max(now_ms, at);
      limit.answered(base::Micros{static_cast<std::int64_t>(took * 1'000)}, in_flight,
                     base::Micros{static_cast<std::int64_t>(now_ms * 1'000)});
      sum += took;
      ++n;
    }
    return sum / n;
  }
};

TEST_CASE("400 clients at an endpoint of 20: its answers take at most twice as long as at best, and it stays busy") {
  Endpoint e;
  e.run(10, 2'000);  // calm
  e.run(400, 5'000);
  CHECK(e.run(400, 20'000) < 20);  // 200 ms without a limit
  CHECK(e.limit.limit() >= 20);
  CHECK(e.limit.limit() <= 48);
}

TEST_CASE("an endpoint that becomes larger is used, and a smaller one is spared") {
  Endpoint e;
  e.run(10, 2'000);
  e.run(400, 20'000);
  const std::uint32_t before = e.limit.limit();
  e.servers = 100;
  e.run(400, 20'000);
  const std::uint32_t larger = e.limit.limit();
  CHECK(larger > 2 * before);
  e.servers = 20;
  e.run(400, 20'000);
  CHECK(e.limit.limit() < larger / 2);
}

TEST_CASE("hours of it: the floor does not creep up with the load") {
  Endpoint e;
  e.run(400, 60'000);
  CHECK(e.run(400, 600'000) < 20);
  CHECK(e.limit.limit() <= 64);
}

TEST_CASE("an endpoint whose answers take longer for good is used again") {
  Endpoint e;
  e.run(400, 20'000);
  e.mean_ms = 50;
  e.run(400, 60'000);
  CHECK(e.run(400, 20'000) < 100);
  CHECK(e.limit.limit() >= 20);
}

TEST_CASE("few requests leave the limit as it is, however long they take; it stays within its bounds") {
  Gradient g;
  for (int i = 1; i < 1'000; ++i) g.window(base::Micros{i * 1'000}, 15, base::Micros{i});
  CHECK(g.limit() == 32);
  g.window(base::Micros{1'000}, 16, base::Micros{1'000});
  CHECK(g.limit() > 32);
  for (int i = 0; i < 10'000; ++i) g.window(base::Micros{1'000}, 1'000'000, base::Micros{2'000});
  CHECK(g.limit() == 10'000);
  for (int i = 0; i < 10'000; ++i) g.window(base::Micros{1'000'000}, 1'000'000, base::Micros{3'000});
  CHECK(g.limit() == 4);
}

TEST_CASE("threads: every window is worked out by one") {
  AdaptiveLimit limit;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&limit] {
        for (int i = 1; i < 5'000; ++i) limit.answered(base::Micros{1'000}, 100'000, base::Micros{i});
      });
    }
  }
  CHECK(limit.limit() > 32);
}

}  // namespace
