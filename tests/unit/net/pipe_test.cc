// The simulation itself: a wire must behave as a socket would, or tests on it prove nothing.
#include "support/pipe.h"

#include <string>
#include <vector>

#include "support/random.h"
#include "support/sim_network.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::support;
using net::Close;
using net::EndReason;

namespace {

struct Probe final : net::Transport::User {
  net::TransportPtr transport;
  std::string got;
  std::string to_send;
  int opens = 0, eofs = 0, drains = 0, pieces = 0;
  std::vector<EndReason> ends;

  explicit Probe(net::TransportPtr t) : transport(std::move(t)) { transport->start(*this); }
  void send(std::string_view bytes) {
    to_send += bytes;
    transport->touch();
  }
  void on_open() override { ++opens; }
  void on_bytes(net::ByteQueue& in) override {
    ++pieces;
    const size_t old = got.size();
    got.resize(old + in.size());
    in.peek(got.data() + old, in.size());
    in.clear();
  }
  void fill(net::ByteQueue& out, size_t room) override {
    const size_t n = std::min(room, to_send.size());
    out.append_copy(std::string_view(to_send).substr(0, n));
    to_send.erase(0, n);
  }
  void on_eof(bool) override { ++eofs; }
  void on_drained() override { ++drains; }
  void on_end(EndReason why) override { ends.push_back(why); }
};

const net::Address origin = net::Address::ipv4(0x0A000001, 80);

}  // namespace

TEST_CASE("a scripted peer talks to a transport, torn as told") {
  SimLoop sim;
  {
    auto pair = scripted_pair(sim);
    Probe probe(std::move(pair.transport));
    pair.peer->tear(tear_at({1, 3}));
    pair.peer->send("abcdef");
    sim.settle();
    CHECK(probe.got == "abcdef");
    CHECK(probe.pieces == 3);
    probe.send("answer");
    sim.settle();
    CHECK(pair.peer->take() == "answer");
    CHECK(probe.drains == 1);
    pair.peer->fin();
    sim.settle();
    CHECK(probe.eofs == 1);
    CHECK(probe.ends.empty());
    probe.transport->shut_write();
    sim.settle();
    CHECK(pair.peer->got_fin());
    CHECK(probe.ends == std::vector{EndReason::closed});
  }
  sim.settle();
  CHECK(pipes_live() == 0);
}

TEST_CASE("a user that gives whole frames only, or more than asked for, is asked until it has no more") {
  struct Framed final : net::Transport::User {
    void on_bytes(net::ByteQueue&) override {}
    void fill(net::ByteQueue& out, size_t room) override {
      for (; frames != 0 && room >= at_least; --frames) {
        out.append_copy(std::string(frame, 'f'));
        room -= std::min(room, frame);
      }
    }
    void on_eof(bool) override {}
    void on_end(EndReason) override {}
    size_t frame = 0;
    size_t at_least = 1;
    int frames = 100;
  } user;
  SUBCASE("16 KiB or nothing") { user.frame = user.at_least = 16 * 1024; }
  SUBCASE("40,000 or nothing") { user.frame = user.at_least = 40'000; }
  SUBCASE("all at once, far above the mark") { user.frame = 10 * net::Transport::high_mark; }
  SimLoop sim;
  auto pair = scripted_pair(sim);
  const size_t total = user.frame * 100;
  for (const size_t window : {size_t{1000}, size_t{70'000}, size_t{10'000'000}}) {
    CAPTURE(window);
    user.frames = 100;
    pair.peer->window(window);
    pair.transport->start(user);
    pair.transport->touch();
    sim.settle();
    CHECK(pair.peer->take().size() == total);
  }
  // Little room is left when the peer reads again, and then all of it goes out at once.
  user.frames = 100;
  pair.peer->hold();
  pair.peer->window(10'000);
  pair.transport->touch();
  sim.settle();
  pair.peer->window(100'000);
  pair.peer->resume();
  sim.settle();
  CHECK(pair.peer->take().size() == total);
  pair.transport->shut_write();
  sim.settle();
  CHECK(pair.peer->got_fin());
}

TEST_CASE("a held peer stalls the writer, and the stall limit ends it in simulated time") {
  SimLoop sim;
  auto pair = scripted_pair(sim);
  Probe probe(std::move(pair.transport));
  pair.peer->window(1000);
  pair.peer->hold();
  probe.transport->limit_write_stall(base::seconds(5));
  probe.send(std::string(5000, 'x'));
  sim.settle();
  CHECK(probe.transport->unsent() == 4000);
  sim.run_for(base::millis(4900));
  CHECK(probe.ends.empty());
  SUBCASE("nothing is read") {
    sim.run_for(base::seconds(1));
    CHECK(probe.ends == std::vector{EndReason::write_stalled});
  }
  SUBCASE("reading on") {
    pair.peer->resume();
    sim.run_for(base::seconds(10));
    CHECK(probe.ends.empty());
    CHECK(pair.peer->received().size() == 5000);
  }
}

TEST_CASE("a paused transport hears of a reset a second later and of bytes when it reads again") {
  SimLoop sim;
  auto pair = scripted_pair(sim);
  Probe probe(std::move(pair.transport));
  probe.transport->allow_reading(net::Reading::paused);
  pair.peer->send("bytes");
  sim.settle();
  CHECK(probe.got.empty());
  SUBCASE("allowed") {
    probe.transport->allow_reading(net::Reading::allowed);
    sim.settle();
    CHECK(probe.got == "bytes");
  }
  SUBCASE("reset") {
    pair.peer->reset();
    sim.run_for(base::millis(1100));
    CHECK(probe.ends == std::vector{EndReason::reset});
  }
}

TEST_CASE("closing with bytes unread resets; after_flush sends the rest first") {
  SimLoop sim;
  auto pair = scripted_pair(sim);
  Probe probe(std::move(pair.transport));
  SUBCASE("unread") {
    probe.transport->allow_reading(net::Reading::paused);
    pair.peer->send("unread");
    sim.settle();
    probe.transport.reset();
    sim.settle();
    CHECK(pair.peer->got_reset());
  }
  SUBCASE("after flush") {
    pair.peer->window(10);
    pair.peer->hold();
    probe.send("0123456789abcdef");
    sim.settle();
    probe.transport->close(Close::after_flush);
    probe.transport.reset();
    sim.settle();
    CHECK(pipes_live() == 1);
    pair.peer->resume();
    sim.settle();
    CHECK(pair.peer->received() == "0123456789abcdef");
    CHECK(pair.peer->got_fin());
  }
  SUBCASE("bytes to a closed side") {
    probe.transport->close(Close::now);
    sim.settle();
    CHECK(pair.peer->got_fin());
    pair.peer->send("too late");
    sim.settle();
    CHECK(pair.peer->got_reset());
  }
  sim.settle();
}

TEST_CASE("the network serves, refuses, loses and delays") {
  SimLoop sim;
  SimNetwork network(sim);
  SUBCASE("unknown address") {
    Probe probe(network.dial(sim.loop(), origin, {}));
    CHECK(probe.ends.empty());
    sim.settle();
    CHECK(probe.ends == std::vector{EndReason::refused});
  }
  SUBCASE("black hole") {
    network.black_hole(origin);
    Probe probe(network.dial(sim.loop(), origin, {.connect_timeout = base::seconds(3)}));
    sim.run_for(base::millis(2900));
    CHECK(probe.ends.empty());
    sim.run_for(base::millis(200));
    CHECK(probe.ends == std::vector{EndReason::connect_timeout});
  }
  SUBCASE("scripted peer with latency") {
    network.set_latency(base::Micros{50'000});
    network.serve(origin,
                  [](ScriptedPeer& peer) { peer.on_event = [](ScriptedPeer& p) { p.send("<" + p.take() + ">"); }; });
    Probe probe(network.dial(sim.loop(), origin, {}));
    probe.send("ping");
    sim.settle();
    CHECK(probe.opens == 0);
    sim.run_for(base::millis(50));
    CHECK(probe.opens == 1);
    sim.run_for(base::millis(90));
    CHECK(probe.got.empty());
    sim.run_for(base::millis(20));
    CHECK(probe.got == "<ping>");
    CHECK(network.dials(origin) == 1);
  }
  SUBCASE("transport to transport, torn at random") {
    const uint64_t seed = 7;
    CAPTURE(seed);
    uint64_t wires = 0;
    network.set_tear([&] { return tear_randomly(seed + wires++); });
    std::unique_ptr<Probe> server;
    network.serve_transport(origin, [&](net::TransportPtr t) { server = std::make_unique<Probe>(std::move(t)); });
    Probe client(network.dial(sim.loop(), origin, {}));
    const std::string big(300'000, 'z');
    client.send(big);
    sim.settle();
    REQUIRE(server != nullptr);
    CHECK(server->got == big);
    CHECK(server->transport->peer().remote == client.transport->peer().local);
  }
}
