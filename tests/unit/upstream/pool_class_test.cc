// Pool classes: a part of the pool for some routes, exact at its limit; who waits for a place of it holds up nobody
// else; places go by age, over all workers.
#include "upstream/pool_class.h"

#include <atomic>
#include <thread>
#include <vector>

#include "fakes.h"

#include <doctest/doctest.h>

namespace sluice::upstream {
namespace {

using namespace fakes;

const Want slow{.route = "slow"};
const Want fast{.route = "fast"};

struct Classed : World {
  explicit Classed(std::uint32_t limit, std::uint32_t connections = 8, std::uint32_t workers = 1) : World(workers) {
    options->pool_classes = {{.name = "bulk", .max_connections = limit, .routes = {"slow"}}};
    options->pool.max_connections = connections;
    some_endpoints(1);
    start();
  }
  Request& asked(std::uint32_t worker = 0, const Want& want = slow) {
    Request& r = ask(worker, want);
    sim.settle();
    return r;
  }
  Request& waits(std::uint32_t worker = 0, const Want& want = slow) {
    sim.run_for(base::millis(1));
    Request& r = asked(worker, want);
    CHECK_FALSE(r.served());
    CHECK(r.upcalls == 0);
    return r;
  }
  void end(Request& r) {
    r.finish();
    sim.settle();
    sim.run_for(base::Millis{1});  // messages
  }
  PoolClass& bulk() { return *shared->pool_class("bulk"); }
  // A reload: the class with another limit, or none.
  void reload(std::vector<PoolClassOptions> classes) {
    auto next = std::make_shared<UpstreamOptions>(*options);
    next->pool_classes = std::move(classes);
    options = next;
    const EndpointSetPtr set = shared->endpoints();
    for (auto& c : clusters) c->configure(options, set, nullptr);
    sim.settle();
    sim.run_for(base::Millis{1});
  }
};

TEST_CASE("class: at its limit the next one waits, and goes as one ends; routes outside never wait") {
  Classed w(2);
  Request& a = w.asked();
  Request& b = w.asked();
  CHECK((a.served() && b.served()));
  CHECK(w.bulk().in_flight() == 2);
  Request& c = w.waits();
  CHECK(w.bulk().waiting() == 1);
  CHECK(w.shared->waiting() == 0);  // not in the upstream's queue
  CHECK(c.look(w.sim.now()).waits_for == "pool_class");
  CHECK(c.queued());
  for (int i = 0; i < 6; ++i) CHECK(w.asked(0, fast).served());
  w.end(a);
  CHECK(c.served());
  CHECK(c.grant.queue_wait >= base::Micros(base::millis(1)) - base::Micros{1'000});
  CHECK(w.bulk().waiting() == 0);
  CHECK(w.bulk().in_flight() == 2);
  w.end(b);
  w.end(c);
  CHECK(w.bulk().in_flight() == 0);
}

TEST_CASE("class: first come, first served; a higher lane first, and a lower one has every tenth place") {
  Classed w(1, 64);
  Request* running = &w.asked();
  Request& first = w.waits();
  Request& second = w.waits();
  Request& high = w.waits(0, {.lane = http::Lane::high, .route = "slow"});
  w.end(*running);
  CHECK(high.served());
  w.end(high);
  CHECK(first.served());
  w.end(first);
  CHECK(second.served());
  Request& low = w.waits(0, {.lane = http::Lane::low, .route = "slow"});
  running = &second;
  int served = 0;
  for (; served < 20 && !low.served(); ++served) {
    Request& next = w.waits(0, {.lane = http::Lane::high, .route = "slow"});
    w.end(*running);
    running = next.served() ? &next : running;
  }
  CHECK(served == static_cast<int>(ClassQueue::passes) + 1);
}

TEST_CASE("class: who has its place waits in the upstream's queue like any other") {
  Classed w(2, 1);
  Request& a = w.asked(0, fast);
  Request& b = w.asked();
  CHECK_FALSE(b.served());
  CHECK(w.shared->waiting() == 1);
  CHECK(w.bulk().in_flight() == 1);
  Request& other = w.waits(0, fast);
  w.end(a);
  CHECK(b.served());
  w.end(b);
  CHECK(other.served());
  CHECK(w.bulk().in_flight() == 0);
}

TEST_CASE("class: its queue has max_waiting places of its own; refusals say that it was the class") {
  Classed w(1);
  w.options->pool.max_waiting = 2;
  w.asked();
  Request& b = w.waits(0, {.budget = base::millis(20), .route = "slow"});
  Request& c = w.waits();
  Request& above = w.asked();
  CHECK(above.refused.kind == http::Kind::pool_full);
  CHECK(above.refused_as() == "pool_class");
  Request& high = w.asked(0, {.lane = http::Lane::high, .route = "slow"});
  CHECK(high.upcalls == 0);
  CHECK(c.refused.kind == http::Kind::pool_full);  // the youngest of a lower lane gives way
  CHECK(w.bulk().waiting() == 2);
  w.sim.run_for(base::millis(30));
  CHECK(b.refused.kind == http::Kind::pool_timeout);
  CHECK(b.refused_as() == "pool_class");
  CHECK(w.bulk().waiting() == 1);
  w.options->pool.max_waiting = 0;
  CHECK(w.asked().refused.kind == http::Kind::pool_full);
}

TEST_CASE("class: a client that leaves while it waits takes nothing with it") {
  Classed w(1);
  Request& a = w.asked();
  Request& b = w.waits();
  Request& c = w.waits();
  b.unlink();
  CHECK(w.bulk().waiting() == 1);
  w.end(a);
  CHECK(c.served());
  CHECK(b.upcalls == 0);
  c.grant.lease.done(Outcome::unknown);
  CHECK(w.bulk().in_flight() == 1);  // its further try would have it
  c.leave_class();
  CHECK(w.bulk().in_flight() == 0);
  c.finish();
}

TEST_CASE("class: who is past its time gets no place, and holds up nobody") {
  Classed w(1);
  Request& a = w.asked();
  Request& late = w.waits(0, {.until = w.sim.now() + base::Micros(base::millis(5)), .route = "slow"});
  Request& next = w.waits();
  w.sim.run_for(base::millis(10));
  w.end(a);
  CHECK(next.served());
  CHECK(late.upcalls == 0);
}

TEST_CASE("class: a further try keeps the place, also past who waits") {
  Classed w(1);
  Request& a = w.asked();
  Request& b = w.waits();
  FakeSession& s = a.session();
  a.grant.stream = nullptr;
  a.grant.lease.done(Outcome::reset);  // the try failed; no leave_class()
  s.finish_stream();
  w.sim.settle();
  CHECK_FALSE(b.served());
  Grant again;
  w.clusters[0]->acquire(slow, a, a, again);
  if (again.stream != nullptr) a.grant = std::move(again);
  w.sim.settle();
  CHECK(a.served());
  CHECK(w.bulk().in_flight() == 1);
  w.end(a);
  CHECK(b.served());
}

TEST_CASE("class: a share of what the usable endpoints may have, one at least") {
  CHECK(class_limit({.percent = 25}, 32) == 8);
  CHECK(class_limit({.percent = 25}, 35) == 8);
  CHECK(class_limit({.percent = 1}, 32) == 1);
  CHECK(class_limit({.percent = 1}, 0) == 1);
  CHECK(class_limit({.percent = 100}, 32) == 32);
  CHECK(class_limit({.max_connections = 7}, 32) == 7);
  Classed w(1, 4);
  w.some_endpoints(4);
  w.options->outlier.reset();
  w.options->panic_threshold = 0;
  w.publish(http::CloseCause::reload);
  w.reload({{.name = "bulk", .percent = 50, .routes = {"slow"}}});
  w.asked();
  CHECK(w.bulk().limit() == 8);
  for (int i = 0; i < 7; ++i) CHECK(w.asked().served());
  Request& ninth = w.waits();
  w.shared->set_health(w.endpoint(0), Health::down, w.sim.now());
  w.shared->set_health(w.endpoint(1), Health::down, w.sim.now());
  w.sim.run_for(base::millis(200));
  CHECK(w.bulk().limit() == 4);
  CHECK_FALSE(ninth.served());
  w.shared->set_health(w.endpoint(0), Health::up, w.sim.now());
  w.shared->set_health(w.endpoint(1), Health::up, w.sim.now());
  w.end(*w.requests[0]);  // 7 of 8
  w.sim.run_for(base::millis(200));
  CHECK(ninth.served());
}

TEST_CASE("class: a reload that raises the limit wakes who waits; one that lowers it sends nobody away") {
  Classed w(1, 8, 2);
  Request& a = w.asked(0);
  Request& b = w.waits(0);
  Request& c = w.waits(1);
  w.reload({{.name = "bulk", .max_connections = 3, .routes = {"slow"}}});
  CHECK((b.served() && c.served()));
  CHECK(w.bulk().in_flight() == 3);
  w.reload({{.name = "bulk", .max_connections = 2, .routes = {"slow"}}});
  CHECK(w.bulk().in_flight() == 3);
  Request& d = w.waits(1);
  w.end(a);
  CHECK_FALSE(d.served());
  w.end(b);
  CHECK(d.served());
}

TEST_CASE("class: one that leaves the configuration lets go of who waits, and keeps its counts until they end") {
  Classed w(1);
  Request& a = w.asked();
  Request& b = w.waits();
  w.reload({});
  CHECK(b.served());
  CHECK(w.asked().served());
  w.reload({{.name = "bulk", .max_connections = 1, .routes = {"slow"}}});
  CHECK(w.bulk().in_flight() == 1);  // of `a`
  Request& c = w.waits();
  w.end(a);
  CHECK(c.served());
}

TEST_CASE("class: over the workers places go by age, and a newcomer does not overtake") {
  Classed w(2, 8, 3);
  Request& a = w.asked(0);
  Request& b = w.asked(1);
  Request& first = w.waits(2);
  w.sim.run_for(base::millis(10));
  Request& second = w.waits(0);
  w.end(a);
  CHECK(first.served());
  CHECK_FALSE(second.served());
  CHECK(w.class_places == 1);
  Request& third = w.waits(1);
  w.end(first);
  CHECK(second.served());
  w.end(b);
  CHECK(third.served());
  w.end(second);
  w.end(third);
  CHECK(w.bulk().in_flight() == 0);
}

TEST_CASE("class: a place on its way to who has left goes to the next; one that is lost is found again") {
  Classed w(1, 8, 3);
  w.delay = base::Micros(base::millis(3));
  Request& a = w.asked(0);
  Request& first = w.waits(1);
  w.sim.run_for(base::millis(10));
  Request& second = w.waits(2);
  w.end(a);
  first.unlink();
  w.sim.run_for(base::millis(8));
  CHECK(second.served());
  Request& third = w.waits(1);
  w.lose_slots = true;
  w.end(second);
  w.sim.run_for(base::millis(5));
  CHECK_FALSE(third.served());
  w.sim.run_for(base::Millis{ClusterImpl::class_look_every.count + 10});
  CHECK(third.served());
  CHECK(w.bulk().in_flight() == 1);
}

TEST_CASE("class: a connect that fails keeps the place for the next try; the circuit is another count") {
  Classed w(1);
  w.options->circuit.max_requests = 2;
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::refuse; };
  Request& a = w.asked();
  CHECK(a.refused.kind == http::Kind::connect_failed);
  CHECK(w.bulk().in_flight() == 1);
  CHECK(w.shared->circuit().in_flight() == 0);
  a.leave_class();
  CHECK(w.bulk().in_flight() == 0);
}

TEST_CASE("class: over HTTP/2 it counts streams") {
  Classed w(2, 1);
  w.connectors[0]->streams_per_connection = 100;
  CHECK(w.asked().served());
  CHECK(w.asked().served());
  CHECK(w.connectors[0]->dials == 1);
  Request& third = w.waits();
  CHECK(w.asked(0, fast).served());
  w.end(*w.requests[0]);
  CHECK(third.served());
}

TEST_CASE("class: threads: never one more than the limit") {
  constexpr std::uint32_t limit = 3;
  PoolClass one("bulk", 4);
  one.set_limit(limit);
  std::atomic<bool> over{false};
  std::atomic<std::uint32_t> entered{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 5'000; ++i) {
          Circuit::Pass place = one.enter();
          if (!place) continue;
          entered.fetch_add(1);
          if (one.in_flight() > limit) over = true;
        }
      });
    }
  }
  CHECK_FALSE(over);
  CHECK(entered > 0);
  CHECK(one.in_flight() == 0);
}

}  // namespace
}  // namespace sluice::upstream
