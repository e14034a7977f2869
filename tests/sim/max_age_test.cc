// max_age of a listener: long-lived clients are moved on, each at its own time, and nothing that they asked for is
// lost.
#include <string>
#include <vector>

#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;
using support::ScriptedPeer;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
constexpr std::string_view ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr base::Millis soonest = base::seconds(8);  // 10 s - 20 %
constexpr base::Millis latest = base::seconds(12);

std::string toml(std::string_view line) {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"h2\", \"http/1.1\"]\n" + std::string(line) +
         "\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[[route]]\nupstream = \"app\"\n";
}
const std::string ten_seconds = toml("max_age = \"10s\"");

ScriptedPeer& served(Rig& rig) {
  ScriptedPeer& client = rig.client();
  client.send(get);
  rig.sim.settle();
  CHECK(client.take().ends_with("ok"));
  return client;
}

double moved(const Rig& rig) { return rig.metric(Name::downstream_connections_closed_total, {"max_lifetime"}); }

}  // namespace

TEST_CASE("idle clients of HTTP/1 are closed at their age, not all at once") {
  Rig rig(ten_seconds);
  rig.network.serve(app, sim::answering(std::string(ok)));
  for (int i = 0; i < 20; ++i) served(rig);
  rig.sim.run_for(base::Millis{soonest.count - 1});
  CHECK(moved(rig) == 0);
  rig.sim.run_for(base::seconds(2));
  CHECK(moved(rig) > 0);
  CHECK(moved(rig) < 20);
  rig.sim.run_for(base::Millis{latest.count - soonest.count});
  CHECK(moved(rig) == 20);
}

TEST_CASE("a client of HTTP/1 that is busy then is told with its answer") {
  Rig rig(ten_seconds);
  rig.network.serve(app, [](ScriptedPeer&) {});
  ScriptedPeer& client = rig.client();
  client.send(get);
  rig.sim.run_for(base::Millis{latest.count + 1});
  CHECK_FALSE(client.ended());
  rig.network.last_peer().send(ok);
  rig.sim.settle();
  CHECK(client.received().find("onnection: close\r\n") != std::string::npos);
  CHECK(client.received().ends_with("ok"));
  CHECK(client.got_fin());
  client.fin();
  rig.sim.settle();
  CHECK(moved(rig) == 1);
}

TEST_CASE("a client of HTTP/2 gets two GOAWAYs; what it has open, and what is on its way, is answered") {
  Rig rig(ten_seconds);
  rig.network.serve(app, [](ScriptedPeer&) {});
  http2::Peer client(http2::Peer::Role::client, rig.client());
  const int32_t first = client.get("/");
  rig.sim.run_for(base::Millis{latest.count + 1});
  CHECK(client.goaways.size() == 2);
  CHECK_FALSE(client.seen(first).closed);
  rig.network.last_peer().send(ok);
  rig.sim.settle();
  CHECK(client.seen(first).body == "ok");
  rig.sim.run_for(base::seconds(2));
  CHECK(moved(rig) == 1);
}

TEST_CASE("off by default; a reload that switches it on reaches those who are there, by their age") {
  Rig rig(toml(""));
  rig.network.serve(app, sim::answering(std::string(ok)));
  const ScriptedPeer& old = served(rig);
  http2::Peer old_h2(http2::Peer::Role::client, rig.client());
  old_h2.get("/");
  rig.sim.run_for(base::seconds(60));
  CHECK(moved(rig) == 0);
  http2::Peer fresh_h2(http2::Peer::Role::client, rig.client());
  fresh_h2.get("/");
  const ScriptedPeer& fresh = served(rig);
  rig.reload(ten_seconds);
  rig.sim.run_for(base::Millis{20});
  CHECK(old.ended());
  CHECK_FALSE(old_h2.goaways.empty());
  CHECK_FALSE(fresh.ended());
  rig.sim.run_for(base::Millis{soonest.count - 30});
  CHECK_FALSE(fresh.ended());
  CHECK(fresh_h2.goaways.empty());
  rig.sim.run_for(base::Millis{latest.count - soonest.count + 2'000});
  CHECK(fresh.ended());
  CHECK(moved(rig) == 4);
}

TEST_CASE("a reload that switches it off, or makes it longer, holds for those who are there") {
  for (const char* const line : {"", "max_age = \"40s\""}) {
    Rig rig(ten_seconds);
    rig.network.serve(app, sim::answering(std::string(ok)));
    const ScriptedPeer& client = served(rig);
    http2::Peer h2(http2::Peer::Role::client, rig.client());
    h2.get("/");
    rig.sim.run_for(base::seconds(5));
    rig.reload(toml(line));
    rig.sim.run_for(base::seconds(25));
    CHECK_FALSE(client.ended());
    CHECK(h2.goaways.empty());
    rig.sim.run_for(base::seconds(20));
    CHECK(moved(rig) == (*line == 0 ? 0 : 2));
  }
}

TEST_CASE("each client keeps its share of the jitter through reloads") {
  Rig rig(ten_seconds);
  rig.network.serve(app, sim::answering(std::string(ok)));
  for (int i = 0; i < 50; ++i) served(rig);
  for (int i = 0; i < 7; ++i) {  // drawn anew each time all would go early
    rig.sim.run_for(base::seconds(1));
    rig.reload(toml(i % 2 == 0 ? "max_age = \"10001ms\"" : "max_age = \"10s\""));
  }
  rig.sim.run_for(base::seconds(3));  // the middle of the span
  CHECK(moved(rig) > 10);
  CHECK(moved(rig) < 40);
}
