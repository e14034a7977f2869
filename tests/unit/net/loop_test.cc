// The order of a turn, its bounds, and messages from other threads.
#include "net/loop.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "net/uv_driver.h"
#include "support/sim_loop.h"

#include <doctest/doctest.h>

using namespace sluice;

namespace {

struct Step final : net::Runnable, net::Flushable, net::Reapable {
  std::string* log = nullptr;
  std::function<void()> also;
  void run() override { *log += 'r', call(); }
  void flush() override { *log += 'f', call(); }
  void reclaim() noexcept override { *log += 'd', call(); }
  void call() {
    if (also) std::exchange(also, nullptr)();
  }
};

}  // namespace

TEST_CASE("a turn: events, run_later, flush, reap; what they add comes in the next turn") {
  support::SimLoop sim;
  std::string log;
  Step a, b;
  a.log = b.log = &log;
  sim.post(base::Micros{0}, [&] {
    log += 'e';
    sim.loop().reap_later(a);
    sim.loop().flush_later(a);
    sim.loop().flush_later(a);
    sim.loop().run_later(a);
    sim.loop().run_later(a);
  });
  sim.settle();
  CHECK(log == "erfd");
  log.clear();
  a.also = [&] { sim.loop().run_later(a), sim.loop().flush_later(b); };
  sim.loop().run_later(a);
  sim.loop().turn(base::Micros{0});
  CHECK(log == "rf");
  CHECK(sim.loop().work_left());
  sim.settle();
  CHECK(log == "rfr");
}

TEST_CASE("run_later is bounded a turn and keeps its order; who dies leaves the list") {
  support::SimLoop sim;
  std::string log;
  std::deque<Step> steps(net::Loop::run_later_max_per_turn + 5);
  for (Step& s : steps) s.log = &log, sim.loop().run_later(s);
  sim.loop().turn(base::Micros{0});
  CHECK(log.size() == net::Loop::run_later_max_per_turn);
  steps.pop_back();
  sim.settle();
  CHECK(log.size() == net::Loop::run_later_max_per_turn + 4);
}

TEST_CASE("a burst of dirty transports is flushed before the other events") {
  support::SimLoop sim;
  std::string log;
  std::deque<Step> steps(net::Loop::flush_at_dirty);
  for (Step& s : steps) {
    s.log = &log;
    sim.post(base::Micros{0}, [&] { log += 'e', sim.loop().flush_later(s); });
  }
  sim.post(base::Micros{0}, [&] { log += 'L'; });
  sim.settle();
  CHECK(log == std::string(32, 'e') + std::string(32, 'f') + "L");
}

TEST_CASE("who watches is told how long a turn took, the wait aside") {
  struct Watch final : net::TurnWatch {
    void on_turn(base::Micros took) override { turns.push_back(took.count); }
    std::vector<int64_t> turns;
  } watch;
  base::FakeClock clock;
  net::Loop loop(clock, net::make_uv_driver());
  std::string log;
  Step slow;
  slow.log = &log;
  loop.watch_turns(&watch);
  loop.turn(base::Micros{0});
  slow.also = [&] { clock.advance(base::Micros{300}); };
  loop.run_later(slow);
  loop.turn(base::Micros{0});
  CHECK(watch.turns == std::vector<int64_t>{0, 300});
  loop.watch_turns(nullptr);
  loop.turn(base::Micros{0});
  CHECK(watch.turns.size() == 2);
}

TEST_CASE("an event after a long wait sees the time it came at") {
  support::SimLoop sim;
  const base::Micros start = sim.now();
  base::Micros seen{};
  sim.post(base::Micros{base::seconds(50)}, [&] { seen = sim.loop().now(); });
  sim.run_for(base::seconds(60));
  CHECK(seen - start == base::Micros{base::seconds(50)});
}

TEST_CASE("an idle loop on libuv turns a few times a timer, not once a millisecond") {
  net::Loop loop(base::steady_clock(), net::make_uv_driver());
  struct Bell {
    net::Loop& loop;
    void ring() { loop.stop(); }
  } bell{loop};
  net::Timer timer{&bell, net::timer_call<&Bell::ring>};
  timer.arm(loop, base::millis(150));
  const base::Micros start = base::steady_clock().now();
  int turns = 0;
  while (timer.armed()) ++turns, loop.turn(base::Micros{-1});
  CHECK(turns <= 12);
  CHECK(base::steady_clock().now() - start >= base::Micros{149'000});
}

// The driver's own timer, left armed by a wait that an event ended, is over when the next wait begins: libuv 1.44 runs
// it before it polls, and then has nothing left that would end the wait.
TEST_CASE("a wait whose timer is over before it begins does not sleep for ever") {
  const auto driver = net::make_uv_driver();
  driver->wake();
  driver->poll(base::Micros{2'000});
  const base::Micros start = base::steady_clock().now();
  while (base::steady_clock().now() - start < base::Micros{5'000}) {
  }
  std::atomic<bool> rescued = false;
  {
    std::mutex mutex;
    std::condition_variable_any over;
    const std::jthread rescue([&](const std::stop_token& stop) {
      std::unique_lock lock(mutex);
      over.wait_for(lock, stop, std::chrono::seconds(10), [] { return false; });
      if (stop.stop_requested()) return;
      rescued = true;
      driver->wake();
    });
    driver->poll(base::Micros{10'000});
  }
  CHECK_FALSE(rescued);
}
