// The timer wheel against a plain list of due times.
#include "net/timer.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "support/random.h"
#include "support/sim_loop.h"

#include <doctest/doctest.h>

using namespace sluice;

namespace {

struct Alarm {
  explicit Alarm(net::Loop& l) : loop(l) {}
  net::Loop& loop;
  base::Micros armed_for{};
  bool armed = false;
  int rings = 0;
  base::Micros lateness{};
  std::function<void(Alarm&)> then;
  net::Timer timer{this, net::timer_call<&Alarm::ring>};

  void arm(base::Millis after) {
    timer.arm(loop, after);
    armed_for = loop.now() + after;
    armed = true;
  }
  void ring() {
    REQUIRE(armed);
    REQUIRE(!timer.armed());
    armed = false;
    ++rings;
    REQUIRE(loop.now() >= armed_for);
    lateness = std::max(lateness, loop.now() - armed_for);
    if (then) then(*this);
  }
};

}  // namespace

TEST_CASE("random timers fire once, never early, at most a millisecond late in simulated time") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    support::Random random(seed);
    support::SimLoop sim;
    std::deque<Alarm> alarms;
    for (int i = 0; i < 100; ++i) alarms.emplace_back(sim.loop());
    const int64_t spans[] = {0,    1,       63,      64,        65,         4095,         4096,
                             4097, 262'143, 262'144, 3'600'000, 20'000'000, 1'100'000'000};
    for (int step = 0; step < 300; ++step) {
      Alarm& a = alarms[random.below(100)];
      switch (random.below(4)) {
        case 0:
          a.timer.disarm();
          a.armed = false;
          break;
        case 1: a.arm(base::Millis{spans[random.below(std::size(spans))]}); break;
        case 2: a.arm(base::Millis{static_cast<int64_t>(random.below(100'000))}); break;
        case 3:
          sim.run_for(
              base::Millis{static_cast<int64_t>(random.one_in(10) ? random.below(5'000'000) : random.below(3000))});
          break;
      }
      for (const Alarm& each : alarms) REQUIRE((!each.armed || each.armed_for + base::Micros{1000} > sim.now()));
    }
    REQUIRE(sim.loop().timers().armed() ==
            static_cast<size_t>(std::count_if(alarms.begin(), alarms.end(), [](auto& a) { return a.armed; })));
    sim.run_for(base::hours(24 * 30));
    for (const Alarm& each : alarms) {
      REQUIRE(!each.armed);
      REQUIRE(each.lateness <= base::Micros{1000});
    }
    REQUIRE(sim.loop().timers().armed() == 0);
  }
}

TEST_CASE("a waiting loop sleeps: few turns a timer, whatever its length") {
  support::SimLoop sim;
  Alarm a(sim.loop());
  for (const int64_t ms : {5, 70, 5000, 60'000, 3'600'000, 86'400'000}) {
    CAPTURE(ms);
    const uint64_t before = sim.turns();
    a.arm(base::Millis{ms});
    sim.run_for(base::Millis{ms + 2});
    CHECK(a.armed == false);
    CHECK(sim.turns() - before <= 2 * 6 + 4);
  }
  a.arm(base::seconds(5));
  a.timer.disarm();
  CHECK(sim.loop().timers().until_next(sim.now()).count < 0);
}

TEST_CASE("what a call arms for 0 ms runs in a later turn, and a timer may disarm others that are due") {
  support::SimLoop sim;
  Alarm again(sim.loop());
  int in_this_turn = 0;
  again.then = [&](Alarm& a) {
    ++in_this_turn;
    if (a.rings < 3) a.arm(base::Millis{0});
  };
  Alarm first(sim.loop());
  Alarm second(sim.loop());
  first.then = [&](Alarm&) { second.timer.disarm(), second.armed = false; };
  second.then = [&](Alarm&) { first.timer.disarm(), first.armed = false; };
  again.arm(base::millis(10));
  first.arm(base::millis(10));
  second.arm(base::millis(10));
  sim.until([&] { return in_this_turn != 0; });
  CHECK(again.rings == 1);
  CHECK(first.rings + second.rings == 1);
  sim.run_for(base::millis(5));
  CHECK(again.rings == 3);
}

TEST_CASE("a timer that dies is disarmed; one may re-arm itself for ever") {
  support::SimLoop sim;
  {
    Alarm gone(sim.loop());
    gone.arm(base::millis(1));
  }
  CHECK(sim.loop().timers().armed() == 0);
  Alarm each_second(sim.loop());
  each_second.then = [](Alarm& a) { a.arm(base::seconds(1)); };
  each_second.arm(base::seconds(1));
  sim.run_for(base::seconds(100));
  CHECK(each_second.rings >= 99);
  CHECK(each_second.rings <= 100);
  each_second.timer.disarm();
}
