// The connector, the cluster on real HTTP/1 sessions, and the health checks, over the simulated network.
#include "upstream/connector.h"

#include <map>
#include <string>
#include <vector>

#include "base/log.h"
#include "fakes.h"
#include "support/sim_network.h"
#include "upstream/health_probe.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using http::Kind;
using support::ScriptedPeer;
using support::SimLoop;
using support::SimNetwork;

const net::Address place = *net::Address::parse("10.0.0.1:80");
const bool quiet = (base::set_log(base::LogLevel::error, base::LogFormat::text), true);

struct Dialler final : DialUser, http::ClientHost {
  void on_dialled(http::ClientSessionPtr made, const DialTimes& t) override {
    session = std::move(made);
    times = t;
    dial = nullptr;
    ++upcalls;
  }
  void on_dial_failed(const DialFailure& why) override {
    failure = why;
    dial = nullptr;
    ++upcalls;
  }
  void on_slots(http::ClientSession&) override {}
  void on_session_end(http::ClientSession&, http::CloseCause) override { session = nullptr; }
  void on_protocol_error(http::Detail) override {}

  DialPtr dial;
  http::ClientSessionPtr session;
  DialTimes times;
  DialFailure failure{Kind::none};
  int upcalls = 0;
};

struct Bench {
  explicit Bench(net::ProxyProtocolOut proxy = net::ProxyProtocolOut::off) : network(sim) {
    connector = make_connector({.upstream = "app",
                                .loop = sim.loop(),
                                .network = network,
                                .way = std::make_shared<Way>(Way{.proxy_protocol = proxy})});
  }
  ~Bench() {
    user.dial = nullptr;
    user.session = nullptr;
    sim.settle();
    CHECK(support::pipes_live() == 0);
  }
  void dial(const net::Peer* client = nullptr) {
    user.dial = connector->dial(DialTarget{endpoint, nullptr, client}, user, user);
  }

  SimLoop sim;
  SimNetwork network;
  std::unique_ptr<Connector> connector;
  SharedEndpoint endpoint{1, "10.0.0.1:80", place};
  Dialler user;
};

TEST_CASE("a connect gives a session, with the time it took") {
  Bench b;
  b.network.serve(place, [](ScriptedPeer&) {});
  b.network.set_latency(base::Micros{700});
  b.dial();
  CHECK(b.user.upcalls == 0);
  REQUIRE(b.sim.until([&] { return b.user.upcalls == 1; }, base::seconds(1)));
  REQUIRE(b.user.session != nullptr);
  CHECK(b.user.session->slots() == 1);
  CHECK(b.user.times.connect >= base::Micros{700});
  CHECK(b.user.times.tls.count == 0);
  CHECK_FALSE(b.endpoint.multiplexes());
}

TEST_CASE("refused, unreachable, out of descriptors, black hole: each as what it is") {
  Bench b;
  b.network.fail(place, net::EndReason::refused);
  b.dial();
  b.sim.settle();
  CHECK(b.user.failure.kind == Kind::connect_failed);
  CHECK(b.user.failure.fault == DialFailure::Fault::theirs);
  b.network.fail(place, net::EndReason::no_resources);
  b.dial();
  b.sim.settle();
  CHECK(b.user.failure.kind == Kind::connect_failed);
  CHECK(b.user.failure.fault == DialFailure::Fault::ours);
  for (const auto& [why, kind] : {std::pair{net::EndReason::no_local_port, Kind::no_local_port},
                                  std::pair{net::EndReason::no_descriptor, Kind::no_descriptor}}) {
    b.network.fail(place, why);
    b.dial();
    b.sim.settle();
    CHECK(b.user.failure.kind == kind);
    CHECK(b.user.failure.fault == DialFailure::Fault::ours);
  }
  b.network.black_hole(place);
  b.user.upcalls = 0;
  b.dial();
  b.sim.run_for(base::Millis{998});
  CHECK(b.user.upcalls == 0);
  b.sim.run_for(base::Millis{5});
  CHECK(b.user.upcalls == 1);
  CHECK(b.user.failure.kind == Kind::connect_timeout);
}

TEST_CASE("a source without a free port: the next one is tried, each once") {
  Bench b;
  const net::Address first = *net::Address::parse_ip("10.9.0.1");
  const net::Address second = *net::Address::parse_ip("10.9.0.2");
  const net::Address six = *net::Address::parse_ip("::1");
  b.connector = make_connector({.upstream = "app",
                                .loop = b.sim.loop(),
                                .network = b.network,
                                .way = std::make_shared<Way>(Way{.source_addresses = {first, six, second}})});
  b.network.serve(place, [](ScriptedPeer&) {});
  b.network.fail_from(first, net::EndReason::no_local_port);
  b.dial();
  REQUIRE(b.sim.until([&] { return b.user.upcalls == 1; }, base::seconds(1)));
  REQUIRE(b.user.session != nullptr);
  CHECK(b.network.dials(place) == 2);
  CHECK(b.user.session->peer().local.ip_text() == "10.9.0.2");
  b.user.session = nullptr;
  b.network.fail_from(second, net::EndReason::no_resources);
  b.dial();
  REQUIRE(b.sim.until([&] { return b.user.upcalls == 2; }, base::seconds(1)));
  CHECK(b.user.session == nullptr);
  CHECK(b.user.failure.fault == DialFailure::Fault::ours);
  CHECK(b.network.dials(place) == 4);
}

TEST_CASE("a dial goes on when the connector that made it has gone") {
  for (const bool in_time : {true, false}) {
    CAPTURE(in_time);
    Bench b(in_time ? net::ProxyProtocolOut::v1 : net::ProxyProtocolOut::off);
    if (in_time) {
      b.network.serve(place, [](ScriptedPeer&) {});
      b.network.set_latency(base::Micros{500});
    } else {
      b.network.black_hole(place);
    }
    b.dial();
    b.connector = nullptr;                   // a reload brings another
    REQUIRE(b.sim.until([&] { return b.user.upcalls == 1; }, base::seconds(2)));
    CHECK((b.user.session != nullptr) == in_time);
  }
}

TEST_CASE("the time limit is the dial's") {
  Bench b;
  b.network.black_hole(place);
  b.user.dial = b.connector->dial(DialTarget{.endpoint = b.endpoint, .timeout = base::Millis{200}}, b.user, b.user);
  b.sim.run_for(base::Millis{198});
  CHECK(b.user.upcalls == 0);
  b.sim.run_for(base::Millis{5});
  CHECK(b.user.failure.kind == Kind::connect_timeout);
}

TEST_CASE("a dial that is let go of tells nothing and leaves nothing") {
  Bench b;
  b.network.serve(place, [](ScriptedPeer&) {});
  b.network.set_latency(base::Micros{500});
  b.dial();
  b.user.dial = nullptr;
  b.sim.run_for(base::Millis{5'000});
  CHECK(b.user.upcalls == 0);
}

TEST_CASE("the PROXY header comes first, with the client's addresses or ours") {
  for (const bool with_client : {true, false}) {
    Bench b(net::ProxyProtocolOut::v1);
    b.network.serve(place, [](ScriptedPeer&) {});
    net::Peer client;
    client.remote = *net::Address::parse("192.0.2.7:4711");
    client.local = *net::Address::parse("198.51.100.1:443");
    b.dial(with_client ? &client : nullptr);
    b.sim.settle();
    REQUIRE(b.user.session != nullptr);
    CHECK(b.network.last_peer().received() ==
          (with_client ? "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n" : "PROXY UNKNOWN\r\n"));
  }
}

TEST_CASE("an endpoint that closes at once after the connect is a failure or a session that ends, never silence") {
  Bench b;
  b.network.serve(place, [](ScriptedPeer& peer) { peer.fin(); });
  b.dial();
  b.sim.run_for(base::Millis{100});
  CHECK(b.user.upcalls == 1);
  CHECK(b.user.session == nullptr);
}

// ---- the cluster on real sessions

struct House {
  House() : network(sim), registry(1), shared(std::make_shared<SharedUpstream>("app", 1)) {
    options = std::make_shared<UpstreamOptions>();
    options->name = "app";
    options->endpoints = {EndpointSpec{"10.0.0.1:80", place, 1}};
    cluster = make_cluster(ClusterSetup{sim.loop(), shared, 0, nullptr, registry, 3});
    cluster->configure(options, shared->set_endpoints(options->endpoints, 50),
                       make_connector({.upstream = "app", .loop = sim.loop(), .network = network}));
  }
  ~House() {
    requests.clear();
    cluster = nullptr;
    sim.settle();
    CHECK(support::pipes_live() == 0);
  }
  // A sink that notes the answer, unlike fakes::Request.
  struct Asker final : Waiter, http::Sink {
    void on_stream(Grant&& g) override {
      grant = std::move(g);
      send();
    }
    void on_refused(const http::Failure& why, const Endpoint*) override { refused = why; }
    void send() {
      http::Head head(grant.stream->arena());
      head.method_text = "GET";
      head.authority = "a";
      head.target = "/";
      grant.stream->send_head(head, http::End::yes);
    }
    void on_head(http::Head& head, http::End) override { status = head.status; }
    void on_body(net::ByteQueue&& bytes, http::End) override {
      const std::size_t n = bytes.size();
      bytes.clear();
      grant.stream->consume(n);
    }
    void on_trailers(http::Fields&) override {}
    void on_sent(size_t) override {}
    void on_malformed(http::Head&, const http::Failure&) override {}
    void on_closed(const http::Failure& why) override {
      grant.lease.done(why.clean() ? Outcome::answered : Outcome::reset);
      closed = why;
      over = true;
    }
    Grant grant;
    http::Failure refused;
    http::Failure closed;
    std::uint16_t status = 0;
    bool over = false;
  };
  Asker& get() {
    requests.push_back(std::make_unique<Asker>());
    Asker& a = *requests.back();
    if (cluster->acquire({}, a, a, a.grant)) a.send();
    return a;
  }

  SimLoop sim;
  SimNetwork network;
  metrics::Registry registry;
  std::shared_ptr<SharedUpstream> shared;
  std::shared_ptr<UpstreamOptions> options;
  std::unique_ptr<ClusterImpl> cluster;
  std::vector<std::unique_ptr<Asker>> requests;
};

void answer_all(ScriptedPeer& peer) {
  peer.on_event = [](ScriptedPeer& p) {
    if (p.received().find("\r\n\r\n") == std::string::npos) return;
    p.take();
    p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  };
}

TEST_CASE("HTTP/1 requests through the pool reuse one connection") {
  House h;
  h.network.serve(place, answer_all);
  for (int i = 0; i < 50; ++i) {
    House::Asker& a = h.get();
    h.sim.settle();
    REQUIRE(a.over);
    CHECK(a.closed.clean());
    CHECK(a.status == 200);
    CHECK(a.grant.reused == (i != 0));
  }
  CHECK(h.network.dials(place) == 1);
  CHECK(h.shared->endpoints()->entries[0].endpoint->in_flight() == 0);
}

TEST_CASE("an idle connection the origin has closed is not used again") {
  House h;
  h.network.serve(place, answer_all);
  h.get();
  h.sim.settle();
  h.network.last_peer().fin();
  h.sim.settle();
  House::Asker& a = h.get();
  h.sim.settle();
  CHECK(a.status == 200);
  CHECK_FALSE(a.grant.reused);
  CHECK(h.network.dials(place) == 2);
}

TEST_CASE("bytes on an idle connection: closed, counted, never used") {
  House h;
  h.network.serve(place, answer_all);
  h.get();
  h.sim.settle();
  h.network.last_peer().send("HTTP/1.1 408 Request Timeout\r\n\r\n");
  h.sim.settle();
  CHECK(h.registry.collect(metrics::Name::protocol_errors_total).size() == 1);
  House::Asker& a = h.get();
  h.sim.settle();
  CHECK(a.status == 200);
  CHECK(h.network.dials(place) == 2);
}

TEST_CASE("Keep-Alive: timeout of the origin closes the idle connection a second before") {
  House h;
  h.network.serve(place, [](ScriptedPeer& peer) {
    peer.on_event = [](ScriptedPeer& p) {
      if (p.received().find("\r\n\r\n") == std::string::npos) return;
      p.take();
      p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5\r\n\r\n");
    };
  });
  h.get();
  h.sim.settle();
  h.sim.run_for(base::Millis{3'990});
  CHECK(h.shared->endpoints()->entries[0].endpoint->connections() == 1);
  h.sim.run_for(base::Millis{20});
  CHECK(h.shared->endpoints()->entries[0].endpoint->connections() == 0);
}

// ---- health checks

struct Clinic : HealthListener {
  Clinic() : network(sim), upstream(std::make_shared<SharedUpstream>("app", 1)) {
    options = std::make_shared<UpstreamOptions>();
    options->name = "app";
    options->health.emplace();
    options->endpoints = {EndpointSpec{"10.0.0.1:80", place, 1}, EndpointSpec{"10.0.0.2:80", other, 1}};
    network.serve(other, answer_all);
    checker = std::make_unique<HealthChecker>(HealthChecker::Setup{sim.loop(), upstream, *this, 5});
  }
  virtual ~Clinic() {
    checker = nullptr;
    sim.settle();
    CHECK(support::pipes_live() == 0);
  }
  void start() {
    checker->update(options, upstream->set_endpoints(options->endpoints, options->panic_threshold),
                    make_connector({.upstream = "app", .loop = sim.loop(), .network = network}));
  }
  // A reload that changed nothing of how connections are made.
  void reload(const std::function<void(UpstreamOptions&)>& change = [](UpstreamOptions&) {}) {
    options = std::make_shared<UpstreamOptions>(*options);
    change(*options);
    checker->update(options, upstream->set_endpoints(options->endpoints, options->panic_threshold), nullptr);
  }
  void on_health(const SharedUpstream&, const SharedEndpoint& e, Health h) override {
    told.push_back(e.name() + (h == Health::up ? " up" : " down"));
  }
  bool healthy(std::size_t i) { return upstream->endpoints()->entries[i].endpoint->healthy(); }

  const net::Address other = *net::Address::parse("10.0.0.2:80");
  SimLoop sim;
  SimNetwork network;
  std::shared_ptr<SharedUpstream> upstream;
  std::shared_ptr<UpstreamOptions> options;
  std::unique_ptr<HealthChecker> checker;
  std::vector<std::string> told;
};

TEST_CASE("expected ranges include both ends") {
  const std::vector<StatusRange> ranges{{200, 204}, {301, 301}};
  for (const int s : {200, 204, 301}) CHECK(expected(ranges, static_cast<std::uint16_t>(s)));
  for (const int s : {199, 205, 300, 302}) CHECK_FALSE(expected(ranges, static_cast<std::uint16_t>(s)));
}

TEST_CASE("the verdict changes after so many in a row, no fewer") {
  HealthOptions options;
  options.healthy_after = 2;
  options.unhealthy_after = 3;
  Verdict v;
  CHECK_FALSE(v.note(Health::down, options));
  CHECK_FALSE(v.note(Health::down, options));
  CHECK_FALSE(v.note(Health::up, options));    // the row is broken
  CHECK_FALSE(v.note(Health::down, options));
  CHECK_FALSE(v.note(Health::down, options));
  CHECK(v.note(Health::down, options));
  CHECK(v.health() == Health::down);
  CHECK_FALSE(v.note(Health::up, options));
  CHECK(v.note(Health::up, options));
  CHECK(v.health() == Health::up);
}

TEST_CASE("an HTTP check: healthy from the start, down after three, up after two") {
  Clinic c;
  int status = 200;
  std::string asked;
  c.network.serve(place, [&](ScriptedPeer& peer) {
    peer.on_event = [&](ScriptedPeer& p) {
      if (p.received().find("\r\n\r\n") == std::string::npos) return;
      asked = p.take();
      p.send("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: 0\r\n\r\n");
    };
  });
  c.start();
  CHECK(c.healthy(0));
  c.sim.run_for(base::Millis{1'000});
  CHECK(asked.starts_with("GET /healthz HTTP/1.1\r\n"));
  CHECK(asked.find("10.0.0.1:80\r\n") != std::string::npos);
  c.sim.run_for(base::Millis{20'000});
  CHECK(c.told.empty());
  status = 500;
  CHECK(c.sim.until([&] { return !c.healthy(0); }, base::seconds(20)));
  CHECK(c.told == std::vector<std::string>{"10.0.0.1:80 down"});
  CHECK(c.checker->status()[0].last_error == "status 500");
  status = 204;
  const base::Micros since = c.sim.now();
  CHECK(c.sim.until([&] { return c.healthy(0); }, base::seconds(20)));
  CHECK(c.sim.now() - since > base::Micros(base::seconds(4)));   // not by the first good one
  CHECK(c.told.size() == 2);
  CHECK(c.healthy(1));
}

TEST_CASE("an origin that takes the connect and says nothing is down after the timeout") {
  Clinic c;
  c.network.serve(place, [](ScriptedPeer&) {});
  c.start();
  CHECK(c.sim.until([&] { return !c.healthy(0); }, base::seconds(30)));
  CHECK(c.checker->status()[0].last_error == "no answer in time");
}

TEST_CASE("reloads that change nothing of a check do not restart it: a hung origin is found down between them") {
  Clinic c;
  c.network.serve(place, [](ScriptedPeer&) {});
  c.start();
  for (int reloads = 0; reloads < 40 && c.healthy(0); ++reloads) {
    c.reload([&](UpstreamOptions& options) { options.pool.max_waiting = 100 + static_cast<std::uint32_t>(reloads); });
    c.sim.run_for(base::Millis{700});
  }
  CHECK_FALSE(c.healthy(0));
  CHECK(c.checker->status()[0].last_error == "no answer in time");
}

TEST_CASE("a shorter interval counts from the check before") {
  Clinic c;
  c.options->health->interval = base::Millis{3'600'000};
  c.network.serve(place, answer_all);
  c.start();
  REQUIRE(c.sim.until([&] { return c.network.dials(place) == 1; }, base::minutes(10)));
  c.sim.run_for(base::seconds(10));
  c.reload([](UpstreamOptions& options) { options.health->interval = base::Millis{1'000}; });
  c.sim.run_for(base::Millis{100});
  CHECK(c.network.dials(place) == 2);        // it is due
  c.reload([](UpstreamOptions& options) { options.health->interval = base::Millis{3'600'000}; });
  c.sim.run_for(base::Millis{1'200});
  CHECK(c.network.dials(place) == 3);        // a longer one begins with the next
  c.sim.run_for(base::minutes(10));
  CHECK(c.network.dials(place) == 3);
}

TEST_CASE("another question is asked from now on; the check under way is let go of") {
  Clinic c;
  std::string asked;
  c.network.serve(place, [&](ScriptedPeer& peer) {
    peer.on_event = [&](ScriptedPeer& p) {
      if (p.received().find("\r\n\r\n") == std::string::npos) return;
      asked = p.take();
      if (asked.starts_with("GET /ready ")) p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    };
  });
  c.start();
  REQUIRE(c.sim.until([&] { return asked.starts_with("GET /healthz "); }, base::seconds(5)));
  c.reload([](UpstreamOptions& options) { options.health->path = "/ready"; });
  REQUIRE(c.sim.until([&] { return asked.starts_with("GET /ready "); }, base::seconds(10)));
  c.sim.run_for(base::seconds(10));
  CHECK(c.told.empty());
}

TEST_CASE("refused, closed at once, nonsense: all count as bad") {
  for (const int how : {0, 1, 2, 3}) {
    CAPTURE(how);
    Clinic c;
    switch (how) {
      case 0: c.network.fail(place, net::EndReason::refused); break;
      case 1: c.network.serve(place, [](ScriptedPeer& p) { p.fin(); }); break;
      case 2: c.network.serve(place, [](ScriptedPeer& p) { p.send("220 smtp.example.com\r\n"); }); break;
      default: c.network.serve(place, [](ScriptedPeer& p) { p.on_event = [](ScriptedPeer& q) { q.reset(); }; }); break;
    }
    c.start();
    CHECK(c.sim.until([&] { return !c.healthy(0); }, base::seconds(30)));
    CHECK(c.healthy(1));
  }
}

TEST_CASE("a tcp check only connects") {
  Clinic c;
  c.options->health->kind = HealthKind::tcp;
  c.network.serve(place, [](ScriptedPeer&) {});
  c.start();
  c.sim.run_for(base::Millis{30'000});
  CHECK(c.healthy(0));
  CHECK(c.network.dials(place) >= 5);
  for (const auto& peer : c.network.peers()) CHECK(peer->received().empty());
  c.network.fail(place, net::EndReason::refused);
  CHECK(c.sim.until([&] { return !c.healthy(0); }, base::seconds(30)));
}

TEST_CASE("a check that had no port or descriptor of ours says nothing of the endpoint") {
  Clinic c;
  c.network.serve(place, [](ScriptedPeer&) {});
  c.options->health->kind = HealthKind::tcp;
  c.start();
  for (const net::EndReason why : {net::EndReason::no_local_port, net::EndReason::no_descriptor}) {
    c.network.fail(place, why);
    const std::uint64_t before = c.network.dials(place);
    REQUIRE(c.sim.until([&] { return c.network.dials(place) >= before + 5; }, base::seconds(60)));
    CHECK(c.healthy(0));
  }
  c.network.fail(place, net::EndReason::refused);
  CHECK(c.sim.until([&] { return !c.healthy(0); }, base::seconds(30)));
}

TEST_CASE("an update keeps the run of checks; checks switched off bring endpoints back") {
  Clinic c;
  c.network.fail(place, net::EndReason::refused);
  c.start();
  REQUIRE(c.sim.until([&] { return c.network.dials(place) == 2; }, base::seconds(30)));
  c.sim.settle();
  c.start();                                   // a reload
  REQUIRE(c.sim.until([&] { return c.network.dials(place) == 3; }, base::seconds(30)));
  c.sim.settle();
  CHECK_FALSE(c.healthy(0));                   // the third in a row
  c.options = std::make_shared<UpstreamOptions>(*c.options);
  c.options->health.reset();
  c.start();
  CHECK(c.healthy(0));
  CHECK(c.told.back() == "10.0.0.1:80 up");
  const std::uint64_t dials = c.network.dials(place);
  c.sim.run_for(base::Millis{30'000});
  CHECK(c.network.dials(place) == dials);
}

TEST_CASE("an update in the middle of a check") {
  Clinic c;
  c.network.black_hole(place);
  c.network.serve(c.other, [](ScriptedPeer&) {});   // never answers
  c.start();
  c.sim.run_for(base::Millis{700});
  c.start();
  c.options->endpoints.pop_back();
  c.start();
  c.sim.run_for(base::Millis{60'000});
  CHECK_FALSE(c.healthy(0));
}

}  // namespace
