// Connections that stand in a state for longer than its limits: told of once. What peers may do brings none about.
#include <string>
#include <vector>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

std::string toml(const std::string& keys = "", const std::string& protocol = "http/1.1") {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"" + protocol + "\"]\n" + keys +
         "\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[[route]]\nupstream = \"app\"\n";
}

double held(const Rig& rig, const char* side, const char* phase) {
  return rig.metric(Name::connections_held_total, {side, phase});
}
double oldest(const Rig& rig, const char* side) { return rig.metric(Name::connection_held_oldest_seconds, {side}); }

}  // namespace

TEST_CASE("a newcomer that waits for a place for ever, as the worker that it was asked of is lost") {
  std::vector<runtime::Fronts> fronts(2);
  Rig rig(toml());
  rig.shared.places.fronts.swap(fronts);
  rig.shared.places.fronts[1].set(runtime::ClientStage::idle, base::Micros{1});
  rig.shared.places.most = 0;
  rig.client();
  rig.sim.run_for(base::seconds(9));
  CHECK(held(rig, "client", "awaiting_place") == 0);
  rig.sim.run_for(base::seconds(12));
  CHECK(held(rig, "client", "awaiting_place") == 1);
  CHECK(oldest(rig, "client") == doctest::Approx(20).epsilon(0.01));
  rig.sim.run_for(base::seconds(60));
  CHECK(held(rig, "client", "awaiting_place") == 1);
  CHECK(oldest(rig, "client") > 60);
}

TEST_CASE("whatever clients and origins leave undone is ended by its limit, and nobody is told of") {
  for (const char* protocol : {"http/1.1", "h2"}) {
    CAPTURE(protocol);
    Rig rig(toml("", protocol));
    rig.network.serve(app, sim::answering(ok));
    rig.client();                                      // says nothing
    rig.client().send("GET / HT");                     // half a head
    rig.client().send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    rig.client().send(get);                            // is answered, and stays
    support::ScriptedPeer& slow = rig.client();        // takes nothing of its answer
    slow.hold();
    slow.send(get);
    rig.client().send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx");
    rig.client().send("nonsense\r\n\r\n");            // answered 400; the client does not close
    rig.sim.run_for(base::minutes(10));
    for (const char* side : {"client", "upstream"}) {
      CHECK(rig.metric(Name::connections_held_total, {side}) == 0);
      CHECK(oldest(rig, side) == 0);
    }
  }
}

TEST_CASE("with the last client the looks end") {
  Rig rig(toml());
  rig.network.serve(app, sim::answering(ok));
  rig.client().send(get);
  rig.sim.run_for(base::minutes(5));
  CHECK_FALSE(rig.worker->held_connections().looks());
  rig.client();
  CHECK(rig.worker->held_connections().looks());
}
