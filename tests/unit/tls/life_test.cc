// Who lives how long: connecting below, letting go in every upcall, leases.
#include "raw.h"
#include "rig.h"
#include "support/sim_network.h"

#include <functional>
#include <optional>

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

using support::SimLoop;

const net::Address& place() {
  static const net::Address address = *net::Address::parse("10.0.0.1:443");
  return address;
}

// A client of ours that dials through a simulated network.
struct Dialler {
  Dialler(SimLoop& sim, support::SimNetwork& network, base::Millis handshake = {}) {
    auto lower = network.dial(sim.loop(), place(), {.connect_timeout = base::seconds(1)});
    user.bind(tls::connect(sim.loop(), std::move(lower), client_context(client_options()), "localhost", nullptr,
                           {handshake, &events}));
  }
  Events events;
  Side user;
};

TEST_CASE("an idle client is packed, and goes on elsewhere with its keys; let go of, it is closed") {
  for (const bool unpacked : {true, false}) {
    CAPTURE(unpacked);
    SimLoop sim;
    Rig rig(sim, {.server = server_context(server_options({localhost()}), {"http/1.1"}),
                  .client = client_context(client_options(), {"http/1.1"})});
    REQUIRE(sim.until([&] { return rig.open(); }));
    CHECK(rig.server.transport->pack() == nullptr);  // the server's side does not travel
    rig.client.send("before");
    sim.settle();
    rig.server.send("first");
    sim.settle();
    REQUIRE((rig.server.got == "before" && rig.client.got == "first"));
    std::unique_ptr<net::Packed> packed = rig.client.transport->pack();
    REQUIRE(packed != nullptr);
    CHECK(rig.client.transport->pack() == nullptr);  // it is gone
    rig.client.transport.reset();
    sim.settle();
    if (!unpacked) {
      packed.reset();
      sim.settle();
      CHECK(rig.server.eof.has_value());
      continue;
    }
    Side next;
    next.bind(packed->unpack(sim.loop()));
    packed.reset();
    CHECK(next.transport->open());
    CHECK(next.transport->peer().alpn == "http/1.1");
    const std::string much(100'000, 'x');
    next.send("after" + much);
    rig.server.send("second" + much);
    sim.settle();
    CHECK(rig.server.got == "beforeafter" + much);
    CHECK(next.got == "second" + much);
    CHECK(next.opens == 0);  // it was open
    CHECK(!next.end);
    next.transport->close(net::Close::after_flush);
    sim.settle();
    CHECK(rig.server.eof == true);  // with a close_notify under the keys that it knows
  }
}

TEST_CASE("a client with bytes under way is not packed") {
  SimLoop sim;
  Rig rig(sim);
  REQUIRE(sim.until([&] { return rig.open(); }));
  sim.settle();
  rig.server.send("something");
  sim.until([&] { return rig.wire->in_flight(support::Wire::From::b) != 0; });
  CHECK(rig.client.transport->pack() == nullptr);
  sim.settle();
  CHECK(rig.client.got == "something");
  CHECK(rig.client.transport->pack() != nullptr);
}

TEST_CASE("a client waits for the lower transport to connect, and hears why it could not") {
  struct Case {
    std::function<void(support::SimNetwork&)> set_up;
    net::EndReason why;
  };
  const Case cases[] = {
      {[](auto& n) { n.fail(place(), net::EndReason::refused); }, net::EndReason::refused},
      {[](auto& n) { n.fail(place(), net::EndReason::unreachable); }, net::EndReason::unreachable},
      {[](auto& n) { n.black_hole(place()); }, net::EndReason::connect_timeout},
  };
  for (const Case& c : cases) {
    SimLoop sim;
    support::SimNetwork network(sim);
    c.set_up(network);
    Dialler client(sim, network);
    CHECK(!client.user.transport->open());
    sim.run_for(base::seconds(2));
    CHECK(client.user.end == c.why);
    CHECK(client.events.errors.empty());               // no handshake has begun
  }
}

TEST_CASE("a client that connects late shakes hands then; its deadline covers both") {
  SimLoop sim;
  support::SimNetwork network(sim);
  network.set_latency(base::Micros{base::millis(50)});
  Side server;
  const auto context = server_context(server_options({localhost()}));
  network.serve_transport(
      place(), [&](net::TransportPtr lower) { server.bind(tls::accept(sim.loop(), std::move(lower), context, {})); });
  {
    Dialler client(sim, network, base::seconds(1));
    client.user.send("hello");
    CHECK(sim.until([&] { return server.got == "hello"; }));
    CHECK(client.user.opens == 1);
    CHECK(client.user.transport->peer().remote == place());
    REQUIRE(client.events.facts.size() == 1);
    CHECK(client.events.facts[0].took.count >= 100'000);
    sim.run_for(base::seconds(5));
    CHECK(!client.user.end);
  }
  network.serve(place(), [](support::ScriptedPeer&) {});   // accepts and is silent
  Dialler client(sim, network, base::millis(500));
  sim.run_for(base::millis(499));
  CHECK(!client.user.end);
  sim.run_for(base::millis(2));
  CHECK(client.user.end == net::EndReason::tls_failed);
  CHECK(client.user.detail == "handshake timeout");
}

enum class When { open, bytes, fill, eof, end };

// Lets go of its transport in one of its upcalls.
struct Quitter final : net::Transport::User {
  Quitter(When w, std::optional<net::Close> c) : when(w), close(c) {}
  void quit(When now) {
    if (now != when || !transport) return;
    if (close) transport->close(*close);
    transport.reset();
    ++quits;
  }
  void on_open() override {
    quit(When::open);
    if (transport) transport->touch();
  }
  void on_bytes(net::ByteQueue& in) override {
    in.clear();
    quit(When::bytes);
  }
  void fill(net::ByteQueue& out, size_t) override {
    if (gave) return;
    gave = true;
    out.append_copy("bye");
    quit(When::fill);
  }
  void on_eof(bool) override { quit(When::eof); }
  void on_end(net::EndReason) override { quit(When::end); }

  net::TransportPtr transport;
  When when;
  std::optional<net::Close> close;
  bool gave = false;
  int quits = 0;
};

TEST_CASE("letting go inside any upcall, with any kind of close, leaves nothing behind") {
  const std::optional<net::Close> closes[] = {std::nullopt, net::Close::now, net::Close::reset,
                                              net::Close::after_flush};
  for (const When when : {When::open, When::bytes, When::fill, When::eof, When::end}) {
    for (const auto& close : closes) {
      CAPTURE(static_cast<int>(when));
      SimLoop sim;
      const std::size_t pipes = support::pipes_live();
      Quitter user(when, close);
      std::string received;
      {
        Peerless server(sim);
        user.transport = std::move(server.user.transport);
        user.transport->start(user);
        RawClient client(sim, server, nullptr);
        client.step();
        REQUIRE(client.open());
        client.write("some bytes");
        received = client.read();
        if (when == When::eof) SSL_shutdown(&client.ssl());
        if (when == When::end) server.peer->reset();
        client.step();
        CHECK(user.quits == 1);
      }
      sim.settle();
      CHECK(tls::transports_live() == 0);
      CHECK(tls::transports_busy() == 0);
      CHECK(support::pipes_live() == pipes);
      const bool flushed = when == When::fill && close == net::Close::after_flush;
      const bool later = when == When::eof || when == When::end || when == When::bytes;
      if (flushed || later) CHECK(received == "bye");
      if (when == When::open) CHECK(received.empty());
    }
  }
}

TEST_CASE("letting go in the middle of a handshake") {
  for (std::size_t cut = 0; cut < 500; cut += 37) {
    SimLoop sim;
    {
      Rig rig(sim, {.tear_to_server = support::tear_at({cut})});
      for (std::size_t turns = 0; turns < cut % 5; ++turns) sim.loop().turn(base::Micros{0});
      rig.server.transport.reset();
      sim.settle();
      CHECK((rig.client.end.has_value() || rig.client.eof == false));
    }
    sim.settle();
    CHECK(tls::transports_live() == 0);
  }
}

TEST_CASE("an idle connection holds no lease") {
  SimLoop sim;
  Rig rig(sim, {.timeout = base::seconds(10)});
  sim.settle();
  REQUIRE(rig.open());
  CHECK(tls::transports_live() == 2);
  CHECK(tls::transports_busy() == 0);
  CHECK(rig.client.drained == 0);                       // the handshake's bytes are not the user's
  CHECK(rig.server.drained == 0);
  rig.client.send("request");
  rig.server.send("answer");
  sim.settle();
  CHECK(rig.server.got == "request");
  CHECK(rig.client.drained == 1);
  CHECK(rig.server.drained == 1);
  CHECK(tls::transports_busy() == 0);
}

TEST_CASE("reading that is paused before the handshake is done stays paused after it") {
  SimLoop sim;
  Rig rig(sim);
  rig.server.transport->allow_reading(net::Reading::paused);
  rig.client.send("early");
  sim.settle();
  CHECK(rig.open());
  CHECK(rig.server.got.empty());
  CHECK(rig.server.transport->quiet_now() == false);
  rig.client.send(std::string(2'000'000, 'x'));
  sim.settle();
  CHECK(rig.wire->in_flight(support::Wire::From::a) > 0);  // so the lower one is paused as well, and the window fills
  rig.server.transport->allow_reading(net::Reading::allowed);
  sim.settle();
  CHECK((rig.server.got == "early" + std::string(2'000'000, 'x')));
}

TEST_CASE("quiet_now: bytes, an end, or nothing") {
  SimLoop sim;
  Rig rig(sim);
  CHECK(!rig.client.transport->quiet_now());  // still shaking hands
  rig.server.send("x");
  sim.settle();
  CHECK(rig.client.transport->quiet_now());
  rig.server.transport->close(net::Close::after_flush);
  rig.server.transport.reset();
  sim.loop().turn(base::Micros{0});
  CHECK(!rig.client.transport->quiet_now());  // it is on the wire, not read yet
  sim.settle();
  CHECK(!rig.client.transport->quiet_now());
}

TEST_CASE("set_peer reaches both") {
  SimLoop sim;
  Rig rig(sim);
  const auto client = *net::Address::parse("192.0.2.1:1234");
  const auto local = *net::Address::parse("192.0.2.2:443");
  rig.server.transport->set_peer(client, local);
  sim.settle();
  CHECK(rig.server.transport->peer().remote == client);
  CHECK(rig.server.transport->peer().local == local);
  CHECK(rig.server.transport->peer().tls);
}

TEST_CASE("too many key updates end the connection") {
  SimLoop sim;
  Peerless server(sim);
  RawClient client(sim, server, nullptr);
  client.step();
  int updates = 0;
  for (; updates < 100 && !server.user.end; ++updates) {
    REQUIRE(SSL_key_update(&client.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
    client.write("x");
    client.step();
  }
  CHECK(updates == 33);
  CHECK(server.user.detail == "too many key updates");
}

}  // namespace
}  // namespace sluice::test
