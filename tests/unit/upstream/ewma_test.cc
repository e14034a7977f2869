// p2c_ewma: the measure of one endpoint, and what follows for the choice.
#include <vector>

#include "upstream/balancer.h"
#include "upstream/head_time.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;

constexpr base::Micros now{10'000'000};
constexpr base::Micros ms(std::int64_t n) { return base::Micros{n * 1'000}; }

TEST_CASE("a slow answer counts at once, quick ones little by little") {
  HeadTime t = HeadTime{}.after(ms(10), true, now);
  CHECK(t.micros == 10'000);
  t = t.after(ms(200), true, now + ms(1));
  CHECK(t.micros == 200'000);
  HeadTime at_once = t.after(ms(10), true, now + ms(1));
  CHECK(at_once == t);  // in the same millisecond
  base::Micros at = now;
  for (int i = 0; i < 100; ++i) {
    at = at + ms(50);
    t = t.after(ms(10), true, at);
  }
  CHECK(t.micros == doctest::Approx(105'000).epsilon(0.15));  // half of the way in a half-life
  for (int i = 0; i < 1'000; ++i) {
    at = at + ms(50);
    t = t.after(ms(10), true, at);
  }
  CHECK(t.micros == doctest::Approx(10'000).epsilon(0.02));
}

TEST_CASE("it fades without answers; a clock that is behind changes nothing") {
  const HeadTime t = HeadTime{}.after(ms(100), true, now);
  CHECK(t.faded(now) == 100'000);
  CHECK(t.faded(now + HeadTime::half_life) == 50'000);
  CHECK(t.faded(now + HeadTime::half_life + HeadTime::half_life) == 25'000);
  CHECK(t.faded(now - ms(500)) == 100'000);
  CHECK(t.faded(now + ms(10'000'000)) < 1e-6);
  CHECK(HeadTime{}.faded(now) == 0);
}

TEST_CASE("a failure makes nobody quicker, but may make it slower") {
  CHECK(HeadTime{}.after(ms(1), false, now) == HeadTime{});
  const HeadTime t = HeadTime{}.after(ms(100), true, now);
  CHECK(t.after(ms(1), false, now + ms(10)) == t);
  CHECK(t.after(ms(300), false, now + ms(10)).micros == 300'000);
}

struct Field3 {
  Field3() : balancer(1, shared.turns()) {
    std::vector<EndpointSpec> specs;
    for (const char* name : {"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"})
      specs.push_back(EndpointSpec{name, *net::Address::parse(name), 1});
    set = shared.set_endpoints(specs, 50, Newcomers::at_full_weight, {}, Balance::p2c_ewma);
    balancer.use(set, base::Millis{0});
  }
  SharedEndpoint& at(std::size_t i) { return *set->entries[i].endpoint; }
  std::vector<int> picks(float usual, int n = 3'000) {
    std::vector<int> counts(3);
    for (int i = 0; i < n; ++i) ++counts[balancer.pick({.now = now, .usual_head = usual})];
    return counts;
  }
  SharedUpstream shared{"app", 1};
  EndpointSetPtr set;
  Balancer balancer;
};

TEST_CASE("p2c_ewma takes the quicker of two, by what they have to do") {
  Field3 f;
  f.at(0).note_head(ms(10), true, now);
  f.at(1).note_head(ms(10), true, now);
  f.at(2).note_head(ms(100), true, now);
  CHECK(f.picks(10'000)[2] < 10);  // now and then all draws of the second are the first
  for (int i = 0; i < 8; ++i) f.at(0).begin_request();
  for (int i = 0; i < 8; ++i) f.at(1).begin_request();
  CHECK(f.picks(10'000)[2] < 10);  // (8 + 1) x 10 ms: less than the slow one that is idle
  for (const int i : {0, 0, 1, 1}) f.at(static_cast<std::size_t>(i)).begin_request();
  CHECK(f.picks(10'000)[2] > 1'500);
  for (int i = 0; i < 10; ++i) f.at(0).end_request();
  for (int i = 0; i < 10; ++i) f.at(1).end_request();
}

TEST_CASE("p2c_ewma: an endpoint without a measure counts as the others are, not as none") {
  Field3 f;
  f.at(0).note_head(ms(40), true, now);
  f.at(1).note_head(ms(60), true, now);
  const std::vector<int> counts = f.picks(50'000);
  CHECK(counts[2] > 600);  // against 0 it loses, against 1 it wins
  CHECK(counts[2] < 1'400);
  Field3 nobody;  // nothing is known: by load, as p2c
  for (const int n : nobody.picks(0)) CHECK(n == doctest::Approx(1'000).epsilon(0.12));
}

}  // namespace
