// When a worker refuses requests because it is late: at each bound and beside it.
#include "exchange/overload.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Micros;
using exchange::Overload;
using http::Lane;

namespace {

constexpr int64_t most = 20'000;

struct Worker {
  std::atomic<int64_t> max_lateness{most};
  Overload overload{max_lateness};
  Micros now{10'000'000};
  uint32_t number = 7;

  bool turn(int64_t after, int64_t late) {
    now = now + Micros{after};
    ++number;
    overload.turn(now, Micros{late});
    return overload.on();
  }
  void overload_it() {
    turn(1'000, most);
    REQUIRE(turn(Overload::interval.count, most));
    refuses(0);  // the first of this turn
  }
  bool refuses(int64_t late, Lane lane = Lane::normal) {
    return overload.refuses({now, Micros{0}, Micros{late}, number}, lane);
  }
};

}  // namespace

TEST_CASE("on when every turn of 100 ms began late, and not a microsecond before, nor if one did not") {
  Worker w;
  CHECK(!w.turn(1'000, most));
  CHECK(!w.turn(Overload::interval.count - 1, most));
  CHECK(w.turn(1, most));
  Worker calm;
  calm.turn(1'000, most);
  CHECK(!calm.turn(Overload::interval.count - 1, most - 1));
  CHECK(!calm.turn(1, most));                            // it begins anew
  CHECK(!calm.turn(Overload::interval.count - 1, most));
  CHECK(calm.turn(1, most));
}

TEST_CASE("one stall after an hour of silence is no overload, and 0 switches it off, also while it is on") {
  Worker w;
  w.turn(1'000, 0);
  CHECK(!w.turn(3'600'000'000, 10 * most));
  Worker off;
  off.max_lateness = 0;
  for (int i = 0; i < 10; ++i) CHECK(!off.turn(Overload::interval.count, 10 * most));
  off.max_lateness = most;
  off.overload_it();
  off.max_lateness = 0;
  CHECK(!off.turn(1'000, 10 * most));
}

TEST_CASE("who is later than the bound of its lane is refused; low ones first, high ones last") {
  Worker w;
  w.overload_it();
  CHECK(!w.refuses(most / 2 - 1, Lane::low));
  CHECK(w.refuses(most / 2, Lane::low));
  CHECK(!w.refuses(most - 1));
  CHECK(w.refuses(most));
  CHECK(!w.refuses(2 * most - 1, Lane::high));
  CHECK(w.refuses(2 * most, Lane::high));
}

TEST_CASE("the first of each turn is served, however late it is") {
  Worker w;
  w.overload_it();
  CHECK(w.refuses(100 * most));
  w.turn(5'000, 100 * most);
  CHECK(!w.refuses(100 * most));
  CHECK(w.refuses(100 * most));
}

TEST_CASE("off when nobody was refused for a second: turns in time in between do not make it flap") {
  Worker w;
  w.overload_it();
  CHECK(w.refuses(most));
  CHECK(w.turn(Overload::memory.count - 1, 0));
  CHECK(w.refuses(0) == false);
  CHECK(w.refuses(most));
  CHECK(w.turn(most + Overload::memory.count - 1, 0));
  CHECK(!w.turn(1, 0));
}

TEST_CASE("it begins within a long turn, if that one began late, too") {
  Worker w;
  w.turn(1'000, most);
  ++w.number;
  const Micros began = w.now + Micros{50'000};
  const auto refuses = [&](int64_t late, int64_t so_far) {
    return w.overload.refuses({began, Micros{late}, Micros{so_far}, w.number}, Lane::normal);
  };
  CHECK(!w.overload.calm());
  CHECK(!refuses(most, 0));                              // the first
  CHECK(!refuses(most, Overload::interval.count - 50'001));
  CHECK(!refuses(most - 1, Overload::interval.count));
  CHECK(!w.overload.on());
  CHECK(refuses(most, Overload::interval.count - 50'000));
  CHECK(w.overload.on());
}
