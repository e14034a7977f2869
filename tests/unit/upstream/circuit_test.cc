// The circuit: exact at its limit, with one worker and with several threads, and given back by whoever leaves.
#include "upstream/queue.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "fakes.h"
#include "upstream/service_rate.h"

namespace sluice::upstream {
namespace {

using namespace fakes;

struct Limited : World {
  explicit Limited(std::uint32_t limit, std::uint32_t connections = 1, std::uint32_t workers = 1) : World(workers) {
    options->circuit.max_requests = limit;
    options->pool.max_connections = connections;
    some_endpoints(1);
    start();
  }
  Request& asked(std::uint32_t worker = 0, const Want& want = {}) {
    Request& r = ask(worker, want);
    sim.settle();
    return r;
  }
  std::uint32_t in_flight() const { return shared->circuit().in_flight(); }
};

TEST_CASE("at max_requests the next is refused at once; who ends makes room for one") {
  Limited w(2, 8);
  Request& a = w.asked();
  Request& b = w.asked();
  CHECK((a.served() && b.served()));
  CHECK(w.asked().refused.kind == http::Kind::circuit_open);
  CHECK(w.shared->waiting() == 0);
  a.finish();
  CHECK(w.in_flight() == 1);
  CHECK(w.asked().served());
  CHECK(w.asked().refused.kind == http::Kind::circuit_open);
}

TEST_CASE("who waits counts, until it leaves, is refused or its budget is over") {
  Limited w(3, 1);
  Request& a = w.asked();
  Request& b = w.asked();
  Request& c = w.asked(0, {.budget = base::millis(20)});
  CHECK(w.asked().refused.kind == http::Kind::circuit_open);
  b.unlink();
  CHECK(w.in_flight() == 2);
  w.sim.run_for(base::millis(30));
  CHECK(c.refused.kind == http::Kind::pool_timeout);
  CHECK(w.in_flight() == 1);
  w.options->pool.max_waiting = 0;
  CHECK(w.asked().refused.kind == http::Kind::pool_full);
  CHECK(w.in_flight() == 1);
  a.finish();
  CHECK(w.in_flight() == 0);
}

TEST_CASE("who is served from the queue is counted once, to its end") {
  Limited w(2, 1);
  Request& a = w.asked();
  Request& b = w.asked();
  a.finish();
  w.sim.settle();
  CHECK(b.served());
  CHECK(w.in_flight() == 1);
  b.finish();
  CHECK(w.in_flight() == 0);
}

TEST_CASE("a replay was let in before; a tunnel leaves") {
  Limited w(1, 8);
  Request& a = w.asked();
  Request& replay = w.asked(0, {.fresh = true});
  CHECK(replay.served());
  CHECK(w.in_flight() == 2);
  a.grant.lease.became_tunnel();
  replay.finish();
  CHECK(w.in_flight() == 0);
  a.finish();
  CHECK(w.in_flight() == 0);
}

TEST_CASE("one limit for all workers; no limit touches nothing") {
  Limited w(2, 8, 2);
  CHECK(w.asked(0).served());
  CHECK(w.asked(1).served());
  CHECK(w.asked(0).refused.kind == http::Kind::circuit_open);
  CHECK(w.asked(1).refused.kind == http::Kind::circuit_open);
  Limited none(0, 8);
  CHECK(none.asked().served());
  CHECK(none.in_flight() == 0);
}

struct Adaptive : World {
  explicit Adaptive(std::uint32_t max_in_flight = 0) {
    options->circuit.adaptive = true;
    options->pool.max_in_flight = max_in_flight;
    some_endpoints(1);
    start();
    connectors[0]->streams_per_connection = 1'000;
  }
  Request& asked() {
    Request& r = ask(0);
    sim.settle();
    return r;
  }
};

TEST_CASE("adaptive: at the limit that was found the next one waits, and goes as one ends; a tunnel is not counted") {
  for (const std::uint32_t most : {0u, 8u, 40u}) {
    CAPTURE(most);
    Adaptive w(most);
    const std::uint32_t limit = most == 8 ? 8 : 32;
    std::vector<Request*> made;
    for (std::uint32_t i = 0; i < limit; ++i) made.push_back(&w.asked());
    CHECK(made.back()->served());
    Request& next = w.asked();
    CHECK_FALSE(next.served());
    made[0]->finish();
    w.sim.settle();
    CHECK(next.served());
  }
}

TEST_CASE("adaptive: the heads of good answers move the limit, and nothing else does") {
  Adaptive w;
  const auto rounds = [&w](bool head, base::Millis took) {
    for (int i = 0; i < 20; ++i) {
      std::vector<Request*> made;
      for (int k = 0; k < 20; ++k) made.push_back(&w.asked());
      w.sim.run_for(took);
      for (Request* const r : made) {
        if (head && r->served()) r->grant.lease.head(Outcome::answered, 200);
      }
      for (Request* const r : made) {  // who waited is served as the others end
        r->finish();
        w.sim.settle();
      }
    }
    return w.endpoint(0).adaptive().limit();
  };
  CHECK(rounds(false, base::millis(10)) == 32);
  const std::uint32_t grown = rounds(true, base::millis(10));
  CHECK(grown > 32);
  CHECK(rounds(true, base::millis(100)) < grown);
  auto off = std::make_shared<UpstreamOptions>(*w.options);
  off->circuit.adaptive = false;
  w.clusters[0]->configure(off, w.shared->endpoints(), nullptr);
  const std::uint32_t before = w.endpoint(0).adaptive().limit();
  CHECK(rounds(true, base::millis(10)) == before);
}

TEST_CASE("a connect that fails gives its place back") {
  Limited w(1, 8);
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::refuse; };
  CHECK(w.asked().refused.kind == http::Kind::connect_failed);
  CHECK(w.in_flight() == 0);
}

TEST_CASE("threads: never one more than the limit") {
  constexpr std::uint32_t limit = 3;
  Circuit circuit;
  std::atomic<bool> over{false};
  std::atomic<std::uint32_t> entered{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) {
        Circuit::Pass pass = circuit.enter(limit);
        if (!pass) continue;
        entered.fetch_add(1);
        if (circuit.in_flight() > limit) over = true;
      }
    });
  }
  threads.clear();
  CHECK_FALSE(over);
  CHECK(entered > 0);
  CHECK(circuit.in_flight() == 0);
}

// ---- the rate, and what is said of it

constexpr base::Micros at(std::int64_t ms) { return base::millis(1'000'000 + ms); }

TEST_CASE("the rate is that of all workers, over the last seconds or since the first") {
  ServiceRate rate(2);
  CHECK(rate.per_second(at(0)) == 0);
  for (int ms = 0; ms < 3'000; ms += 10) rate.count(static_cast<std::uint32_t>(ms / 10 % 2), at(ms));
  CHECK(rate.per_second(at(2'999)) == doctest::Approx(100).epsilon(0.01));
  CHECK(rate.per_second(at(5'999)) == doctest::Approx(50).epsilon(0.01));
  for (int ms = 3'000; ms < 20'000; ms += 100) rate.count(0, at(ms));
  CHECK(rate.per_second(at(19'999)) == doctest::Approx(10).epsilon(0.01));
  CHECK(rate.per_second(at(30'000)) == 0);
}

TEST_CASE("stay away until those who wait are served: 1 to 30 s, a quarter more or less") {
  CHECK(stay_away_seconds(0, 0, 512) == 1);
  CHECK(stay_away_seconds(0, 100, 0) == 1);
  CHECK(stay_away_seconds(100, 10, 512) == 10);
  CHECK(stay_away_seconds(100, 10, 0) == 8);
  CHECK(stay_away_seconds(100, 10, 1'023) == 13);
  CHECK(stay_away_seconds(100, 0, 512) == 30);
  CHECK(stay_away_seconds(1'000'000, 1, 1'023) == 30);
  CHECK(stay_away_seconds(1'000'000, 1, 0) == 23);
  CHECK(stay_away_seconds(1, 1'000, 0) == 1);
}

TEST_CASE("a cluster says how long, by what it served") {
  Limited w(0, 1);
  w.options->pool.acquire_timeout = base::seconds(60);
  for (int i = 0; i < 20; ++i) {  // 10 a second
    Request& r = w.asked();
    w.sim.run_for(base::millis(100));
    r.finish();
    w.sim.settle();
  }
  w.asked();
  for (int i = 0; i < 100; ++i) w.asked();
  const std::uint32_t seconds = w.clusters[0]->retry_after();
  CHECK((seconds >= 7 && seconds <= 14));
}

}  // namespace
}  // namespace sluice::upstream
