// Requests that are held for far longer than their route takes: told of once, and counted.
#include <string>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr const char* toml =
    "[[listener]]\naddress = \"127.0.0.1:8080\"\nwrite_timeout = \"10m\"\nmin_rate = 0\n"
    "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n"
    "[[route]]\nupstream = \"app\"\ntimeout = \"10m\"\n";

double held(const Rig& rig, const char* phase) { return rig.metric(Name::requests_held_total, {phase}); }
double oldest(const Rig& rig) { return rig.metric(Name::request_oldest_seconds); }

}  // namespace

TEST_CASE("an origin that does not answer: told of after ten seconds, once; the gauge follows the oldest") {
  Rig rig(toml);
  support::ScriptedPeer* origin = nullptr;
  rig.network.serve(app, [&origin](support::ScriptedPeer& peer) { origin = &peer; });
  rig.client().send(get);
  rig.sim.run_for(base::millis(9'900));
  CHECK(held(rig, "awaiting_answer") == 0);
  rig.sim.run_for(base::millis(200));
  CHECK(oldest(rig) == doctest::Approx(10).epsilon(0.01));
  CHECK(held(rig, "awaiting_answer") == 1);
  rig.sim.run_for(base::seconds(60));
  CHECK(held(rig, "awaiting_answer") == 1);
  CHECK(oldest(rig) > 60);
  REQUIRE(origin != nullptr);
  origin->send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  rig.sim.run_for(base::seconds(11));
  CHECK(oldest(rig) == 0);
}

TEST_CASE("an answer that goes on is not held, however long it takes; one that stops is") {
  Rig rig(toml);
  support::ScriptedPeer* origin = nullptr;
  rig.network.serve(app, [&origin](support::ScriptedPeer& peer) { origin = &peer; });
  rig.client().send(get);
  rig.sim.settle();
  REQUIRE(origin != nullptr);
  origin->send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  for (int i = 0; i < 10; ++i) {
    origin->send("x");
    rig.sim.run_for(base::seconds(5));
  }
  CHECK(held(rig, "answering") == 0);
  rig.sim.run_for(base::seconds(20));
  CHECK(held(rig, "answering") == 1);
}

TEST_CASE("a tunnel is never held") {
  Rig rig(toml);
  rig.network.serve(app, [](support::ScriptedPeer& peer) {
    peer.on_event = [](support::ScriptedPeer& p) {
      if (!p.take().empty())
        p.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    };
  });
  support::ScriptedPeer& client = rig.client();
  client.send(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  rig.sim.run_for(base::seconds(60));
  CHECK(client.take().starts_with("HTTP/1.1 101"));
  CHECK(held(rig, "tunnel") == 0);
  CHECK(oldest(rig) == 0);
}

TEST_CASE("a route whose requests take two seconds: held is what takes forty") {
  Rig rig(toml);
  base::Millis think = base::seconds(2);
  rig.network.serve(app, [&rig, &think](support::ScriptedPeer& peer) {
    peer.on_event = [&rig, &think](support::ScriptedPeer& p) {
      if (p.take().empty()) return;
      rig.sim.post(think, [&p] {
        if (!p.ended()) p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      });
    };
  });
  for (int i = 0; i < 100; ++i) rig.client().send(get);
  rig.sim.run_for(base::seconds(5));
  think = base::minutes(3);
  rig.client().send(get);
  rig.sim.run_for(base::seconds(39));
  CHECK(held(rig, "awaiting_answer") == 0);
  rig.sim.run_for(base::seconds(12));
  CHECK(held(rig, "awaiting_answer") == 1);
  rig.network.hush();
}
