// The order in which clients came, and the way through it in parts.
#include "runtime/client_roll.h"

#include <deque>

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using runtime::ClientRoll;
using runtime::RolledClient;

namespace {

constexpr base::Micros from_the_start{-1};
constexpr uint32_t many = 1000;

struct Ten {
  Ten() {
    for (int i = 0; i < 10; ++i) roll.enter(clients.emplace_back(), base::Micros{100});
  }
  RolledClient* find(base::Micros from, uint32_t steps) { return roll.find(from, steps); }
  std::deque<RolledClient> clients;
  ClientRoll roll;
};

}  // namespace

TEST_CASE("those that came in one turn come one after the other, and no later one before them") {
  Ten ten;
  for (int i = 0; i < 10; ++i) CHECK(ten.clients[i].came() == base::Micros{100 + i});
  RolledClient later;
  ten.roll.enter(later, base::Micros{104});
  CHECK(later.came() == base::Micros{110});
  CHECK(ten.find(from_the_start, many) == &ten.clients[0]);
  CHECK(ten.find(base::Micros{105}, many) == &ten.clients[5]);
  CHECK(ten.find(base::Micros{111}, many) == nullptr);
}

TEST_CASE("a search that runs out of steps goes on there, and one that asks for less begins anew") {
  Ten ten;
  uint32_t steps = 4;
  CHECK(ten.roll.find(base::Micros{108}, steps) == &ten.clients[4]);
  CHECK(steps == 0);
  steps = 4;
  CHECK(ten.roll.find(base::Micros{108}, steps) == &ten.clients[7]);  // from the last one that was passed
  steps = 4;
  CHECK(ten.roll.find(base::Micros{108}, steps) == &ten.clients[8]);
  CHECK(steps == 2);
  CHECK(ten.find(base::Micros{101}, many) == &ten.clients[1]);
}

TEST_CASE("who goes takes the place to go on from along with it, but not the way to it") {
  Ten ten;
  ten.roll.mark(ten.clients[6]);
  for (int i : {6, 5, 7}) ten.roll.leave(ten.clients[i]);
  uint32_t steps = 2;
  CHECK(ten.roll.find(base::Micros{109}, steps) == &ten.clients[9]);
  for (int i = 0; i < 5; ++i) ten.roll.leave(ten.clients[i]);
  CHECK(ten.find(from_the_start, 1) == &ten.clients[8]);
  ten.roll.leave(ten.clients[8]);
  ten.roll.leave(ten.clients[9]);
  CHECK(ten.find(from_the_start, 1) == nullptr);
}
