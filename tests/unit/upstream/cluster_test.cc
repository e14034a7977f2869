// One worker's cluster on fake sessions: reuse, caps, the queue, budgets, connect failures, health, changes of the set.
#include <algorithm>
#include <map>
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
using http::Kind;
using metrics::Name;

TEST_CASE("the first request waits for a connect, the second reuses the connection") {
  World w;
  w.some_endpoints(1);
  w.start();
  Request& first = w.ask();
  CHECK_FALSE(first.served());  // never inside acquire
  w.sim.settle();
  REQUIRE(first.served());
  CHECK_FALSE(first.grant.reused);
  CHECK(first.grant.lease.endpoint() != nullptr);
  CHECK(w.gauge(Name::upstream_connections, "active") == 1);
  CHECK(w.endpoint(0).in_flight() == 1);
  first.finish();
  CHECK(w.endpoint(0).in_flight() == 0);
  CHECK(w.gauge(Name::upstream_connections, "idle") == 1);

  Request& second = w.ask();
  REQUIRE(second.served());  // at once
  CHECK(second.upcalls == 0);
  CHECK(second.grant.reused);
  CHECK(second.grant.connect.count == 0);
  CHECK(w.dials() == 1);
  second.finish();
}

TEST_CASE("the most recently used connection is taken first") {
  World w;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask();
  Request& b = w.ask();
  w.sim.settle();
  REQUIRE((a.served() && b.served()));
  FakeSession& sa = a.session();
  FakeSession& sb = b.session();
  CHECK(&sa != &sb);
  b.finish();
  a.finish();
  CHECK(&w.ask().session() == &sa);
  CHECK(&w.ask().session() == &sb);
}

TEST_CASE("at the cap requests queue, oldest first, and the freed slot serves them") {
  World w;
  w.options->pool.max_connections = 2;
  w.some_endpoints(1);
  w.start();
  std::vector<Request*> r;
  for (int i = 0; i < 5; ++i) r.push_back(&w.ask());
  w.sim.settle();
  CHECK(w.dials() == 2);
  CHECK(r[0]->served());
  CHECK(r[1]->served());
  CHECK_FALSE(r[2]->served());
  CHECK(w.gauge(Name::upstream_pool_waiting) == 3);
  CHECK(w.shared->waiting() == 3);
  r[1]->finish();
  Request& late = w.ask();  // cannot jump the queue although a slot is free this instant
  CHECK_FALSE(late.served());
  w.sim.settle();
  CHECK(r[2]->served());
  CHECK(r[2]->grant.reused);
  CHECK_FALSE(r[3]->served());
  r[0]->finish();
  r[2]->finish();
  w.sim.settle();
  CHECK(r[3]->served());
  CHECK(r[4]->served());
  CHECK_FALSE(late.served());
  r[3]->finish();
  w.sim.settle();
  CHECK(late.served());
  CHECK(w.dials() == 2);
  CHECK(w.shared->waiting() == 0);
}

TEST_CASE("max_waiting refuses at once, and acquire_timeout after its time") {
  World w;
  w.options->pool.max_connections = 1;
  w.options->pool.max_waiting = 2;
  w.some_endpoints(1);
  w.start();
  Request& busy = w.ask();
  w.sim.settle();
  Request& a = w.ask();
  Want longer;
  longer.budget = base::Millis{1'500};
  Request& b = w.ask(0, longer);
  Request& over = w.ask();
  CHECK(over.upcalls == 0);  // never inside acquire
  w.sim.settle();
  CHECK(over.refused.kind == Kind::pool_full);
  CHECK(over.refused.untouched);
  w.sim.run_for(base::Millis{999});
  CHECK(a.upcalls == 0);
  w.sim.run_for(base::Millis{2});
  CHECK(a.refused.kind == Kind::pool_timeout);
  CHECK(b.upcalls == 0);
  w.sim.run_for(base::Millis{500});
  CHECK(b.refused.kind == Kind::pool_timeout);
  CHECK(w.gauge(Name::upstream_pool_timeouts_total) == 2);
  CHECK(w.shared->waiting() == 0);
  busy.finish();
}

TEST_CASE("a waiter that dies or gives up leaves the queue") {
  World w;
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  Request& busy = w.ask();
  w.sim.settle();
  w.ask();
  Request& gives_up = w.ask();
  Request& stays = w.ask();
  w.requests.erase(w.requests.begin() + 1);
  gives_up.unlink();
  gives_up.unlink();
  busy.finish();
  w.sim.settle();
  CHECK(stays.served());
  CHECK(gives_up.upcalls == 0);
  CHECK(w.shared->waiting() == 0);
}

TEST_CASE("a waiter whose connect goes to an older one gets the older one's connect") {
  World w;
  w.some_endpoints(1);
  w.start();
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
  Request& a = w.ask();
  Request& b = w.ask();
  REQUIRE(w.connectors[0]->hanging.size() == 2);
  auto* const dial_a = w.connectors[0]->hanging[0];
  auto* const dial_b = w.connectors[0]->hanging[1];
  w.sim.post({}, [dial_b] { dial_b->succeed(); });
  w.sim.settle();
  CHECK(a.served());
  CHECK_FALSE(b.served());
  w.sim.post({}, [dial_a] { dial_a->fail(Kind::connect_failed); });
  w.sim.settle();
  CHECK(b.refused.kind == Kind::connect_failed);  // not left behind
  CHECK(b.refused_by == w.endpoint(0).name());
}

TEST_CASE("connecting has its own limit: acquire_timeout does not run meanwhile") {
  World w;
  w.options->pool.acquire_timeout = base::Millis{100};
  w.some_endpoints(1);
  w.start();
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
  Request& r = w.ask();
  w.sim.run_for(base::Millis{900});
  CHECK(r.upcalls == 0);
  auto* const dial = w.connectors[0]->hanging[0];
  w.sim.post({}, [dial] { dial->fail(Kind::connect_timeout); });
  w.sim.settle();
  CHECK(r.refused.kind == Kind::connect_timeout);
  CHECK(w.shared->waiting() == 0);
}

TEST_CASE("a connect whose waiter left goes to the next waiter, or to the pool") {
  World w;
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
  Request& a = w.ask();
  Request& b = w.ask();
  a.unlink();
  CHECK(w.shared->waiting() == 0);  // b has a connect of its own now
  b.unlink();
  auto* const dial = w.connectors[0]->hanging[0];
  w.sim.post({}, [dial] { dial->succeed(); });
  w.sim.settle();
  CHECK(w.gauge(Name::upstream_connections, "idle") == 1);
  CHECK(w.ask().served());
}

TEST_CASE("a failed connect refuses its waiter, names the endpoint and sets it aside") {
  World w;
  w.some_endpoints(2);
  w.start();
  const std::string bad = w.endpoint(0).name();
  w.connectors[0]->answer = [&](const SharedEndpoint& e) { return e.name() == bad ? Answer::refuse : Answer::accept; };
  int failed = 0;
  for (int i = 0; i < 200; ++i) {
    Request& r = w.ask();
    w.sim.settle();
    if (r.served()) {
      r.finish();
    } else {
      ++failed;
      CHECK(r.refused.kind == Kind::connect_failed);
      CHECK(r.refused.untouched);
      CHECK(r.refused_by == bad);
    }
  }
  CHECK(failed == 1);  // then it was aside
  w.sim.run_for(base::Millis{1'001});
  failed = 0;
  for (int i = 0; i < 200; ++i) {
    Request& r = w.ask();
    w.sim.settle();
    if (r.served()) {
      r.finish();
    } else {
      ++failed;
    }
  }
  CHECK(failed == 1);  // one trial
  CHECK(w.closed(CloseCause::connect_failed) == 2);
}

TEST_CASE("the only endpoint is tried although it is set aside") {
  World w;
  w.some_endpoints(1);
  w.start();
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::refuse; };
  Request& a = w.ask();
  w.sim.settle();
  CHECK(a.refused.kind == Kind::connect_failed);
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::accept; };
  Request& b = w.ask();
  w.sim.settle();
  CHECK(b.served());
  CHECK_FALSE(w.endpoint(0).aside(w.sim.now()));
}

TEST_CASE("avoid: the retry goes elsewhere, or back if there is nothing else") {
  World w;
  w.some_endpoints(2);
  w.start();
  for (int i = 0; i < 20; ++i) {
    Request& first = w.ask();
    w.sim.settle();
    REQUIRE(first.served());
    AvoidList avoid;
    avoid.add(endpoint_id(*first.grant.lease.endpoint()));
    Want want;
    want.avoid = &avoid;
    Request& second = w.ask(0, want);
    w.sim.settle();
    REQUIRE(second.served());
    CHECK(second.grant.lease.endpoint() != first.grant.lease.endpoint());
    first.finish();
    second.finish();
  }
  w.shared->set_health(w.endpoint(1), Health::down);
  Want want;
  Request& first = w.ask();
  w.sim.settle();
  AvoidList avoid;
  avoid.add(endpoint_id(*first.grant.lease.endpoint()));
  want.avoid = &avoid;
  Request& second = w.ask(0, want);
  w.sim.settle();
  CHECK(second.served());
  CHECK(second.endpoint() == w.endpoint(0).name());
}

TEST_CASE("no endpoint: refused, not inside the call") {
  World w;
  w.start();
  Request& r = w.ask();
  CHECK(r.upcalls == 0);
  w.sim.settle();
  CHECK(r.refused.kind == Kind::no_endpoint);
  CHECK(r.refused.untouched);
}

TEST_CASE("an idle connection that went bad is never used") {
  World w;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask();
  w.sim.settle();
  a.session().go_bad();
  FakeSession* const bad = &a.session();
  a.finish();
  Request& b = w.ask();
  CHECK_FALSE(b.served());
  w.sim.settle();
  REQUIRE(b.served());
  CHECK(&b.session() != bad);
  CHECK_FALSE(b.grant.reused);
  CHECK(w.closed(CloseCause::peer_closed) == 1);
}

TEST_CASE("health: a dead endpoint's idle connections close and it gets nothing; active ones end after their request") {
  World w;
  w.some_endpoints(2);
  w.start();
  std::vector<Request*> r;
  for (int i = 0; i < 8; ++i) r.push_back(&w.ask());
  w.sim.settle();
  const std::string dead = r[0]->endpoint();
  const std::size_t index = w.endpoint(0).name() == dead ? 0 : 1;
  for (std::size_t i = 1; i < r.size(); ++i) r[i]->finish();
  w.shared->set_health(w.endpoint(index), Health::down);
  w.clusters[0]->endpoint_down(w.endpoint(index).id());
  w.sim.settle();
  CHECK(w.endpoint(index).connections() == 1);
  CHECK(w.closed(CloseCause::health) > 0);
  for (int i = 0; i < 30; ++i) {
    Request& x = w.ask();
    w.sim.settle();
    REQUIRE(x.served());
    CHECK(x.endpoint() != dead);
    x.finish();
  }
  r[0]->finish();
  w.sim.settle();
  CHECK(w.endpoint(index).connections() == 0);
}

TEST_CASE("endpoints that leave: idle connections close at once, active ones finish, kept ones keep all") {
  World w;
  w.some_endpoints(2);
  w.start();
  std::vector<Request*> r;
  for (int i = 0; i < 8; ++i) r.push_back(&w.ask());
  w.sim.settle();
  const std::string leaving = r[0]->endpoint();
  const std::shared_ptr<SharedEndpoint> gone =
      w.shared->endpoints()->entries[w.endpoint(0).name() == leaving ? 0 : 1].endpoint;
  const std::uint32_t of_kept = w.endpoint(w.endpoint(0).name() == leaving ? 1 : 0).connections();
  for (std::size_t i = 1; i < r.size(); ++i) r[i]->finish();
  std::erase_if(w.specs, [&](const EndpointSpec& s) { return s.name == leaving; });
  w.publish(CloseCause::dns_removed);
  w.sim.settle();
  CHECK(gone->connections() == 1);
  CHECK(w.endpoint(0).connections() == of_kept);
  CHECK(w.closed(CloseCause::dns_removed) == 7 - of_kept);
  const std::uint32_t dials = w.dials();
  Request& next = w.ask();
  CHECK(next.served());  // on a connection that was kept
  CHECK(next.endpoint() != leaving);
  CHECK(w.dials() == dials);
  CHECK(w.clusters[0]->status().endpoints.size() == 2);  // the leaving one is shown until it is empty
  CHECK(r[0]->grant.stream != nullptr);
  r[0]->finish();
  w.sim.settle();
  CHECK(gone->connections() == 0);
  r[0]->grant.lease = Lease();
  for (auto& old : w.requests) {
    if (old.get() != &next) old->grant.lease = Lease();
  }
  w.sim.settle();
  CHECK(w.clusters[0]->status().endpoints.size() == 1);
}

TEST_CASE("a lease keeps its endpoint readable after it left") {
  World w;
  w.some_endpoints(1);
  w.start();
  Request& r = w.ask();
  w.sim.settle();
  const std::string name = r.endpoint();
  w.endpoints({{"10.9.9.9:80", 1}});
  w.publish(CloseCause::dns_removed);
  r.finish();
  w.sim.settle();
  CHECK(r.endpoint() == name);
}

TEST_CASE("waiters of a connect to an endpoint that leaves are dialled elsewhere") {
  World w;
  w.endpoints({{"10.0.0.1:80", 1}});
  w.start();
  w.connectors[0]->answer = [](const SharedEndpoint& e) {
    return e.name() == "10.0.0.1:80" ? Answer::hang : Answer::accept;
  };
  Request& r = w.ask();
  CHECK_FALSE(r.served());
  w.endpoints({{"10.0.0.2:80", 1}});
  w.publish(CloseCause::dns_removed);
  w.sim.settle();
  REQUIRE(r.served());
  CHECK(r.endpoint() == "10.0.0.2:80");
  CHECK(w.connectors[0]->hanging.empty());
}

TEST_CASE("waiters are refused when the last endpoint leaves") {
  World w;
  w.options->pool.max_connections = 1;
  w.some_endpoints(1);
  w.start();
  Request& busy = w.ask();
  w.sim.settle();
  Request& r = w.ask();
  w.endpoints({});
  w.publish(CloseCause::dns_removed);
  w.sim.settle();
  CHECK(r.refused.kind == Kind::no_endpoint);
  busy.finish();
}

TEST_CASE("a new connector (TLS settings changed): old connections end, new ones are made") {
  World w;
  w.some_endpoints(1);
  w.start();
  Request& active = w.ask();
  Request& idle = w.ask();
  w.sim.settle();
  idle.finish();
  auto fresh = std::make_unique<fakes::FakeConnector>(w.sim.loop());
  fakes::FakeConnector* const now = fresh.get();
  // The old connector dies here; the sessions made with it live on.
  w.clusters[0]->configure(w.options, w.shared->endpoints(), std::move(fresh));
  w.connectors[0] = now;
  w.sim.settle();
  CHECK(w.closed(CloseCause::reload) == 1);
  Request& next = w.ask();
  w.sim.settle();
  CHECK(next.served());
  CHECK(now->dials == 1);
  active.finish();
  w.sim.settle();
  CHECK(w.closed(CloseCause::reload) == 2);
}

TEST_CASE("retire: idle connections close, what is under way finishes, then it is finished") {
  World w;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask();
  Request& b = w.ask();
  w.sim.settle();
  b.finish();
  w.clusters[0]->retire(CloseCause::reload);
  w.sim.settle();
  CHECK_FALSE(w.clusters[0]->finished());
  CHECK(w.connectors[0]->live() == 1);
  Request& retry = w.ask();  // of a request that began before
  w.sim.settle();
  CHECK(retry.served());
  a.finish();
  retry.finish();
  w.sim.settle();
  CHECK(w.connectors[0]->live() == 0);
  CHECK_FALSE(w.clusters[0]->finished());  // leases
  w.requests.clear();
  CHECK(w.clusters[0]->finished());
}

TEST_CASE("what runs out here is not held against the endpoint; another one may have ports") {
  for (const std::uint32_t endpoints : {1u, 2u}) {
    CAPTURE(endpoints);
    World w;
    w.some_endpoints(endpoints);
    w.start();
    w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::refuse; };
    for (const Kind kind : {Kind::no_local_port, Kind::no_descriptor}) {
      w.connectors[0]->refusal = {kind, DialFailure::Fault::ours};
      Request& r = w.ask();
      w.sim.settle();
      CHECK(r.refused.kind == kind);
      CHECK(r.refused.where == http::Where::proxy);
      CHECK(r.refused.untouched == (kind == Kind::no_local_port && endpoints == 2));
      for (std::uint32_t i = 0; i < endpoints; ++i) CHECK_FALSE(w.endpoint(i).aside(w.sim.now()));
      w.sim.run_for(SharedEndpoint::port_pause);
    }
  }
}

TEST_CASE("held: a connect beyond its time, and connections in use that no request holds; each is news once") {
  World w;
  w.options->pool.connect_timeout = base::Millis{5'000};
  w.some_endpoints(1);
  w.start();
  std::vector<std::string> told;
  int found = 0;
  const auto look = [&] {
    found = 0;
    w.clusters[0]->each_held(base::Millis{10'000}, [&](const HeldConnection& held) {
      ++found;
      if (held.news)
        told.push_back(std::string(held.phase) + " " + std::to_string((w.sim.now() - held.since).count / 1'000'000));
    });
  };
  Request& served = w.ask();
  w.sim.settle();
  REQUIRE(served.served());
  Request& idle = w.ask();
  w.sim.settle();
  idle.finish();
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
  w.ask();  // by what is idle
  w.ask();  // by a connect that never ends: its own clock was lost
  w.sim.run_for(base::Millis{14'000});
  look();
  CHECK(found == 0);
  w.sim.run_for(base::Millis{2'000});
  look();
  CHECK(told == std::vector<std::string>{"connecting 16"});
  look();
  CHECK(found == 1);
  CHECK(told.size() == 1);
  served.grant.lease = {};  // lost: its stream stays open
  look();
  CHECK(found == 1);  // it may be that the moment was between the two
  w.sim.run_for(base::Millis{10'000});
  look();
  CHECK(found == 2);
  REQUIRE(told.size() == 2);
  CHECK(told[1] == "unowned 10");
  served.session().finish_stream();
  w.sim.run_for(base::Millis{1'000});
  look();
  CHECK(found == 1);
  served.grant.stream = nullptr;
}

TEST_CASE("no port for another connection: requests wait for those that are there, and one connect looks for a port") {
  World w;
  w.options->pool.acquire_timeout = base::Millis{1'000};
  w.some_endpoints(1);
  w.start();
  Request& first = w.ask();
  w.sim.settle();
  REQUIRE(first.served());
  w.connectors[0]->refusal = {Kind::no_local_port, DialFailure::Fault::ours};
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::refuse; };
  std::vector<Request*> waiting;
  for (int i = 0; i < 20; ++i) waiting.push_back(&w.ask());
  w.sim.settle();
  const std::uint32_t burst = w.dials();
  CHECK(burst <= 21);
  w.sim.run_for(base::Millis{450});
  CHECK(w.dials() >= burst + 3);
  CHECK(w.dials() <= burst + 5);
  for (const Request* r : waiting) CHECK(r->upcalls == 0);
  first.finish();
  for (int i = 0; i < 10; ++i) {  // one after the other, over the one connection
    w.sim.settle();
    REQUIRE(waiting[i]->served());
    waiting[i]->finish();
  }
  w.sim.settle();
  REQUIRE(waiting[10]->served());
  w.sim.run_for(base::Millis{600});  // their time is over
  for (int i = 11; i < 20; ++i) {
    CHECK(waiting[i]->refused.kind == Kind::no_local_port);
    CHECK_FALSE(waiting[i]->refused.untouched);
  }
  CHECK(w.endpoint(0).standing().why() == Away::no);
  // A port comes free: the next look finds it, and then all are made that are wanted.
  std::vector<Request*> later;
  for (int i = 0; i < 5; ++i) later.push_back(&w.ask());
  w.sim.settle();
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::accept; };
  w.sim.run_for(base::Millis{210});
  for (Request* r : later) {
    REQUIRE(r->served());
    r->finish();
  }
  waiting[10]->finish();
}

TEST_CASE("no port and no connection that could serve: refused at once, and not dialled for while it is so") {
  World w;
  w.some_endpoints(1);
  w.start();
  w.connectors[0]->refusal = {Kind::no_local_port, DialFailure::Fault::ours};
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::refuse; };
  for (int i = 0; i < 10; ++i) {
    Request& r = w.ask();
    w.sim.settle();
    CHECK(r.refused.kind == Kind::no_local_port);
  }
  CHECK(w.dials() == 1);
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::accept; };
  w.sim.run_for(SharedEndpoint::port_pause);
  Request& r = w.ask();
  w.sim.settle();
  REQUIRE(r.served());
  r.finish();
}

TEST_CASE("no port while a connection is being made: it will carry who came for both; if it fails they are refused") {
  for (const bool comes : {true, false}) {
    CAPTURE(comes);
    World w;
    w.some_endpoints(1);
    w.start();
    fakes::FakeConnector& connector = *w.connectors[0];
    connector.answer = [](const SharedEndpoint&) { return Answer::hang; };
    Request& a = w.ask();
    Request& b = w.ask();
    REQUIRE(connector.hanging.size() == 2);
    const DialFailure none{Kind::no_local_port, DialFailure::Fault::ours};
    auto* const dial_a = connector.hanging[0];
    auto* const dial_b = connector.hanging[1];
    w.sim.post({}, [dial_b, none] { dial_b->fail(none); });
    w.sim.settle();
    CHECK(b.upcalls == 0);
    w.sim.post({}, [dial_a, none, comes] { comes ? dial_a->succeed() : dial_a->fail(none); });
    w.sim.settle();
    if (comes) {
      REQUIRE(a.served());
      a.finish();
      w.sim.settle();
      REQUIRE(b.served());
      b.finish();
      continue;
    }
    CHECK(a.refused.kind == Kind::no_local_port);
    CHECK(b.refused.kind == Kind::no_local_port);
  }
}

TEST_CASE("no port towards one of two endpoints: the other one serves all") {
  World w;
  w.some_endpoints(2);
  w.start();
  w.connectors[0]->refusal = {Kind::no_local_port, DialFailure::Fault::ours};
  const SharedEndpoint* const lacking = &w.endpoint(0);
  w.connectors[0]->answer = [lacking](const SharedEndpoint& e) {
    return &e == lacking ? Answer::refuse : Answer::accept;
  };
  Request& other = w.ask();  // so that there is a connection, if not to the one that lacks ports
  w.sim.settle();
  std::vector<Request*> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(&w.ask());
    w.sim.settle();
  }
  for (Request* r : all) {
    if (!r->served()) {
      CHECK(r->refused.untouched);  // the very first one at most: it goes on elsewhere
      continue;
    }
    CHECK(r->endpoint() == w.endpoint(1).name());
    r->finish();
  }
  if (other.served()) other.finish();
}

TEST_CASE("no port: what is idle in another worker comes over") {
  World w(2);
  w.some_endpoints(1);
  w.start();
  for (auto* connector : w.connectors) connector->travels = true;
  Request& here = w.ask(1);
  w.sim.settle();
  REQUIRE(here.served());
  for (auto* connector : w.connectors) {
    connector->refusal = {Kind::no_local_port, DialFailure::Fault::ours};
    connector->answer = [](const SharedEndpoint&) { return Answer::refuse; };
  }
  Request& there = w.ask(0);
  w.sim.run_for(base::Millis{50});
  CHECK(there.upcalls == 0);
  here.finish();
  w.sim.run_for(base::Millis{200});
  REQUIRE(there.served());
  there.finish();
}

TEST_CASE("min_idle: connected before warm, kept up") {
  World w;
  w.options->pool.min_idle = 3;
  w.some_endpoints(2);
  w.start();
  CHECK_FALSE(w.clusters[0]->warm());
  w.sim.run_for(base::Millis{10});
  CHECK(w.clusters[0]->warm());
  CHECK(w.dials() == 6);
  Request& r = w.ask();
  REQUIRE(r.served());
  CHECK_FALSE(r.grant.reused);  // the first on its connection
  w.sim.run_for(base::Millis{300});
  CHECK(w.dials() == 7);
  r.finish();
}

TEST_CASE("min_idle: an endpoint that cannot be reached does not hold up the others") {
  World w;
  w.options->pool.min_idle = 1;
  w.some_endpoints(2);
  w.start();
  const std::string bad = w.endpoint(0).name();
  w.connectors[0]->answer = [&](const SharedEndpoint& e) { return e.name() == bad ? Answer::refuse : Answer::accept; };
  w.sim.run_for(base::Millis{10});
  CHECK(w.clusters[0]->warm());
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::accept; };
  w.sim.run_for(base::Millis{1'500});
  CHECK(w.endpoint(0).connections() == 1);
}

TEST_CASE("min_idle: an endpoint that ends them at once is asked ever more seldom, until one lives") {
  World w;
  w.options->pool.min_idle = 4;
  w.some_endpoints(1);
  w.start();
  std::size_t ended = 0;
  const auto pass = [&](base::Millis time, bool closes) {
    for (const base::Micros until = w.sim.now() + time; w.sim.now() < until;) {
      w.sim.run_for(base::Millis{10});
      auto& made = w.connectors[0]->sessions;
      for (; closes && ended < made.size(); ++ended) made[ended]->end(http::CloseCause::peer_closed);
    }
  };
  pass(base::Millis{60'000}, true);
  CHECK(w.dials() >= 4 * 8);  // after 0.25, 0.5, 1, 2, 4, 8, 10, 10, 10 s
  CHECK(w.dials() <= 4 * 12);
  const std::uint32_t before = w.dials();
  pass(WarmPause::most, false);
  CHECK(w.clusters[0]->warm());
  CHECK(w.dials() == before + 4);
  // One that served a request was worth it: the next is made at once again.
  Request& r = w.ask();
  REQUIRE(r.served());
  pass(base::Millis{300}, false);
  CHECK(w.dials() == before + 5);
  r.finish();
}

TEST_CASE("min_idle: out of ports, connects grow seldom; what we end ourselves says nothing") {
  World w;
  w.options->pool.min_idle = 2;
  w.some_endpoints(1);
  w.start();
  w.connectors[0]->refusal = {Kind::no_local_port, DialFailure::Fault::ours};
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::refuse; };
  w.sim.run_for(base::Millis{60'000});
  CHECK(w.dials() >= 2 * 8);
  CHECK(w.dials() <= 2 * 12);
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::accept; };
  w.sim.run_for(base::Millis{WarmPause::most});
  CHECK(w.clusters[0]->warm());
  for (int i = 0; i < 5; ++i) {
    const std::uint32_t before = w.dials();
    w.clusters[0]->endpoint_down(w.endpoint(0).id());
    w.sim.run_for(base::Millis{600});
    CHECK(w.dials() == before + 2);
  }
}

TEST_CASE("max_in_flight: who comes later waits for an end, whatever the connections carry") {
  for (const auto proxy : {net::ProxyProtocolOut::off, net::ProxyProtocolOut::v2}) {
    CAPTURE(proxy == net::ProxyProtocolOut::v2);
    World w;
    w.options->pool.max_in_flight = 3;
    w.options->proxy_protocol = proxy;
    w.some_endpoints(1);
    w.start();
    w.connectors[0]->streams_per_connection = 10;
    std::vector<Request*> all;
    for (int i = 0; i < 6; ++i) all.push_back(&w.ask());
    w.sim.settle();
    CHECK(std::ranges::count_if(all, &Request::served) == 3);
    CHECK(w.dials() == 3);  // none for those who wait at the limit
    CHECK_FALSE(w.clusters[0]->has_room());
    for (int i = 0; i < 6; ++i) {
      REQUIRE(all[i]->served());
      CHECK(w.endpoint(0).in_flight() == std::min(3, 6 - i));
      all[i]->finish();
      w.sim.settle();
    }
    CHECK(w.endpoint(0).in_flight() == 0);
  }
}

TEST_CASE("max_in_flight: at one endpoint a request goes to another; a greater limit lets the waiting in") {
  World w;
  w.options->pool.max_in_flight = 1;
  w.some_endpoints(2);
  w.start();
  Request& a = w.ask();
  Request& b = w.ask();
  Request& c = w.ask();
  w.sim.settle();
  REQUIRE((a.served() && b.served()));
  CHECK(a.endpoint() != b.endpoint());
  CHECK_FALSE(c.served());
  auto more = std::make_shared<UpstreamOptions>(*w.options);
  more->pool.max_in_flight = 2;
  w.clusters[0]->configure(more, w.shared->endpoints(), nullptr);
  w.sim.settle();
  CHECK(c.served());
  for (Request* r : {&a, &b, &c}) r->finish();
}

TEST_CASE("PROXY protocol: a connection serves its client only") {
  World w;
  w.options->proxy_protocol = net::ProxyProtocolOut::v2;
  w.some_endpoints(1);
  w.start();
  w.connectors[0]->answer = [](const SharedEndpoint&) { return Answer::hang; };
  Request& a = w.ask();
  Request& b = w.ask();
  auto* const dial_b = w.connectors[0]->hanging[1];
  w.sim.post({}, [dial_b] { dial_b->succeed(); });
  w.sim.settle();
  CHECK_FALSE(a.served());  // although it is older
  REQUIRE(b.served());
  a.unlink();
  auto* const dial_a = w.connectors[0]->hanging[0];
  w.sim.post({}, [dial_a] { dial_a->succeed(); });
  w.sim.settle();
  CHECK(w.connectors[0]->live() == 1);  // nobody else may have it
  b.finish();
  w.sim.settle();
  CHECK(w.connectors[0]->live() == 0);
}

TEST_CASE("endpoints at their cap are passed over for those with room") {
  World w;
  w.options->pool.max_connections = 1;
  w.some_endpoints(50);
  w.start();
  std::set<std::string> used;
  for (int i = 0; i < 50; ++i) {
    Request& r = w.ask();
    w.sim.settle();
    REQUIRE(r.served());
    used.insert(r.endpoint());
  }
  CHECK(used.size() == 50);
  Request& over = w.ask();
  w.sim.settle();
  CHECK_FALSE(over.served());
  w.requests[7]->finish();
  w.sim.settle();
  CHECK(over.served());
}

TEST_CASE("the advisor is told the load of a worker every second, and that it has ended") {
  World w;
  w.some_endpoints(1);
  w.start();
  Request& a = w.ask();
  Request& b = w.ask();
  w.sim.run_for(base::Millis{10'000});
  CHECK(w.shared->advisor().look().offered == doctest::Approx(2).epsilon(0.01));
  a.finish();
  b.finish();
  w.sim.run_for(base::Millis{20'001});
  CHECK(w.shared->advisor().look().offered == 0);
}

TEST_CASE("a pool that is too small for its load: advised once, taken back when the load is gone") {
  World w;
  w.options->pool.max_connections = 2;
  w.some_endpoints(1);
  w.start();
  for (int i = 0; i < 6; ++i) w.ask();
  w.sim.run_for(base::Millis{900});
  CHECK(w.shared->advisor().given() == Advice::none);
  w.sim.run_for(base::Millis{1'200});
  CHECK(w.shared->advisor().given() == Advice::raise_max_connections);
  for (auto& r : w.requests) {
    if (r->served()) r->finish();
  }
  w.sim.run_for(base::Millis{40'000});
  CHECK(w.shared->advisor().given() == Advice::none);
}

}  // namespace
