// One client beside others: its share of the places, and answers that nobody reads.
#include "upstream/client_shares.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "fakes.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

namespace sluice::upstream {
namespace {

using namespace fakes;

net::Address ip(const char* text) { return *net::Address::parse_ip(text); }

TEST_CASE("a mark is of an address, or of the /64 of one of IPv6; nobody has one of a Unix socket") {
  CHECK(client_mark(ip("192.0.2.7")) == client_mark(*net::Address::parse_ip("192.0.2.7", 4711)));
  CHECK(client_mark(ip("192.0.2.7")) != client_mark(ip("192.0.2.8")));
  CHECK(client_mark(ip("192.0.2.7")) == client_mark(ip("::ffff:192.0.2.7")));
  CHECK(client_mark(ip("2001:db8::1")) == client_mark(ip("2001:db8::ffff:1")));
  CHECK(client_mark(ip("2001:db8::1")) != client_mark(ip("2001:db8:0:1::1")));
  CHECK(client_mark(net::Address{}) == 0);
}

TEST_CASE("threads: what was held is given back, and no count is lost") {
  ClientShares shares;
  const ClientShares::Hold one = shares.hold(5);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&shares] {
        for (int i = 0; i < 2'000; ++i) const ClientShares::Hold hold = shares.hold(5);
      });
    }
  }
  CHECK(shares.held(5) == 1);
  CHECK(shares.held(6) == 0);
  CHECK(shares.held(0) == 0);
}

struct Shared : World {
  explicit Shared(std::uint32_t percent, std::uint32_t connections, std::uint32_t workers = 1) : World(workers) {
    options->pool.max_client_share = percent;
    options->pool.max_connections = connections;
    options->pool.acquire_timeout = base::seconds(60);
    some_endpoints(1);
    start();
  }
  Request& asked(std::uint32_t client, std::uint32_t worker = 0) {
    Request& r = ask(worker, Want{.client_mark = client});
    sim.settle();
    return r;
  }
  std::uint32_t held(std::uint32_t client) const { return shared->clients().held(client); }
};

TEST_CASE("one client alone has every place; while another waits, at most its share") {
  Shared w(50, 4);
  std::vector<Request*> first;
  for (int i = 0; i < 12; ++i) first.push_back(&w.asked(1));
  CHECK(w.held(1) == 4);
  std::vector<Request*> second;
  for (int i = 0; i < 6; ++i) second.push_back(&w.asked(2));
  for (int i = 0; i < 2; ++i) {  // two places come free: the second client has them, though ten waited before
    first[i]->finish();
    w.sim.run_for(base::millis(20));
  }
  CHECK(w.held(1) == 2);
  CHECK(w.held(2) == 2);
  first[2]->finish();  // both are below their share then: the oldest is next
  w.sim.run_for(base::millis(20));
  CHECK(w.held(1) == 2);
  while (!std::ranges::all_of(second, [](Request* r) { return r->upcalls == 1; })) {
    const auto holds = std::ranges::find_if(w.requests, [](auto& r) { return r->served(); });
    (*holds)->finish();
    w.sim.run_for(base::millis(20));
    CHECK(w.held(1) <= 2);
  }
}

TEST_CASE("with max_client_share 100 it is first come, first served, and nobody is counted") {
  Shared w(100, 2);
  std::vector<Request*> first;
  for (int i = 0; i < 4; ++i) first.push_back(&w.asked(1));
  Request& second = w.asked(2);
  CHECK(w.held(1) == 0);
  first[0]->finish();
  w.sim.run_for(base::millis(20));
  CHECK(first[2]->served());
  CHECK_FALSE(second.served());
}

TEST_CASE("a tunnel no longer counts in its client's share") {
  Shared w(50, 2);
  Request& r = w.asked(1);
  CHECK(w.held(1) == 1);
  r.grant.lease.became_tunnel();
  CHECK(w.held(1) == 0);
  r.finish();
  CHECK(w.held(1) == 0);
}

TEST_CASE(
    "of answers that nobody reads the longest-stalled gives way after 2 s, one after the other, while others wait") {
  Shared w(50, 3);
  Request& a = w.asked(1);
  Request& b = w.asked(1);
  Request& c = w.asked(1);
  a.stalled = w.sim.now() + base::millis(500);
  b.stalled = w.sim.now();
  w.sim.run_for(base::millis(5'000));
  CHECK_FALSE((a.gave_way || b.gave_way || c.gave_way));  // nobody waits
  b.stalled = w.sim.now();
  a.stalled = w.sim.now() + base::millis(500);
  Request& d = w.asked(2);
  w.sim.run_for(base::millis(1'990));
  CHECK_FALSE(b.gave_way);
  w.sim.run_for(base::millis(200));
  CHECK(b.gave_way);
  CHECK(d.served());
  w.sim.run_for(base::millis(3'000));
  CHECK_FALSE(a.gave_way);  // nobody waits any more
  Request& e = w.asked(2);
  w.sim.run_for(base::millis(200));
  CHECK(a.gave_way);
  CHECK(e.served());
  CHECK_FALSE(c.gave_way);  // its client reads
}

TEST_CASE("a stalled answer of one worker gives way to who waits in another") {
  Shared w(50, 1, 2);
  Request& a = w.asked(1, 0);
  a.stalled = w.sim.now();
  Request& b = w.asked(2, 1);
  w.sim.run_for(base::millis(2'300));
  CHECK(a.gave_way);
  CHECK(b.served());
}

}  // namespace
}  // namespace sluice::upstream
