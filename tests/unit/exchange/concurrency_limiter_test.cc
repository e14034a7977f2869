// How many of a key are open: at the limit and one above, over threads, and with more keys than there are places.
#include "exchange/concurrency_limiter.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

namespace sluice::exchange {
namespace {

using Held = ConcurrencyLimiter::Held;
using Verdict = ConcurrencyLimiter::Verdict;

const base::KeyedHash hash(1, 2);

TEST_CASE("so many are let in, and one more when one has ended; keys do not count for each other") {
  ConcurrencyLimiter limiter(ConcurrencyLimiter::keys_max, hash);
  std::vector<Held> held;
  for (int i = 0; i < 3; ++i) {
    auto taken = limiter.take("a", 3);
    REQUIRE(taken.verdict == Verdict::admitted);
    held.push_back(std::move(taken.held));
  }
  CHECK(limiter.take("a", 3).verdict == Verdict::refused);
  CHECK(limiter.take("b", 1).verdict == Verdict::admitted);  // and ended at once
  CHECK(limiter.take("b", 1).verdict == Verdict::admitted);
  held.pop_back();
  auto again = limiter.take("a", 3);
  CHECK(again.verdict == Verdict::admitted);
  CHECK(limiter.take("a", 3).verdict == Verdict::refused);
  again.held.release();
  again.held.release();  // once
  auto one = limiter.take("a", 3);
  CHECK(one.verdict == Verdict::admitted);
  CHECK(limiter.take("a", 3).verdict == Verdict::refused);
  CHECK(limiter.take("a", 4).verdict == Verdict::admitted);  // a reload has raised it
}

TEST_CASE("what is moved is given back once") {
  ConcurrencyLimiter limiter(1, hash);
  Held kept;
  {
    auto taken = limiter.take("", 1);
    kept = std::move(taken.held);
  }
  CHECK(limiter.take("", 1).verdict == Verdict::refused);
  kept = Held();
  CHECK(limiter.take("", 1).verdict == Verdict::admitted);
}

TEST_CASE("more keys than places: they are let in, and who has a place is held to it") {
  ConcurrencyLimiter limiter(ConcurrencyLimiter::ways, hash);  // one set
  std::vector<Held> held;
  for (size_t i = 0; i < ConcurrencyLimiter::ways; ++i) {
    auto taken = limiter.take("key" + std::to_string(i), 1);
    REQUIRE(taken.verdict == Verdict::admitted);
    held.push_back(std::move(taken.held));
  }
  CHECK(limiter.take("another", 1).verdict == Verdict::uncounted);
  CHECK(limiter.take("key3", 1).verdict == Verdict::refused);
  held.erase(held.begin() + 3);
  auto taken = limiter.take("another", 1);
  CHECK(taken.verdict == Verdict::admitted);
  CHECK(limiter.take("another", 1).verdict == Verdict::refused);
  CHECK(limiter.take("key3", 1).verdict == Verdict::uncounted);
}

TEST_CASE("several threads never hold more than the limit, and leave nothing behind") {
  constexpr uint32_t most = 3;
  ConcurrencyLimiter limiter(ConcurrencyLimiter::ways, hash);
  std::atomic<int> open{0};
  std::atomic<int> worst{0};
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20'000; ++i) {
        auto other = limiter.take("other" + std::to_string(t * 7 + i % 7), 1);  // places change hands all the while
        auto taken = limiter.take("a", most);
        if (taken.verdict != Verdict::admitted) continue;
        const int now = open.fetch_add(1) + 1;
        int seen = worst.load();
        while (now > seen && !worst.compare_exchange_weak(seen, now)) {
        }
        admitted.fetch_add(1);
        open.fetch_sub(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(worst.load() <= static_cast<int>(most));
  CHECK(admitted.load() > 0);
  std::vector<Held> held;
  for (uint32_t i = 0; i < most; ++i) {
    auto taken = limiter.take("a", most);
    REQUIRE(taken.verdict == Verdict::admitted);
    held.push_back(std::move(taken.held));
  }
  CHECK(limiter.take("a", most).verdict == Verdict::refused);
}

}  // namespace
}  // namespace sluice::exchange
