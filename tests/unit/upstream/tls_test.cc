// Connects over TLS: verification, server name, resumption, time, and what each failure is called.
#include <string>
#include <utility>
#include <vector>

#include "../tls/certs.h"
#include "support/sim_network.h"
#include "tls/transport.h"
#include "upstream/connector.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using http::Kind;

const net::Address place = *net::Address::parse("10.0.0.1:443");

// The server's side of one connection: shakes hands, writes nothing.
struct Origin final : net::Transport::User {
  void on_bytes(net::ByteQueue& in) override {
    got += std::string(in.flatten(in.size()));
    in.clear();
  }
  void fill(net::ByteQueue& out, size_t) override { out.append_copy(std::exchange(greeting, {})); }
  void on_open() override {
    resumed = transport->peer().tls_resumed;
    sni = transport->peer().sni;
    open = true;
    transport->touch();
  }
  void on_eof(bool) override {}
  void on_end(net::EndReason) override { ended = true; }
  net::TransportPtr transport;
  std::string greeting;
  std::string got;
  std::string sni;
  bool open = false;
  bool ended = false;
  bool resumed = false;
};

struct Caller final : DialUser, http::ClientHost {
  void on_dialled(http::ClientSessionPtr made, const DialTimes& t) override {
    session = std::move(made);
    times = t;
    dial = nullptr;
  }
  void on_dial_failed(const DialFailure& why) override {
    failure = why;
    dial = nullptr;
  }
  void on_slots(http::ClientSession&) override {}
  void on_session_end(http::ClientSession&, http::CloseCause) override { session = nullptr; }
  void on_protocol_error(http::Detail) override {}
  DialPtr dial;
  http::ClientSessionPtr session;
  DialTimes times;
  DialFailure failure{Kind::none};
};

struct Bench {
  explicit Bench(const tls::ClientTlsOptions& client, net::ProxyProtocolOut proxy = net::ProxyProtocolOut::off)
      : network(sim) {
    static const tls::CertificateFiles files = test::certs().make("app", {.names = {"app.internal"}});
    tls::Findings ignored;
    auto server = tls::ServerContext::load(
        {.certificates = {files}}, {.listener = "origin", .alpn = {}, .wall = base::steady_clock().wall()}, ignored);
    REQUIRE(server.has_value());
    server_context = *server;
    auto loaded = tls::ClientContext::load(client, {}, base::steady_clock().wall(), ignored);
    REQUIRE(loaded.has_value());
    network.serve_transport(place, [this](net::TransportPtr raw) {
      origins.push_back(std::make_unique<Origin>());
      Origin& o = *origins.back();
      o.greeting = greeting;
      o.transport = tls::accept(sim.loop(), std::move(raw), server_context, {});
      o.transport->start(o);
    });
    connector = make_connector({.upstream = "app",
                                .loop = sim.loop(),
                                .network = network,
                                .way = std::make_shared<Way>(Way{.proxy_protocol = proxy, .tls = *loaded})});
  }
  ~Bench() {
    caller.dial = nullptr;
    caller.session = nullptr;
    origins.clear();
    sim.run_for(base::seconds(2));
  }
  void dial() {
    caller.dial = connector->dial(DialTarget{endpoint, &sessions, nullptr}, caller, caller);
    sim.settle();
  }

  support::SimLoop sim;
  support::SimNetwork network;
  std::shared_ptr<const tls::ServerContext> server_context;
  std::unique_ptr<Connector> connector;
  std::vector<std::unique_ptr<Origin>> origins;
  std::string greeting;
  tls::SessionSlot sessions;
  SharedEndpoint endpoint{1, "app.internal:443", place};
  Caller caller;
};

TEST_CASE("the endpoint's name is sent and verified") {
  Bench b({.ca = test::certs().ca()});
  b.network.set_latency(base::Micros{400});
  b.dial();
  b.sim.run_for(base::Millis{20});
  REQUIRE(b.caller.session != nullptr);
  CHECK(b.origins[0]->sni == "app.internal");
  CHECK(b.caller.times.connect >= base::Micros{400});
  CHECK(b.caller.times.tls >= base::Micros{800});
  CHECK(b.caller.session->peer().tls);
}

TEST_CASE("server_name wins over the endpoint's name") {
  Bench b({.server_name = "other.internal", .ca = test::certs().ca()});
  b.dial();
  CHECK(b.caller.session == nullptr);
  CHECK(b.caller.failure.kind == Kind::tls_failed);
  CHECK(b.caller.failure.fault == DialFailure::Fault::theirs);
}

TEST_CASE("a CA that did not sign it: refused; verify = false: taken") {
  test::CertFolder strangers("another CA");
  Bench refused({.ca = strangers.ca()});
  refused.dial();
  CHECK(refused.caller.failure.kind == Kind::tls_failed);
  Bench taken({.server_name = "whatever", .ca = strangers.ca(), .verify = tls::Verify::no});
  taken.dial();
  CHECK(taken.caller.session != nullptr);
}

TEST_CASE("the second connection resumes the session of the first") {
  Bench b({.ca = test::certs().ca()});
  b.greeting = "tickets come with the first bytes";   // which the session takes for stray ones, and ends
  b.dial();
  REQUIRE(b.origins.size() == 1);
  CHECK_FALSE(b.origins[0]->resumed);
  CHECK(b.caller.session == nullptr);
  CHECK(b.sessions.size() > 0);
  b.greeting.clear();
  b.dial();
  REQUIRE(b.caller.session != nullptr);
  CHECK(b.origins[1]->resumed);
}

TEST_CASE("an origin that does not speak TLS, and one that never answers") {
  Bench b({.ca = test::certs().ca()});
  b.network.serve(place, [](support::ScriptedPeer& p) { p.send("HTTP/1.1 400 Bad Request\r\n\r\n"); });
  b.dial();
  CHECK(b.caller.failure.kind == Kind::tls_failed);
  b.network.serve(place, [](support::ScriptedPeer&) {});
  b.caller.failure = {};
  b.dial();
  b.sim.run_for(base::Millis{1'100});
  CHECK(b.caller.failure.kind == Kind::connect_timeout);
}

TEST_CASE("the PROXY header goes before the handshake, in the clear") {
  Bench b({.ca = test::certs().ca()}, net::ProxyProtocolOut::v1);
  b.network.serve(place, [](support::ScriptedPeer&) {});
  b.dial();
  CHECK(b.network.last_peer().received().starts_with("PROXY UNKNOWN\r\n\x16\x03\x01"));
}

}  // namespace
