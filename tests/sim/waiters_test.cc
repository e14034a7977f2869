// Requests that wait for a connection: who left, or for whom nobody waits any more, never reaches an upstream.
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using sim::Rig;

namespace {

constexpr const char* toml = R"(
[[listener]]
address = "127.0.0.1:8080"
half_close_grace = "1ms"
[[upstream]]
name = "app"
endpoints = ["10.0.0.1:3000"]
[upstream.pool]
max_connections = 1
acquire_timeout = "400ms"
connect_timeout = "5s"
[[route]]
path_prefix = "/short"
upstream = "app"
timeout = "100ms"
[[route]]
path_prefix = "/budget"
upstream = "app"
wait_budget = "150ms"
[[route]]
upstream = "app"
timeout = "10s"
)";

// One connection to an upstream that answers when the test says so, and writes down what it was asked.
struct Bench {
  Bench() : rig(toml) {
    rig.network.serve(net::Address::ipv4(0x0A000001, 3000), [this](support::ScriptedPeer& peer) {
      connection = &peer;
      peer.on_event = [this](support::ScriptedPeer& p) {
        asked += p.take();
        if (p.ended() && connection == &p) connection = nullptr;
      };
    });
  }
  support::ScriptedPeer& ask(const std::string& path, const std::string& more = "") {
    support::ScriptedPeer& client = rig.client();
    client.send("GET " + path + " HTTP/1.1\r\nHost: a.test\r\n" + more + "\r\n");
    rig.sim.settle();
    return client;
  }
  void answer() {
    REQUIRE(connection != nullptr);
    connection->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    rig.sim.settle();
  }
  bool saw(const std::string& path) const { return asked.find("GET " + path + " ") != std::string::npos; }

  Rig rig;
  support::ScriptedPeer* connection = nullptr;
  std::string asked;
};

}  // namespace

TEST_CASE("who left while it waited, its route's time or its wait budget is over: the upstream never hears of it") {
  Bench b;
  b.ask("/held");
  REQUIRE(b.saw("/held"));
  support::ScriptedPeer& left = b.ask("/left");
  support::ScriptedPeer& gone = b.ask("/gone");
  support::ScriptedPeer& late = b.ask("/short");
  support::ScriptedPeer& over = b.ask("/budget");
  support::ScriptedPeer& stays = b.ask("/stays");
  left.reset();
  gone.fin();
  b.rig.sim.run_for(base::millis(200));
  CHECK(late.received().starts_with("HTTP/1.1 504 "));
  CHECK(over.received().starts_with("HTTP/1.1 503 "));
  b.answer();
  b.answer();
  CHECK(stays.received().ends_with("ok"));
  for (const char* path : {"/left", "/gone", "/short", "/budget"}) CHECK_FALSE(b.saw(path));
  CHECK(b.saw("/stays"));
}

TEST_CASE("whose time is over while a connection is made for it: nothing is sent on it, and the next one has it") {
  Bench b;
  b.rig.network.set_latency(base::millis(150));
  support::ScriptedPeer& late = b.ask("/short");
  b.rig.sim.run_for(base::millis(120));
  CHECK(late.received().starts_with("HTTP/1.1 504 "));
  b.rig.sim.run_for(base::millis(1'000));
  CHECK(b.asked.empty());
  b.rig.network.set_latency(base::millis(0));
  b.ask("/next");
  b.rig.sim.run_for(base::millis(400));
  CHECK(b.asked.starts_with("GET /next "));
}
