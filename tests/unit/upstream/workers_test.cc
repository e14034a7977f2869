// Several workers with one cap: idle connections are given up, freed slots go to who has waited longest, nobody
// starves, no slot is lost or counted twice.
#include <algorithm>
#include <deque>

#include "fakes.h"
#include "support/random.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using fakes::Answer;
using fakes::Request;
using fakes::World;
using http::CloseCause;
using http::Kind;

TEST_CASE("the cap is the process's: a worker at it gets the idle connection's slot of another") {
  World w(2);
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask(0);
  w.sim.settle();
  a.finish();
  Request& b = w.ask(1);
  w.sim.run_for(base::Millis{2});
  REQUIRE(b.served());
  CHECK(w.endpoint(0).connections() == 1);
  CHECK(w.connectors[0]->live() == 0);
  CHECK(w.closed(CloseCause::given_up) == 1);
}

TEST_CASE("nothing idle: the next release goes to the other worker's waiter") {
  World w(2);
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask(0);
  w.sim.settle();
  Request& b = w.ask(1);
  w.sim.run_for(base::Millis{100});
  CHECK_FALSE(b.served());
  w.sim.post({}, [&] { a.finish(); });
  w.sim.run_for(base::Millis{2});
  CHECK(b.served());
  CHECK(b.grant.queue_wait >= base::Micros{100'000});
  CHECK(w.endpoint(0).connections() == 1);
}

TEST_CASE("a cap of 1 with two busy workers starves neither") {
  World w(2);
  w.options->pool.max_connections = 1;
  w.options->pool.acquire_timeout = base::Millis{5'000};
  w.options->pool.max_waiting = 10'000;
  w.some_endpoints(1);
  w.start();
  // Each worker always has ten requests; each takes 1 ms. A worker that kept its connection would starve the other.
  std::vector<std::deque<Request*>> open(2);
  std::vector<int> served(2);
  std::int64_t longest = 0;
  for (int ms = 0; ms < 4'000; ++ms) {
    for (std::uint32_t k = 0; k < 2; ++k) {
      while (open[k].size() < 10) open[k].push_back(&w.ask(k));
    }
    w.sim.run_for(base::Millis{1});
    for (std::uint32_t k = 0; k < 2; ++k) {
      const auto it = std::find_if(open[k].begin(), open[k].end(), [](const Request* r) { return r->served(); });
      if (it == open[k].end()) continue;
      Request* const r = *it;
      open[k].erase(it);
      ++served[k];
      longest = std::max(longest, r->grant.queue_wait.count);
      w.sim.post({}, [r] { r->finish(); });
    }
    REQUIRE(w.endpoint(0).connections() <= 1);
  }
  CHECK(served[0] + served[1] > 3'000);
  CHECK(served[0] > 1'500);
  CHECK(served[1] > 1'500);
  CHECK(longest < 60'000);  // 20 requests of 1 ms are ahead of each, and some connects
  CHECK(w.dials() < 1'000);  // and the connection does not change hands with every request
  w.sim.settle();
  for (auto& q : open) {
    for (Request* r : q) r->unlink();
  }
}

TEST_CASE("a slot that is passed to a worker with nobody waiting any more goes on or back") {
  World w(3);
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask(0);
  w.sim.settle();
  Request& b = w.ask(1);
  w.sim.run_for(base::Millis{20});
  Request& c = w.ask(2);
  w.sim.run_for(base::Millis{20});
  w.sim.post({}, [&] { a.finish(); });
  w.sim.post({}, [&] { b.unlink(); });  // before the slot arrives
  w.sim.run_for(base::Millis{5});
  CHECK(w.passed < 5);
  REQUIRE(c.served());
  CHECK(w.endpoint(0).connections() == 1);
  w.sim.post({}, [&] { c.finish(); });
  w.sim.run_for(base::Millis{5});
  CHECK(w.endpoint(0).connections() == 1);  // idle
}

TEST_CASE("a lost message costs nothing but time") {
  World w(2);
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask(0);
  w.sim.settle();
  Request& b = w.ask(1);
  w.sim.run_for(base::Millis{20});
  w.lose_slots = true;
  w.sim.post({}, [&] { a.finish(); });
  w.sim.run_for(base::Millis{100});
  CHECK(w.passed > 0);
  CHECK(b.served());  // the slot went back, and b looks again every ask_every
}

TEST_CASE("a failed connect closes the idle connections of all workers") {
  World w(2);
  w.some_endpoints(2);
  w.start();
  std::vector<Request*> r;
  for (int i = 0; i < 12; ++i) r.push_back(&w.ask(static_cast<std::uint32_t>(i % 2)));
  w.sim.settle();
  for (Request* q : r) q->finish();
  const std::uint32_t before = w.endpoint(0).connections();
  REQUIRE(before > 2);
  const std::string bad = w.endpoint(0).name();
  for (auto* c : w.connectors) {
    c->answer = [&](const SharedEndpoint& e) { return e.name() == bad ? Answer::refuse : Answer::accept; };
  }
  Want fresh;
  fresh.fresh = true;
  int refused = 0;
  while (refused == 0) {
    Request& q = w.ask(0, fresh);
    w.sim.settle();
    refused += q.refused.kind == Kind::connect_failed ? 1 : 0;
  }
  w.sim.run_for(base::Millis{1});
  CHECK(w.endpoint(0).connections() == 0);
  CHECK(w.closed(CloseCause::health) == before);
}

TEST_CASE("max_in_flight holds for all workers together, and starves none") {
  World w(2);
  w.options->pool.max_in_flight = 2;
  w.options->pool.acquire_timeout = base::Millis{60'000};
  w.some_endpoints(1);
  w.start();
  // Worker 0 always has somebody who waits; worker 1 wants one now and then.
  std::vector<Request*> busy;
  for (int i = 0; i < 6; ++i) busy.push_back(&w.ask(0));
  Request* other = nullptr;
  int served = 0;
  for (int turn = 0; turn < 2'000; ++turn) {
    w.sim.run_for(base::Millis{1});
    CHECK(w.endpoint(0).in_flight() <= 2);
    if (other != nullptr && other->served()) {
      ++served;
      other->finish();
      other = nullptr;
    } else if (other == nullptr && turn % 20 == 0) {
      other = &w.ask(1);
      continue;  // both places are taken
    }
    for (Request*& r : busy) {
      if (!r->served()) continue;
      r->finish();
      r = &w.ask(0);
      break;
    }
  }
  CHECK(served >= 20);
  CHECK(w.passed >= 20);
  for (auto& r : w.requests) {
    if (r->served()) r->finish();
  }
}

TEST_CASE("max_in_flight: a place that is passed on and lost goes back") {
  World w(2);
  w.options->pool.max_in_flight = 1;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask(0);
  w.sim.settle();
  Request& b = w.ask(1);
  w.sim.settle();
  w.lose_slots = true;
  a.finish();
  w.sim.run_for(base::Millis{50});  // it asks again by itself
  CHECK(w.passed == 1);
  REQUIRE(b.served());
  b.finish();
  CHECK(w.endpoint(0).in_flight() == 0);
}

namespace {

// Two workers, a full pool of two whose connections travel; worker 0 has both.
void fill_pool(World& w) {
  w.options->pool.max_connections = 2;
  w.some_endpoints(1);
  w.start();
  for (fakes::FakeConnector* c : w.connectors) c->travels = true;
  Request& a = w.ask(0);
  Request& b = w.ask(0);
  w.sim.settle();
  REQUIRE((a.served() && b.served()));
  a.finish();
  b.finish();
  w.sim.settle();
}

}  // namespace

TEST_CASE("at the cap an idle connection goes to the worker that needs it, as it is") {
  World w(2);
  fill_pool(w);
  Request& other = w.ask(1);
  w.sim.run_for(base::Millis{50});
  REQUIRE(other.served());
  CHECK(other.grant.reused);
  CHECK(w.parcels >= 1);
  CHECK(w.dials() == 2);
  CHECK(w.closed(http::CloseCause::given_up) == 0);
  CHECK(w.endpoint(0).connections() == 2);
  // One that becomes free meanwhile does, too.
  Request& again = w.ask(0);
  Request& waits = w.ask(0);
  w.sim.run_for(base::Millis{50});
  CHECK(again.served());
  CHECK_FALSE(waits.served());
  other.finish();
  w.sim.run_for(base::Millis{50});
  CHECK(waits.served());
  CHECK(w.dials() == 2);
  again.finish();
  waits.finish();
}

TEST_CASE("a connection that ends, is lost or is not wanted on its way gives its slot back") {
  for (const std::string_view what : {"lost", "ended", "another way", "left the set", "retired"}) {
    CAPTURE(what);
    World w(2);
    fill_pool(w);
    w.lose_slots = what == "lost";
    fakes::FakePacked::dies = what == "ended";
    if (what == "another way") w.connectors[0]->way_ = std::make_shared<Way>();
    Request& other = w.ask(1);
    w.sim.until([&] { return w.parcels != 0; }, base::Millis{50});
    REQUIRE(w.parcels != 0);
    if (what == "left the set") {
      w.endpoints({{"10.9.9.9:80", 1}});
      w.publish(http::CloseCause::dns_removed);
    }
    if (what == "retired") w.clusters[1]->retire(http::CloseCause::reload);
    w.sim.run_for(base::Millis{200});
    w.lose_slots = fakes::FakePacked::dies = false;
    w.sim.run_for(base::Millis{200});
    REQUIRE(other.served());
    CHECK_FALSE(other.grant.reused);
    CHECK(w.endpoint(0).connections() == w.connectors[0]->live() + w.connectors[1]->live());
    other.finish();
  }
}

namespace {

// Below the cap: worker 0 has one idle connection.
void fill_one(World& w) {
  w.some_endpoints(1);
  w.start();
  for (fakes::FakeConnector* c : w.connectors) c->travels = true;
  Request& first = w.ask(0);
  w.sim.settle();
  REQUIRE(first.served());
  first.finish();
  w.sim.run_for(Endpoint::spare_after);
}

}  // namespace

TEST_CASE("below the cap a worker takes over a connection that is idle elsewhere") {
  World w(3);
  fill_one(w);
  for (const std::uint32_t worker : {1u, 2u, 0u, 2u}) {
    Request& other = w.ask(worker);
    w.sim.until([&] { return other.served(); }, Endpoint::ask_patience);
    REQUIRE(other.served());
    CHECK(other.grant.reused);
    other.finish();
    w.sim.run_for(Endpoint::spare_after);
  }
  CHECK(w.dials() == 1);
  CHECK(w.endpoint(0).connections() == 1);
  CHECK(w.endpoint(0).load() == 0);
  CHECK(w.gauge(metrics::Name::upstream_connections_handed_over_total) == 4);
}

TEST_CASE("who has none to spare asks the next one that may") {
  World w(4);
  fill_one(w);
  w.endpoint(0).may_spare(1);  // hints that are not true any more
  w.endpoint(0).may_spare(2);
  Request& other = w.ask(3);  // asks 0 first, in a circle
  w.sim.until([&] { return other.served(); }, Endpoint::ask_patience);
  REQUIRE(other.served());
  other.finish();
  w.sim.run_for(Endpoint::spare_after);
  w.endpoint(0).may_spare(1);
  w.endpoint(0).may_spare(2);
  w.spares_asked = 0;
  Request& next = w.ask(0);  // 1, 2, then 3 has it
  w.sim.until([&] { return next.served(); }, Endpoint::ask_patience);
  REQUIRE(next.served());
  CHECK(w.spares_asked == 3);
  CHECK(w.dials() == 1);
  next.finish();
  w.sim.settle();
  for (const std::uint32_t worker : {1u, 2u, 3u}) w.endpoint(0).may_spare(worker);
  w.spares_asked = 0;
  Request& last = w.ask(2);  // 3, 0 (in use just now), 1: nobody; each was asked once
  w.sim.until([&] { return last.served(); }, Endpoint::ask_patience);
  REQUIRE(last.served());
  CHECK(w.spares_asked == 3);
  CHECK(w.dials() == 2);
  last.finish();
}

TEST_CASE("what was in use just now, or is kept for min_idle, stays; who asked connects at once") {
  for (const bool min_idle : {false, true}) {
    CAPTURE(min_idle);
    World w(2);
    fill_one(w);
    if (min_idle) {
      w.options = std::make_shared<UpstreamOptions>(*w.options);
      w.options->pool.min_idle = 2;
      for (auto& c : w.clusters) c->configure(w.options, w.shared->endpoints(), nullptr);
    } else {
      Request& again = w.ask(0);
      w.sim.settle();
      again.finish();
      w.sim.settle();
    }
    const base::Micros asked = w.sim.now();
    const std::uint32_t before = w.dials();
    Request& other = w.ask(1);
    w.sim.until([&] { return other.served(); }, base::Millis{50});
    REQUIRE(other.served());
    CHECK(w.spares_asked == 1);
    CHECK(w.parcels == 0);
    CHECK_FALSE(other.grant.reused);
    CHECK(w.dials() > before);
    CHECK(w.sim.now() - asked < base::Micros(Endpoint::ask_patience));
    other.finish();
  }
}

TEST_CASE("who is asked and says nothing is waited for no longer than for a turn") {
  World w(2);
  fill_one(w);
  w.lose_slots = true;
  const base::Micros asked = w.sim.now();
  Request& other = w.ask(1);
  Request& left = w.ask(1);
  left.unlink();
  w.sim.until([&] { return other.served(); }, base::Millis{50});
  REQUIRE(other.served());
  CHECK(w.dials() == 2);  // none for who left
  CHECK(w.sim.now() - asked <= base::Micros(Endpoint::ask_patience) + base::Micros{1'000});
  CHECK(w.endpoint(0).connections() == 2);
  other.finish();
}

TEST_CASE("a connection that comes late is an idle one more") {
  World w(2);
  fill_one(w);
  w.delay = base::Millis{5};
  Request& other = w.ask(1);
  w.sim.run_for(base::Millis{20});
  REQUIRE(other.served());
  CHECK_FALSE(other.grant.reused);
  CHECK(w.endpoint(0).connections() == 2);
  Request& next = w.ask(1);
  CHECK(next.served());
  CHECK(next.grant.reused);
  CHECK(w.dials() == 2);
  next.finish();
  other.finish();
}

TEST_CASE("who asks while the caps fill up waits in the queue") {
  World w(2);
  w.options->pool.max_connections = 2;
  fill_one(w);
  Request& busy = w.ask(0);
  w.sim.settle();
  w.lose_slots = true;
  Request& asks = w.ask(1);
  Request& fills = w.ask(0);  // the last place
  w.sim.settle();
  CHECK((busy.served() && fills.served()));
  w.lose_slots = false;
  w.sim.run_for(base::Millis{10});
  CHECK_FALSE(asks.served());
  CHECK(w.shared->waiting() == 1);
  busy.finish();
  w.sim.run_for(base::Millis{50});
  REQUIRE(asks.served());
  asks.finish();
  fills.finish();
}

TEST_CASE("who asks while its endpoint leaves is served elsewhere") {
  World w(2);
  fill_one(w);
  w.lose_slots = true;
  Request& asks = w.ask(1);
  w.endpoints({{"10.9.9.9:80", 1}});
  w.publish(http::CloseCause::dns_removed);
  w.sim.run_for(base::Millis{50});
  REQUIRE(asks.served());
  CHECK(asks.endpoint() == "10.9.9.9:80");
  asks.finish();
}

TEST_CASE("min_idle is shared out among the workers") {
  World w(3);
  w.options->pool.min_idle = 4;
  w.some_endpoints(1);
  w.start();
  w.sim.run_for(base::Millis{10});
  CHECK(w.endpoint(0).connections() == 4);
  for (auto& c : w.clusters) CHECK(c->warm());
}

// Random life of three workers: requests, ends, deaths, failures, changes. In the end every count is zero, and no cap
// was passed.
TEST_CASE("no count drifts, whatever happens") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    support::Random random(seed);
    World w(3);
    const std::uint32_t cap = 1 + static_cast<std::uint32_t>(random.below(4));
    w.options->pool.max_connections = cap;
    w.options->pool.max_waiting = 30;
    w.options->pool.max_tunnels = 2;
    w.options->pool.idle_timeout = base::Millis{200};
    w.options->pool.max_lifetime = base::Millis{500};
    w.options->pool.max_requests = 1 + random.below(20);
    w.options->pool.acquire_timeout = base::Millis{50};
    w.options->pool.min_idle = static_cast<std::uint32_t>(random.below(3));
    w.some_endpoints(3);
    w.start();
    for (auto* c : w.connectors) {
      c->streams_per_connection = 1 + static_cast<std::uint32_t>(random.below(3));
      c->answer = [&random](const SharedEndpoint&) { return random.one_in(8) ? Answer::refuse : Answer::accept; };
    }
    std::vector<Request*> live;
    std::vector<std::shared_ptr<SharedEndpoint>> ever;
    for (const EndpointEntry& e : w.shared->endpoints()->entries) ever.push_back(e.endpoint);
    for (int step = 0; step < 600; ++step) {
      switch (random.below(12)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4: {
          Want want;
          want.fresh = random.one_in(10);
          want.borrow = random.one_in(4) ? http::Borrow::surely : http::Borrow::quick;
          live.push_back(&w.ask(static_cast<std::uint32_t>(random.below(3)), want));
          break;
        }
        case 5:
        case 6:
        case 7:
        case 8: {
          if (live.empty()) break;
          const std::size_t i = random.below(live.size());
          Request* const r = live[i];
          if (!r->served()) {
            if (!r->refused.clean()) live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
            break;
          }
          live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
          const Outcome outcome = random.one_in(20) ? Outcome::idle_race : Outcome::answered;
          w.sim.post({}, [r, outcome] { r->finish(outcome); });
          break;
        }
        case 9: {
          if (live.empty()) break;
          const std::size_t i = random.below(live.size());
          if (live[i]->served()) break;
          live[i]->unlink();
          live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
          break;
        }
        case 10: w.sim.run_for(base::Millis{static_cast<std::int64_t>(random.below(40))}); break;
        case 11: {
          if (!random.one_in(4)) break;
          w.some_endpoints(1 + static_cast<std::uint32_t>(random.below(4)));
          w.publish(CloseCause::dns_removed);
          for (const EndpointEntry& e : w.shared->endpoints()->entries) {
            ever.push_back(e.endpoint);
            w.shared->set_health(*e.endpoint, random.one_in(3) ? Health::down : Health::up);
          }
          break;
        }
      }
      w.sim.settle();
      for (const auto& e : ever) REQUIRE(e->connections() <= cap);
    }
    for (int ms = 0; ms < 2'000; ++ms) {  // those that still wait are served or refused meanwhile
      for (Request* r : live) {
        if (r->served()) w.sim.post({}, [r] { r->finish(); });
      }
      w.sim.run_for(base::Millis{1});
    }
    for (Request* r : live) CHECK((r->upcalls > 0 || r->grant.lease.endpoint() != nullptr));
    w.requests.clear();
    for (auto& c : w.clusters) c->retire(CloseCause::reload);
    w.sim.run_for(base::Millis{2'000});
    for (auto& c : w.clusters) CHECK(c->finished());
    for (const auto& e : ever) {
      CHECK(e->connections() == 0);
      CHECK(e->in_flight() == 0);
      CHECK(e->load() == 0);
      CHECK(e->tunnels() == 0);
    }
    CHECK(w.shared->waiting() == 0);
    CHECK_FALSE(w.shared->board().anyone());
    for (auto* c : w.connectors) CHECK(c->live() == 0);
    for (const char* state : {"connecting", "active", "idle"})
      CHECK(w.gauge(metrics::Name::upstream_connections, state) == 0);
    CHECK(w.gauge(metrics::Name::upstream_pool_waiting) == 0);
  }
}

}  // namespace
