// The buckets of a rate limit: rate and burst, waits, the ends of the ranges, a flood of keys, several workers at once.
#include "exchange/rate_limiter.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

namespace sluice::exchange {
namespace {

using base::Micros;
using route::RateKey;
using route::RateLimit;

constexpr Micros start{3'600'000'000};
const base::KeyedHash hash(1, 2);

RateLimit limit_of(uint32_t requests, base::Millis per, uint32_t burst, RateKey key = RateKey::client_ip) {
  return {.requests = requests, .per = per, .burst = burst, .key = key, .key_name = {}};
}

int admitted(RateLimiter& limiter, std::string_view key, Micros now, int asked) {
  int n = 0;
  for (int i = 0; i < asked; ++i) n += limiter.take(key, now).admitted ? 1 : 0;
  return n;
}

TEST_CASE("a burst at once, then the rate; what is refused costs nothing; others are not touched") {
  RateLimiter limiter(limit_of(10, base::seconds(1), 5), hash);
  CHECK(admitted(limiter, "a", start, 100) == 5);
  CHECK(admitted(limiter, "b", start, 1) == 1);
  CHECK(admitted(limiter, "a", start + base::millis(99), 100) == 0);
  CHECK(admitted(limiter, "a", start + base::millis(101), 100) == 1);
  CHECK(admitted(limiter, "a", start + base::millis(401), 100) == 3);
  CHECK(admitted(limiter, "a", start + base::seconds(60), 100) == 5);
}

TEST_CASE("over a long time exactly the rate is admitted, also one that no whole number of microseconds makes") {
  struct Case {
    uint32_t requests;
    base::Millis per;
    int seconds;
  };
  for (const Case& c : {Case{3, base::seconds(1), 100}, Case{7, base::minutes(1), 6'000},
                        Case{997, base::seconds(1), 20}, Case{1, base::hours(1), 360'000}}) {
    CAPTURE(c.requests);
    RateLimiter limiter(limit_of(c.requests, c.per, 1), hash);
    const int64_t wanted = c.requests * int64_t{c.seconds} * 1000 / c.per.count;
    const int64_t step = int64_t{c.seconds} * 1'000'000 / (wanted * 50);
    REQUIRE(step > 0);
    int64_t got = 0;
    for (Micros now = start; now < start + base::seconds(c.seconds); now = now + Micros(step))
      got += limiter.take("k", now).admitted ? 1 : 0;
    CHECK(got >= wanted * 98 / 100);  // asked fifty times for each
    CHECK(got <= wanted + 1);
  }
}

TEST_CASE("who waits as long as was said is admitted, and not a second earlier") {
  for (const RateLimit& limit : {limit_of(1, base::seconds(10), 1), limit_of(1, base::hours(24), 1),
                                 limit_of(2, base::minutes(1), 4), limit_of(100, base::seconds(1), 200)}) {
    CAPTURE(limit.per.count);
    RateLimiter limiter(limit, hash);
    RateLimiter::Verdict verdict;
    for (uint32_t i = 0; i <= limit.burst; ++i) verdict = limiter.take("k", start);
    REQUIRE_FALSE(verdict.admitted);
    REQUIRE(verdict.wait_seconds >= 1);
    const base::Millis wait = base::seconds(verdict.wait_seconds);
    if (verdict.wait_seconds > 1)
      CHECK_FALSE(limiter.take("k", start + Micros(base::Millis{wait.count - 1'100})).admitted);
    CHECK(limiter.take("k", start + Micros(wait)).admitted);
  }
}

TEST_CASE("the numbers at the ends of what may be configured") {
  RateLimiter most(limit_of(1'000'000'000, base::millis(1), 1'000'000'000), hash);
  CHECK(admitted(most, "k", start, 1'000) == 1'000);
  RateLimiter slow(limit_of(1, base::hours(24), 1'000'000'000), hash);
  CHECK(admitted(slow, "k", start, 1'000) == 1'000);
  RateLimiter one(limit_of(1, base::hours(24), 1), hash);
  CHECK(admitted(one, "k", start, 10) == 1);
  CHECK(admitted(one, "k", start + base::hours(24) + base::millis(200), 10) == 1);
}

TEST_CASE("a worker whose clock is behind sees the debts that another made") {
  RateLimiter limiter(limit_of(10, base::seconds(1), 5), hash);
  CHECK(admitted(limiter, "k", start, 100) == 5);
  CHECK(admitted(limiter, "k", start + Micros(-30'000'000), 100) == 0);
}

TEST_CASE("a million keys hold the memory, and the key that owes most keeps its debt") {
  RateLimiter limiter(limit_of(1, base::hours(1), 10), hash);
  CHECK(limiter.bytes() == 512 * 1024);
  CHECK(admitted(limiter, "abuser", start, 100) == 10);
  int refused = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    refused += limiter.take("key" + std::to_string(i), start + Micros(i)).admitted ? 0 : 1;
  }
  CHECK(refused == 0);  // nobody is refused for what another did, but for a chance of a million to one
  CHECK(admitted(limiter, "abuser", start + base::seconds(2), 100) == 0);
  CHECK(limiter.bytes() == 512 * 1024);
}

TEST_CASE("one bucket for a whole route costs one cache line") {
  RateLimiter limiter(limit_of(10, base::seconds(1), 5, RateKey::route), hash);
  CHECK(limiter.bytes() == 64);
  CHECK(admitted(limiter, "", start, 100) == 5);
}

TEST_CASE("several workers together get what one would get") {
  constexpr int workers = 4;
  RateLimiter limiter(limit_of(1, base::hours(24), 1'000), hash);
  CHECK(limiter.take("k", start).admitted);  // the key has its place
  std::atomic<int> got{1};
  std::vector<std::thread> threads;
  for (int w = 0; w < workers; ++w) threads.emplace_back([&] { got += admitted(limiter, "k", start, 2'000); });
  for (std::thread& thread : threads) thread.join();
  CHECK(got == 1'000);
}

TEST_CASE("a charge is owed beyond the burst, up to sixteen of them, and a limit without cost keeps none") {
  RateLimit limit = limit_of(10, base::seconds(10), 10);
  limit.cost = "x-cost";
  RateLimiter limiter(limit, hash);
  const uint64_t key = limiter.hash_of("k");
  CHECK(limiter.take(key, start).admitted);
  limiter.charge(key, 14, start);  // 15 of 10
  CHECK_FALSE(limiter.take(key, start).admitted);
  CHECK(limiter.take(key, start).wait_seconds == 6);
  CHECK_FALSE(limiter.take(key, start + base::millis(5'900)).admitted);
  CHECK(limiter.take(key, start + base::millis(6'000)).admitted);
  CHECK(admitted(limiter, "other", start, 100) == 10);
  limiter.charge(key, UINT64_MAX, start);
  CHECK(limiter.take(key, start).wait_seconds == 151);  // 160 owed, of which 9 may be
  CHECK_FALSE(limiter.take(key, start + base::seconds(150)).admitted);
  CHECK(limiter.take(key, start + base::seconds(151)).admitted);
}

TEST_CASE("charges of the largest limits do not wrap") {
  RateLimit limit = limit_of(1'000'000'000, base::hours(24), 1'000'000'000);
  limit.cost = "x-cost";
  RateLimiter limiter(limit, hash);
  const uint64_t key = limiter.hash_of("k");
  limiter.charge(key, UINT64_MAX, start);
  CHECK_FALSE(limiter.take(key, start).admitted);
  CHECK(limiter.take(key, start + base::hours(24 * 17)).admitted);
}

TEST_CASE("the policy is told in whole seconds") {
  CHECK(RateLimiter(limit_of(100, base::seconds(1), 1), hash).policy() == "\"default\";q=100;w=1");
  CHECK(RateLimiter(limit_of(5, base::millis(500), 1), hash).policy() == "\"default\";q=10;w=1");
  CHECK(RateLimiter(limit_of(3, base::millis(1'500), 1), hash).policy() == "\"default\";q=4;w=2");
  CHECK(RateLimiter(limit_of(7, base::hours(1), 1), hash).policy() == "\"default\";q=7;w=3600");
}

TEST_CASE("counts_as: all but dry_run") {
  const RateLimit limit = limit_of(10, base::seconds(1), 5);
  const RateLimiter limiter(limit, hash);
  RateLimit other = limit;
  other.dry_run = true;
  CHECK(limiter.counts_as(other));
  other.burst = 6;
  CHECK_FALSE(limiter.counts_as(other));
}

}  // namespace
}  // namespace sluice::exchange
