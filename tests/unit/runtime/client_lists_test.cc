// Who has to go first, on one worker and over several.
#include "runtime/client_lists.h"

#include <vector>

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using runtime::ClientLists;
using runtime::ClientStage;
using runtime::Fronts;
using runtime::ListedClient;

namespace {

constexpr base::Micros at(double seconds) { return base::Micros{static_cast<int64_t>(seconds * 1e6)}; }

}  // namespace

TEST_CASE(
    "who made no request for over a second goes first, then who lingers, then who is idle for longest; busy ones "
    "never") {
  Fronts fronts;
  ClientLists lists(fronts);
  ListedClient early_one, young, lingers, idle_long, idle_short, busy, waits;
  lists.enter(idle_long, ClientStage::idle, at(1));
  lists.enter(idle_short, ClientStage::idle, at(2));
  lists.enter(busy, ClientStage::busy, at(0));
  lists.enter(waits, ClientStage::waiting, at(0));
  lists.enter(lingers, ClientStage::leaving, at(3));
  lists.enter(early_one, ClientStage::early, at(4));
  lists.enter(young, ClientStage::early, at(9));
  CHECK(lists.placed() == 6);
  CHECK(lists.waiting() == 1);
  for (ListedClient* const next : {&early_one, &lingers, &idle_long, &idle_short}) {
    CHECK(lists.first_to_go(at(10)) == next);
    lists.leave(*next);
  }
  CHECK(lists.first_to_go(at(10)) == nullptr);
  CHECK(lists.first_to_go(at(10.000001)) == &young);    // over a second, to the microsecond
  lists.leave(young);
  CHECK(lists.first_to_go(at(1000)) == nullptr);
  CHECK(lists.placed() == 1);
}

TEST_CASE("a client that is busy again has to wait for longest once more; leaving twice is harmless") {
  Fronts fronts;
  ClientLists lists(fronts);
  ListedClient a, b;
  lists.enter(a, ClientStage::idle, at(1));
  lists.enter(b, ClientStage::idle, at(2));
  lists.enter(a, ClientStage::busy, at(3));
  CHECK(lists.first_to_go(at(4)) == &b);
  lists.enter(a, ClientStage::idle, at(5));
  CHECK(lists.first_to_go(at(6)) == &b);
  lists.leave(b);
  lists.leave(b);
  CHECK(lists.first_to_go(at(6)) == &a);
  CHECK(lists.placed() == 1);
  lists.leave(a);
  CHECK(lists.any() == nullptr);
}

TEST_CASE("of several workers the one is asked that has the client that has to go first; of equals oneself") {
  std::vector<Fronts> fronts(3);
  ClientLists one(fronts[0]), two(fronts[1]), three(fronts[2]);
  const auto first = [&](double now, uint32_t self = 0) { return Fronts::first_to_go(fronts, at(now), self); };
  CHECK_FALSE(first(10).has_value());
  ListedClient idle_one, idle_two, idle_three, silent, busy;
  one.enter(busy, ClientStage::busy, at(0));
  CHECK_FALSE(first(10).has_value());
  one.enter(idle_one, ClientStage::idle, at(2));
  two.enter(idle_two, ClientStage::idle, at(1));
  three.enter(idle_three, ClientStage::idle, at(1));
  CHECK(first(10) == 1);
  CHECK(first(10, 2) == 2);
  one.enter(silent, ClientStage::early, at(9));
  CHECK(first(10) == 1);                                // a second, not over it
  CHECK(first(10.1) == 0);
  one.leave(silent);
  two.leave(idle_two);
  three.leave(idle_three);
  CHECK(first(10) == 0);
  one.leave(idle_one);
  CHECK_FALSE(first(10).has_value());
}
