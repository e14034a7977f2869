// What a look-up of the router costs with 10, 1,000 and 10,000 routes: prefixes of one host, hosts, exact paths. Prints
// nanoseconds per look-up, the median of several rounds. The questions go through all routes in random order, so the
// tables are as cold as in life; they themselves lie in a row, as the bytes of a request just read are warm. Not a
// test: times are for people. usage: bench_route
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "route/router.h"

namespace {

using namespace sluice;  // NOLINT: a benchmark
using route::RouteOptions;

struct Question {
  std::string authority;
  std::string target;
};

struct Scene {
  const char* name;
  std::function<void(RouteOptions&, Question&, int)> fill;  // one route and a question for it
};

double nanoseconds_per_match(const Scene& scene, int count) {
  std::vector<RouteOptions> routes(static_cast<size_t>(count));
  std::vector<Question> questions(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) scene.fill(routes[static_cast<size_t>(i)], questions[static_cast<size_t>(i)], i);
  const auto router = std::move(*route::Router::build(routes));
  std::shuffle(questions.begin(), questions.end(), std::mt19937(1));
  std::string text;
  for (const Question& q : questions) text += q.authority + q.target;
  std::vector<std::pair<uint32_t, uint32_t>> sizes;
  for (const Question& q : questions) sizes.emplace_back(q.authority.size(), q.target.size());
  base::Arena arena;
  constexpr int per_round = 200'000;
  std::vector<double> rounds;
  uint64_t sum = 0;
  for (int round = 0; round < 9; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    size_t at = 0;
    std::string_view rest = text;
    for (int i = 0; i < per_round; ++i) {
      const auto [authority, target] = sizes[at];
      sum +=
          router
              ->match({0, http::Method::get, "GET", rest.substr(0, authority), rest.substr(authority, target), nullptr},
                      arena)
              .index;
      rest.remove_prefix(authority + target);
      if (++at < sizes.size()) continue;
      at = 0;
      rest = text;
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    rounds.push_back(took.count() / per_round);
  }
  if (sum == 1) std::puts("");  // keeps the loop
  std::sort(rounds.begin(), rounds.end());
  return rounds[rounds.size() / 2];
}

}  // namespace

int main() {
  const Scene scenes[] = {
      {"prefixes",
       [](RouteOptions& r, Question& q, int i) {
         r.path_match = route::PathMatch::prefix;
         r.path = "/service-" + std::to_string(i) + "/api";
         q = {"www.example.com", r.path + "/users/42?fields=name"};
       }},
      {"exact",
       [](RouteOptions& r, Question& q, int i) {
         r.path_match = route::PathMatch::exact;
         r.path = "/service-" + std::to_string(i) + "/api";
         q = {"www.example.com", r.path + "?fields=name"};
       }},
      {"hosts",
       [](RouteOptions& r, Question& q, int i) {
         r.hosts = {"tenant-" + std::to_string(i) + ".example.com"};
         q = {r.hosts[0] + ":8443", "/users/42?fields=name"};
       }},
      {"wildcards",
       [](RouteOptions& r, Question& q, int i) {
         r.hosts = {"*.tenant-" + std::to_string(i) + ".example.com"};
         q = {"www" + r.hosts[0].substr(1), "/users/42?fields=name"};
       }},
  };
  std::printf("%-10s %8s %8s %8s  ns per look-up with 10, 1,000, 10,000 routes\n", "", "10", "1000", "10000");
  for (const Scene& scene : scenes) {
    std::printf("%-10s %8.1f %8.1f %8.1f\n", scene.name, nanoseconds_per_match(scene, 10),
                nanoseconds_per_match(scene, 1000), nanoseconds_per_match(scene, 10'000));
  }
  return 0;
}
