// Connections of a pool: fresh ones, the last look before use, idle and life time, max_requests, tunnels, many streams
// on one.
#include <set>

#include "fakes.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using fakes::Answer;
using fakes::FakeSession;
using fakes::Request;
using fakes::World;
using http::CloseCause;
using metrics::Name;

TEST_CASE("fresh: a new connection although an idle one is there; at the cap an idle one makes room") {
  World w;
  w.options->pool.max_connections = 2;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask();
  w.sim.settle();
  a.finish();
  Want want;
  want.fresh = true;
  Request& b = w.ask(0, want);
  w.sim.settle();
  REQUIRE(b.served());
  CHECK_FALSE(b.grant.reused);
  CHECK(w.dials() == 2);
  b.finish();
  Request& c = w.ask(0, want);  // both slots are taken by idle connections
  w.sim.settle();
  REQUIRE(c.served());
  CHECK_FALSE(c.grant.reused);
  CHECK(w.dials() == 3);
  CHECK(w.endpoint(0).connections() == 2);  // one idle was spared
  CHECK(w.closed(CloseCause::given_up) == 1);
}

TEST_CASE("fresh at the cap with all connections active: the released one gives way to a new one") {
  World w;
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask();
  w.sim.settle();
  Want want;
  want.fresh = true;
  Request& b = w.ask(0, want);
  w.sim.settle();
  CHECK_FALSE(b.served());
  a.finish();
  w.sim.settle();
  REQUIRE(b.served());
  CHECK_FALSE(b.grant.reused);
  CHECK(w.dials() == 2);
}

TEST_CASE("surely: reused with a look, until the endpoint has shown a race, then fresh") {
  World w;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask();
  w.sim.settle();
  a.finish();
  Want post;
  post.borrow = http::Borrow::surely;
  Request& b = w.ask(0, post);
  REQUIRE(b.served());
  CHECK(b.session().validated_surely == 1);
  b.finish(Outcome::idle_race);
  Request& c = w.ask(0, post);
  CHECK_FALSE(c.served());
  w.sim.settle();
  REQUIRE(c.served());
  CHECK_FALSE(c.grant.reused);
  CHECK(w.dials() == 2);
  Request& get = w.ask();  // what may be replayed goes on reusing
  CHECK(get.served());
  CHECK(get.grant.reused);
}

TEST_CASE("idle connections close after idle_timeout, or the peer's if that is shorter") {
  World w;
  w.options->pool.idle_timeout = base::Millis{50'000};
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask();
  Request& b = w.ask();
  w.sim.settle();
  a.session().peer_timeout = base::Millis{4'000};
  a.finish();
  b.finish();
  w.sim.run_for(base::Millis{3'999});
  CHECK(w.connectors[0]->live() == 2);
  w.sim.run_for(base::Millis{3});
  CHECK(w.connectors[0]->live() == 1);
  w.sim.run_for(base::Millis{45'990});
  CHECK(w.connectors[0]->live() == 1);
  w.sim.run_for(base::Millis{20});
  CHECK(w.connectors[0]->live() == 0);
  CHECK(w.closed(CloseCause::idle_timeout) == 2);
  CHECK(w.endpoint(0).connections() == 0);
}

TEST_CASE("a connection in use does not fall to the idle timeout of its past") {
  World w;
  w.options->pool.idle_timeout = base::Millis{1'000};
  w.some_endpoints(1);
  w.start();
  Request* r = &w.ask();
  w.sim.settle();
  for (int i = 0; i < 20; ++i) {
    r->finish();
    w.sim.run_for(base::Millis{600});
    r = &w.ask();
    REQUIRE(r->served());
    w.sim.run_for(base::Millis{600});
  }
  CHECK(w.dials() == 1);
}

TEST_CASE(
    "a shorter idle_timeout or max_lifetime reaches the connections that exist, and nothing else of them changes") {
  for (const bool idle : {true, false}) {
    CAPTURE(idle);
    World w;
    w.some_endpoints(1);
    w.options->pool.idle_timeout = base::Millis{3'600'000};
    w.options->pool.max_lifetime = base::Millis{idle ? 0 : 3'600'000};
    w.start();
    Request& r = w.ask();
    w.sim.run_for(base::Millis{100});
    r.finish();
    w.sim.run_for(base::seconds(20));
    w.options = std::make_shared<UpstreamOptions>(*w.options);
    w.options->pool.connect_timeout = base::Millis{250};
    w.clusters[0]->configure(w.options, w.shared->endpoints(), nullptr);
    w.sim.run_for(base::seconds(1));
    CHECK(w.gauge(metrics::Name::upstream_connections, "idle") == 1);
    w.options = std::make_shared<UpstreamOptions>(*w.options);
    (idle ? w.options->pool.idle_timeout : w.options->pool.max_lifetime) = base::seconds(10);
    w.clusters[0]->configure(w.options, w.shared->endpoints(), nullptr);
    w.sim.run_for(base::Millis{10});
    CHECK(w.gauge(metrics::Name::upstream_connections, "idle") == 0);
    CHECK(w.closed(idle ? CloseCause::idle_timeout : CloseCause::max_lifetime) == 1);
  }
}

TEST_CASE("max_lifetime with its jitter: idle ones close, active ones after their request") {
  std::set<std::int64_t> ages;
  World w;
  w.options->pool.max_lifetime = base::Millis{10'000};
  w.options->pool.idle_timeout = base::Millis{60'000};
  w.some_endpoints(1);
  w.start();
  std::vector<Request*> r;
  for (int i = 0; i < 40; ++i) r.push_back(&w.ask());
  w.sim.settle();
  for (std::size_t i = 1; i < r.size(); ++i) r[i]->finish();
  const base::Micros born = w.sim.now();
  std::uint32_t live = 40;
  while (live > 1 && w.sim.now() - born < base::Micros(base::seconds(20))) {
    w.sim.run_for(base::Millis{50});
    if (w.connectors[0]->live() != live) ages.insert((w.sim.now() - born).count / 1000);
    live = w.connectors[0]->live();
  }
  CHECK(live == 1);  // the active one
  CHECK(*ages.begin() >= 8'000);
  CHECK(*ages.rbegin() <= 12'060);
  CHECK(ages.size() > 10);  // spread
  r[0]->finish();
  w.sim.settle();
  CHECK(w.connectors[0]->live() == 0);
  CHECK(w.closed(CloseCause::max_lifetime) == 40);
}

TEST_CASE("max_requests: the connection ends after its last one") {
  World w;
  w.options->pool.max_requests = 3;
  w.some_endpoints(1);
  w.start();
  for (int i = 0; i < 6; ++i) {
    Request& r = w.ask();
    w.sim.settle();
    REQUIRE(r.served());
    CHECK(r.grant.reused == (i % 3 != 0));
    r.finish();
    w.sim.settle();
  }
  CHECK(w.dials() == 2);
  CHECK(w.closed(CloseCause::max_requests) == 2);
}

TEST_CASE("a tunnel leaves max_connections, and its slot serves a waiter") {
  World w;
  w.options->pool.max_connections = 1;
  w.options->pool.max_tunnels = 1;
  w.some_endpoints(1);
  w.start();
  Request& tunnel = w.ask();
  w.sim.settle();
  Request& waiting = w.ask();
  w.sim.settle();
  CHECK_FALSE(waiting.served());
  w.sim.post({}, [&] { tunnel.session().become_tunnel(); });
  w.sim.settle();
  CHECK(waiting.served());
  CHECK(w.endpoint(0).tunnels() == 1);
  CHECK(w.endpoint(0).connections() == 1);
  w.sim.post({}, [&] { waiting.session().become_tunnel(); });  // max_tunnels is reached: it goes on counting
  w.sim.settle();
  CHECK(w.endpoint(0).tunnels() == 1);
  CHECK(w.endpoint(0).connections() == 1);
  w.sim.post({}, [&] { tunnel.session().end(CloseCause::tunnel_end); });
  w.sim.settle();
  CHECK(w.endpoint(0).tunnels() == 0);
}

TEST_CASE("HTTP/2: one connection serves many, counted as one until its slots are known") {
  World w;
  w.some_endpoints(1);
  w.start();
  w.connectors[0]->streams_per_connection = 3;
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
  Request& a = w.ask();
  Request& b = w.ask();
  CHECK(w.dials() == 2);  // one stream each until SETTINGS
  auto* const first = w.connectors[0]->hanging[0];
  w.sim.post({}, [first] { first->succeed(); });
  w.sim.settle();
  CHECK(a.served());
  CHECK(b.served());
  CHECK(&a.session() == &b.session());
  CHECK(w.ask().served());  // the third slot, at once
  Request& d = w.ask();
  CHECK_FALSE(d.served());
  a.finish();
  w.sim.settle();
  CHECK(d.served());
  CHECK(w.gauge(Name::upstream_connections, "active") == 1);
}

TEST_CASE(
    "the peer's limit falls between the look and the use: the request goes elsewhere, and the slot that comes back "
    "serves") {
  for (const std::uint32_t left : {0u, 1u}) {
    CAPTURE(left);
    World w;
    w.options->pool.max_connections = 2;
    w.some_endpoints(1);
    w.start();
    w.connectors[0]->streams_per_connection = 100;
    Request& a = w.ask();
    w.sim.settle();
    REQUIRE(a.served());
    FakeSession& first = a.session();
    first.allow(left);  // one is open: no more
    Request& b = w.ask();
    CHECK_FALSE(b.served());
    w.sim.settle();
    REQUIRE(b.served());
    CHECK(&b.session() != &first);
    CHECK(w.dials() == 2);
    b.session().allow(left);
    Request& c = w.ask();  // at the cap: it waits
    w.sim.settle();
    CHECK_FALSE(c.served());
    first.allow(2);
    w.sim.post({}, [&] { first.tell(); });
    w.sim.settle();
    REQUIRE(c.served());
    CHECK(&c.session() == &first);
  }
}

TEST_CASE("a limit of 0 while a connection is offered to the queue: its waiter is not lost") {
  World w;
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  w.connectors[0]->streams_per_connection = 2;
  Request& a = w.ask();
  w.sim.settle();
  Request& b = w.ask();
  Request& c = w.ask();
  REQUIRE(b.served());
  REQUIRE_FALSE(c.served());
  FakeSession& only = a.session();
  w.sim.post({}, [&] {
    a.finish();  // offered to c when the loop comes to it
    only.allow(0);
  });
  w.sim.settle();
  CHECK_FALSE(c.served());
  w.sim.post({}, [&] { b.finish(); });
  w.sim.settle();
  CHECK_FALSE(c.served());
  w.sim.post({}, [&] {
    only.allow(1);
    only.tell();
  });
  w.sim.settle();
  REQUIRE(c.served());
  CHECK(w.dials() == 1);
}

// Idle, and its peer allows no stream.
FakeSession& useless(World& w) {
  w.connectors[0]->streams_per_connection = 1;
  Request& r = w.ask();
  w.sim.settle();
  REQUIRE(r.served());
  FakeSession& session = r.session();
  w.sim.post({}, [&] {
    session.allow(0);
    r.finish();
  });
  w.sim.settle();
  CHECK(w.connectors[0]->live() == 1);
  return session;
}

TEST_CASE(
    "an idle connection without a slot ends as others do: by time, with its endpoint, with the cluster, for a fresh "
    "one") {
  SUBCASE("idle_timeout") {
    World w;
    w.options->pool.idle_timeout = base::Millis{1'000};
    w.some_endpoints(1);
    w.start();
    useless(w);
    w.sim.run_for(base::Millis{1'010});
    CHECK(w.connectors[0]->live() == 0);
    CHECK(w.closed(CloseCause::idle_timeout) == 1);
  }
  SUBCASE("its endpoint leaves, before and after") {
    World w;
    w.some_endpoints(1);
    w.start();
    useless(w);
    w.endpoints({{"10.9.9.9:80", 1}});
    w.publish(CloseCause::dns_removed);
    w.sim.settle();
    CHECK(w.connectors[0]->live() == 0);
    Request& r = w.ask();
    w.sim.settle();
    REQUIRE(r.served());
    w.endpoints({{"10.9.9.8:80", 1}});
    w.publish(CloseCause::dns_removed);
    w.sim.post({}, [&] {
      r.session().allow(0);
      r.finish();
    });
    w.sim.settle();
    CHECK(w.connectors[0]->live() == 0);
  }
  SUBCASE("the cluster retires, before and after") {
    for (const bool before : {true, false}) {
      World w;
      w.some_endpoints(1);
      w.start();
      FakeSession* kept = nullptr;
      if (!before) kept = &useless(w);
      w.clusters[0]->retire(CloseCause::drain);
      Request& last = w.ask();
      w.sim.settle();
      REQUIRE(last.served());
      FakeSession& session = last.session();
      CHECK(&session != kept);
      w.sim.post({}, [&] {
        session.allow(0);
        last.finish();
      });
      w.sim.settle();
      CHECK(w.connectors[0]->live() == 0);
    }
  }
  SUBCASE("it makes room for a fresh one") {
    World w;
    w.options->pool.max_connections = 1;
    w.some_endpoints(1);
    w.start();
    useless(w);
    Want want;
    want.fresh = true;
    Request& r = w.ask(0, want);
    w.sim.settle();
    CHECK(r.served());
  }
}

TEST_CASE("PROXY protocol: a connection that has no slot, or ends, before it serves the client it was made for") {
  for (const bool ends : {true, false}) {
    CAPTURE(ends);
    World w;
    w.options->proxy_protocol = net::ProxyProtocolOut::v2;
    w.some_endpoints(1);
    w.start();
    w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
    Request& r = w.ask();
    w.sim.settle();
    w.sim.post({}, [&] {
      w.connectors[0]->hanging.front()->succeed();
      FakeSession& session = *w.connectors[0]->sessions.front();
      if (ends) return session.end(CloseCause::peer_closed);
      session.allow(0);
      session.tell();
    });
    w.sim.settle();
    CHECK(w.connectors[0]->live() == 0);
    if (ends) {
      CHECK(r.refused.kind == http::Kind::connect_failed);
      continue;
    }
    CHECK(r.upcalls == 0);
    REQUIRE(w.connectors[0]->hanging.size() == 1);  // another one is made
    w.sim.post({}, [&] { w.connectors[0]->hanging.front()->succeed(); });
    w.sim.settle();
    CHECK(r.served());
  }
}

}  // namespace
