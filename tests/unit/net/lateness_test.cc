// How late a loop handles what has become ready: what the turn before took, and what the kernel says.
#include "net/lateness.h"

#include "net/loop.h"
#include "net/run_delay.h"
#include "net/uv_driver.h"
#include "support/sim_loop.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Micros;
using net::Lateness;

namespace {

constexpr Micros none{0};
constexpr Micros not_asked{-1};

struct Turns {
  // The wait before a turn, what the kernel said after it, and how long the turn took.
  void turn(int64_t wait, Micros run_delay, int64_t took) {
    now = now + Micros{wait};
    lateness.begin_turn(now, run_delay);
    now = now + Micros{took};
    lateness.end_turn(now);
  }
  Micros now{1'000'000};
  Lateness lateness{now};
};

}  // namespace

TEST_CASE("who slept is in time; who did not is as late as the turn before was long") {
  Turns t;
  t.turn(10'000, none, 3'000);
  CHECK(t.lateness.at_turn() == none);
  t.turn(Lateness::no_sleep.count + 1, not_asked, 2'000);
  CHECK(t.lateness.at_turn() == none);
  CHECK(t.lateness.backlog() == none);
  t.turn(Lateness::no_sleep.count, not_asked, 7'000);
  CHECK(t.lateness.at_turn() == Micros{2'020});
  CHECK(t.lateness.backlog() == Micros{2'000});
  CHECK(t.lateness.waited() == none);
  CHECK(t.lateness.busy() == Micros{12'000});
}

TEST_CASE("time without a CPU counts once, whether it lay in the wait or in the turns before") {
  Turns t;
  t.turn(1'000, none, 0);
  t.turn(100'000, Micros{98'000}, 1'000);                // woken, and not run
  CHECK(t.lateness.waited() == Micros{98'000});
  CHECK(t.lateness.at_turn() == Micros{98'000});
  CHECK(t.lateness.backlog() == none);                   // it had slept
  t.turn(5, not_asked, 100'000);                         // taken off in the middle of the turn
  t.turn(5, Micros{196'000}, 50);
  CHECK(t.lateness.waited() == Micros{196'000});
  CHECK(t.lateness.at_turn() == Micros{100'005});
  CHECK(t.lateness.backlog() == Micros{2'000});          // what of the turn is not in waited() already
  t.turn(50'000, Micros{196'000}, 50);
  CHECK(t.lateness.at_turn() == none);
}

TEST_CASE("the first count of the kernel is where counting begins; without one turns remain; it never goes back") {
  Turns t;
  t.turn(1'000, Micros{7'000'000}, 0);
  CHECK(t.lateness.waited() == none);
  t.turn(1'000, Micros{6'000'000}, 0);
  CHECK(t.lateness.waited() == none);
  t.turn(1'000, not_asked, 4'000);
  t.turn(0, not_asked, 0);
  CHECK(t.lateness.at_turn() == Micros{4'000});
}

TEST_CASE("the kernel is asked every 5 ms at most") {
  Turns t;
  CHECK(t.lateness.due(t.now));
  t.turn(0, none, 0);
  CHECK(!t.lateness.due(t.now + Lateness::looked_every - Micros{1}));
  CHECK(t.lateness.due(t.now + Lateness::looked_every));
}

TEST_CASE("a loop keeps it: what an event costs the next one, and what is starved") {
  support::SimLoop sim;
  sim.settle();
  Micros second = not_asked, so_far = not_asked;
  sim.post(Micros{100}, [&] {
    sim.burn(Micros{3'000});
    so_far = sim.loop().turn_so_far();
    sim.post(none, [&] { second = sim.loop().lateness().at_turn(); });
  });
  sim.run_for(base::millis(10));
  CHECK(so_far == Micros{3'000});
  CHECK(second == Micros{3'000});
  const Micros before = sim.loop().lateness().waited();
  sim.starve(Micros{40'000});
  Micros late = not_asked;
  sim.post(Micros{6'000}, [&] { late = sim.loop().lateness().at_turn(); });
  sim.run_for(base::millis(100));
  CHECK(late == Micros{40'000});
  CHECK(sim.loop().lateness().waited() - before == Micros{40'000});
}

TEST_CASE("what /proc/thread-self/schedstat says") {
  CHECK(net::parse_run_delay("123456 6100000000 42\n") == Micros{6'100'000});
  CHECK(net::parse_run_delay("1 999 1\n") == none);
  for (const char* bad : {"", "1", "1 x 2\n", "1 -5 2\n", "1  2\n"}) CHECK(net::parse_run_delay(bad).count < 0);
  net::RunDelay own;
  const Micros first = own.read();
  if (first.count >= 0) CHECK(own.read() >= first);  // this kernel tells
}
