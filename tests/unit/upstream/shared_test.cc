// What workers share: caps, tunnels, set-aside with its doubling, retry budget, announcements, identity of endpoints
// over changes.
#include "upstream/shared.h"

#include <array>
#include <barrier>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using Trial = SharedEndpoint::Trial;

base::Micros at_ms(std::int64_t ms) { return base::Micros{3'600'000'000 + ms * 1000}; }

EndpointSpec spec(const std::string& name, std::uint32_t weight = 1) {
  return {name, *net::Address::parse(name), weight};
}

TEST_CASE("the cap holds at its value, not one more") {
  SharedEndpoint e(1, "a", *net::Address::parse("127.0.0.1:80"));
  CHECK(e.open_slot(2));
  CHECK(e.open_slot(2));
  CHECK_FALSE(e.open_slot(2));
  e.close_slot();
  CHECK(e.open_slot(2));
  CHECK(e.connections() == 2);
}

TEST_CASE("a tunnel leaves the cap, up to max_tunnels") {
  SharedEndpoint e(1, "a", *net::Address::parse("127.0.0.1:80"));
  REQUIRE(e.open_slot(1));
  CHECK(e.enter_tunnel(1));
  CHECK(e.connections() == 0);
  CHECK(e.tunnels() == 1);
  REQUIRE(e.open_slot(1));
  CHECK_FALSE(e.enter_tunnel(1));
  CHECK(e.connections() == 1);
  e.leave_tunnel();
  CHECK(e.enter_tunnel(1));
}

TEST_CASE("the cap holds among threads") {
  SharedEndpoint e(1, "a", *net::Address::parse("127.0.0.1:80"));
  std::atomic<std::uint32_t> most{0};
  auto work = [&] {
    for (int i = 0; i < 20'000; ++i) {
      if (!e.open_slot(3)) continue;
      std::uint32_t seen = e.connections();
      std::uint32_t old = most.load();
      while (seen > old && !most.compare_exchange_weak(old, seen)) {
      }
      e.close_slot();
    }
  };
  std::thread a(work);
  std::thread b(work);
  a.join();
  b.join();
  CHECK(most.load() <= 3);
  CHECK(e.connections() == 0);
}

TEST_CASE("set aside: 1 s, doubling to 10 s, one trial after each, over with a success") {
  SharedEndpoint e(1, "a", *net::Address::parse("127.0.0.1:80"));
  std::int64_t t = 0;
  CHECK_FALSE(e.aside(at_ms(t)));
  CHECK(e.claim_trial(at_ms(t), base::Millis{2'000}) == Trial::no);
  CHECK(e.connect_failed(at_ms(t), Trial::no));
  CHECK_FALSE(e.connect_failed(at_ms(t), Trial::no));  // the others that fail with it change nothing
  for (const std::int64_t expected : {1'000, 2'000, 4'000, 8'000, 10'000, 10'000}) {
    CAPTURE(expected);
    CHECK(e.standing().ends() == at_ms(t + expected));
    CHECK(e.aside(at_ms(t + expected - 1)));
    CHECK_FALSE(e.aside(at_ms(t + expected)));
    CHECK(e.claim_trial(at_ms(t + expected - 1), base::Millis{2'000}) == Trial::no);
    t += expected;
    CHECK(e.claim_trial(at_ms(t), base::Millis{2'000}) == Trial::yes);
    CHECK(e.claim_trial(at_ms(t), base::Millis{2'000}) == Trial::no);  // one only
    CHECK(e.aside(at_ms(t + 1)));  // for the others still aside
    CHECK_FALSE(e.connect_failed(at_ms(t), Trial::no));  // a late failure of an old connect
    CHECK(e.connect_failed(at_ms(t), Trial::yes));
  }
  e.connected(at_ms(t), Trial::no);
  CHECK_FALSE(e.aside(at_ms(t)));
  CHECK(+e.standing().aside_level == 0);
  CHECK(e.connect_failed(at_ms(t), Trial::no));
  CHECK(e.standing().ends() == at_ms(t + 1'000));
}

TEST_CASE("a trial that never reports is followed by another") {
  SharedEndpoint e(1, "a", *net::Address::parse("127.0.0.1:80"));
  REQUIRE(e.connect_failed(at_ms(0), Trial::no));
  REQUIRE(e.claim_trial(at_ms(1'000), base::Millis{2'000}) == Trial::yes);
  CHECK(e.claim_trial(at_ms(2'999), base::Millis{2'000}) == Trial::no);
  CHECK(e.claim_trial(at_ms(3'000), base::Millis{2'000}) == Trial::yes);
}

TEST_CASE("a race is remembered for a while") {
  SharedEndpoint e(1, "a", *net::Address::parse("127.0.0.1:80"));
  CHECK_FALSE(e.race_seen(at_ms(0)));
  e.note_race(at_ms(0));
  CHECK(e.race_seen(at_ms(599'999)));
  CHECK_FALSE(e.race_seen(at_ms(600'000)));
}

TEST_CASE("retry budget: a share of the requests of 10 s, with a floor of 30 in the window") {
  RetryBudget budget(1);
  for (int i = 0; i < 30; ++i) CHECK(budget.admit(0, at_ms(0), 0.2));
  CHECK_FALSE(budget.admit(0, at_ms(0), 0.2));  // the floor is drawn
  CHECK_FALSE(budget.admit(0, at_ms(9'000), 0.2));
  CHECK(budget.admit(0, at_ms(10'000), 0.2));  // that second has left the window

  RetryBudget busy(1);
  for (int i = 0; i < 1'000; ++i) busy.count_request(0, at_ms(i * 5));
  int admitted = 0;
  while (busy.admit(0, at_ms(5'000), 0.2)) ++admitted;
  CHECK(admitted == 200);
  CHECK(busy.used(at_ms(5'000), 0.2) == 1.0);
  CHECK(busy.used(at_ms(5'000), 0.4) == 0.5);
  CHECK_FALSE(busy.admit(0, at_ms(5'000), 0.2));

  RetryBudget none(1);
  for (int i = 0; i < 1'000; ++i) none.count_request(0, at_ms(i));
  int floor_only = 0;
  while (none.admit(0, at_ms(1'000), 0.0)) ++floor_only;
  CHECK(floor_only == 30);
}

TEST_CASE("requests of the window that is over no longer count") {
  RetryBudget budget(1);
  for (int i = 0; i < 1'000; ++i) budget.count_request(0, at_ms(0));
  int admitted = 0;
  while (budget.admit(0, at_ms(10'000), 0.2)) ++admitted;
  CHECK(admitted == 30);
}

TEST_CASE("requests and retries of all workers count, whoever asks") {
  RetryBudget budget(3);
  for (int i = 0; i < 1'000; ++i) budget.count_request(static_cast<std::uint32_t>(i % 2), at_ms(i));
  int admitted = 0;
  while (budget.admit(static_cast<std::uint32_t>(admitted % 3), at_ms(2'000), 0.2)) ++admitted;
  CHECK(admitted == 200);
  for (std::uint32_t worker = 0; worker < 3; ++worker) CHECK_FALSE(budget.admit(worker, at_ms(2'000), 0.2));

  RetryBudget ahead(2);  // its clock is a turn ahead of who asks
  for (int i = 0; i < 30; ++i) CHECK(ahead.admit(1, at_ms(1'300), 0.2));
  CHECK_FALSE(ahead.admit(0, at_ms(1'200), 0.2));
  CHECK_FALSE(ahead.admit(0, at_ms(8'700), 0.2));
  CHECK(ahead.admit(0, at_ms(11'300), 0.2));
}

TEST_CASE("a worker that was silent for days has nothing in the window") {
  RetryBudget budget(2);
  for (int i = 0; i < 30; ++i) REQUIRE(budget.admit(0, at_ms(0), 0.2));
  for (const std::int64_t days : {1, 10, 15}) CHECK(budget.admit(1, at_ms(days * 86'400'000), 0.2));
}

// Those that ask at the same moment do not see each other: the bound that shared.h states.
TEST_CASE("retries of workers that ask at once pass the limit by one for each other worker at most") {
  constexpr std::uint32_t workers = 4;
  constexpr int rounds = 300;
  RetryBudget budget(workers);
  std::vector<std::array<int, rounds>> admitted(workers);
  std::barrier<> together(workers);
  auto work = [&](std::uint32_t me) {
    for (int round = 0; round < rounds; ++round) {
      const base::Micros now = at_ms(std::int64_t{round} * 20'000);
      for (int i = 0; i < 100; ++i) budget.count_request(me, now);
      together.arrive_and_wait();
      while (budget.admit(me, now, 0.2)) ++admitted[me][static_cast<std::size_t>(round)];
      together.arrive_and_wait();
    }
  };
  std::vector<std::thread> threads;
  for (std::uint32_t w = 0; w < workers; ++w) threads.emplace_back(work, w);
  for (std::thread& t : threads) t.join();
  for (std::size_t round = 0; round < rounds; ++round) {
    int sum = 0;
    for (const auto& one : admitted) sum += one[round];
    CAPTURE(round);
    CHECK(sum >= 80);  // 0.2 of 400
    CHECK(sum <= 80 + static_cast<int>(workers) - 1);
  }
}

TEST_CASE("max_waiting is the process's") {
  SharedUpstream u("app", 2);
  CHECK(u.enter_queue(2));
  CHECK(u.enter_queue(2));
  CHECK_FALSE(u.enter_queue(2));
  u.leave_queue();
  CHECK(u.enter_queue(2));
  CHECK(u.waiting() == 2);
}

TEST_CASE("the worker that has waited longest is found") {
  using enum WaitBoard::Own;
  SharedUpstream u("app", 3);
  auto longest = [&u](std::uint32_t me, std::int64_t than_ms) {
    return u.board().longest(me, at_ms(than_ms), at_ms(than_ms));
  };
  CHECK_FALSE(u.board().anyone());
  u.board().announce(0, at_ms(30), some);
  u.board().announce(1, at_ms(20), some);
  u.board().announce(2, at_ms(10), some);
  CHECK(longest(0, 100) == 2);
  CHECK(longest(2, 100) == 1);
  CHECK_FALSE(longest(0, 10).has_value());
  u.board().announce(2, {}, some);
  CHECK(longest(0, 100) == 1);
  // A limit of its own for workers without any connection.
  u.board().announce(1, at_ms(20), bare);
  CHECK_FALSE(u.board().longest(0, at_ms(15), at_ms(15)).has_value());
  CHECK(u.board().longest(0, at_ms(15), at_ms(100)) == 1);
  CHECK_FALSE(u.board().longest(1, at_ms(15), at_ms(100)).has_value());
  u.board().announce(0, {}, some);
  u.board().announce(1, {}, bare);
  u.board().announce(1, {}, some);
  CHECK_FALSE(u.board().anyone());
}

TEST_CASE("endpoints that stay keep their identity, counts and health") {
  SharedUpstream u("app", 1);
  EndpointSetPtr first = u.set_endpoints(std::vector{spec("127.0.0.1:1"), spec("127.0.0.1:2")}, 50);
  SharedEndpoint& kept = *first->entries[1].endpoint;
  REQUIRE(kept.open_slot(8));
  u.set_health(kept, Health::down);
  const EndpointSetPtr second = u.set_endpoints(std::vector{spec("127.0.0.1:3"), spec("127.0.0.1:2", 5)}, 50);
  REQUIRE(second->entries.size() == 2);
  CHECK(second->entries[1].endpoint.get() == &kept);
  CHECK(second->entries[1].weight == 5);
  CHECK_FALSE(kept.healthy());
  CHECK(kept.connections() == 1);
  CHECK(second->entries[0].endpoint->id() != first->entries[0].endpoint->id());
  // An address that leaves and comes back is another endpoint.
  const std::uint64_t old_id = first->entries[0].endpoint->id();
  const EndpointSetPtr third = u.set_endpoints(std::vector{spec("127.0.0.1:1")}, 50);
  CHECK(third->entries[0].endpoint->id() != old_id);
}

TEST_CASE("doubles merge, names without an address are left out") {
  SharedUpstream u("app", 1);
  const EndpointSetPtr set = u.set_endpoints(
      std::vector{spec("127.0.0.1:1", 2), EndpointSpec{"app.internal:80", std::nullopt, 1}, spec("127.0.0.1:1", 3)},
      50);
  REQUIRE(set->entries.size() == 1);
  CHECK(set->entries[0].weight == 5);
}

TEST_CASE("a passed slot that is not taken goes back") {
  auto e = std::make_shared<SharedEndpoint>(1, "a", *net::Address::parse("127.0.0.1:80"));
  REQUIRE(e->open_slot(1));
  {
    PassedSlot lost(e);
  }
  CHECK(e->connections() == 0);
  REQUIRE(e->open_slot(1));
  {
    PassedSlot used(e);
    used.take();
  }
  CHECK(e->connections() == 1);
}

}  // namespace
