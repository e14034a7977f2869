// Phases of a request: they sum to its total, and what the worker was late for is nobody else's.
#include "exchange/record.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Micros;
using exchange::Phase;
using exchange::Record;
using net::Lateness;

namespace {

constexpr Micros not_asked{-1};

// A loop whose clock and kernel the test drives.
struct World {
  World() { turn(1'000'000, 0, 0); }
  // Waits, of which `starved` without a CPU, then a turn begins; the one before took `took`.
  void turn(int64_t wait, int64_t starved, int64_t took) {
    now = now + Micros{took};
    lateness.end_turn(now);
    now = now + Micros{wait + starved};
    delay = delay + Micros{starved};
    lateness.begin_turn(now, lateness.due(now) ? delay : not_asked);
  }
  Micros now{1'000'000'000};
  Micros delay{0};
  Lateness lateness{now};
};

}  // namespace

TEST_CASE("phases follow each other and sum to the total") {
  World w;
  Record r(w.now, w.lateness);
  const Micros began = w.now;
  w.turn(1'000, 0, 0);
  r.pass(Phase::client_request, w.now, w.lateness);
  w.turn(5'000, 0, 0);
  r.pass_wait(Micros{3'000}, w.now, w.lateness);
  w.turn(70'000, 0, 0);
  r.pass(Phase::upstream_head, w.now, w.lateness);
  r.pass(Phase::client_write, w.now, w.lateness);        // nothing has passed
  w.turn(20'000, 0, 0);
  r.pass(Phase::client_write, w.now, w.lateness);
  r.end(Micros{7});
  CHECK(r.in(Phase::client_request) == Micros{1'000});
  CHECK(r.in(Phase::queue) == Micros{2'000});
  CHECK(r.in(Phase::connect) == Micros{3'000});
  CHECK(r.in(Phase::upstream_head) == Micros{70'000});
  CHECK(r.in(Phase::client_write) == Micros{20'000});
  CHECK(r.in(Phase::proxy) == Micros{7});
  CHECK(r.total() == w.now - began + Micros{7});
  CHECK(r.longest() == Phase::upstream_head);
}

TEST_CASE("a worker without a CPU, or busy with others, is late: its own time, at most the phase's") {
  World w;
  Record starved(w.now, w.lateness);
  w.turn(2'000, 98'000, 0);
  starved.pass(Phase::upstream_head, w.now, w.lateness);
  CHECK(starved.in(Phase::upstream_head) == Micros{2'000});
  CHECK(starved.in(Phase::proxy) == Micros{98'000});
  Record busy(w.now, w.lateness);
  w.turn(1, 0, 30'000);  // it did not sleep: the answer may have been there all the time
  busy.pass(Phase::upstream_head, w.now, w.lateness);
  CHECK(busy.in(Phase::upstream_head) == Micros{1});
  CHECK(busy.in(Phase::proxy) == Micros{30'000});
  Record shorter(w.now - Micros{10'000}, w.lateness);
  w.turn(0, 0, 40'000);
  shorter.pass(Phase::client_write, w.now, w.lateness);
  CHECK(shorter.in(Phase::proxy) == Micros{40'000});
  CHECK(shorter.in(Phase::client_write) == Micros{10'000});
}

TEST_CASE("a turn before which the loop slept owes the answer nothing; the queue is never made shorter") {
  World w;
  Record r(w.now, w.lateness);
  w.turn(500'000, 0, 30'000);
  r.pass(Phase::upstream_head, w.now, w.lateness);
  CHECK(r.in(Phase::proxy) == Micros{0});
  w.turn(0, 50'000, 0);
  r.pass(Phase::queue, w.now, w.lateness);
  CHECK(r.in(Phase::queue) == Micros{50'000});
  CHECK(r.in(Phase::proxy) == Micros{0});
}

TEST_CASE("of a wait the connect is the last part, and all of it at most") {
  World w;
  Record r(w.now, w.lateness);
  w.turn(5'000, 0, 0);
  r.pass_wait(Micros{9'000}, w.now, w.lateness);
  CHECK(r.in(Phase::queue) == Micros{0});
  CHECK(r.in(Phase::connect) == Micros{5'000});
  w.turn(5'000, 0, 0);
  r.pass_wait(Micros{0}, w.now, w.lateness);
  CHECK(r.in(Phase::queue) == Micros{5'000});
}
