// Which answers count as failed when a reload is on trial: 5xx of whomever, and those that were cut.
#include <string>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using sim::Rig;
using support::ScriptedPeer;
using Counts = exchange::Answers::Counts;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
constexpr std::string_view toml =
    "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\nhealth_path = \"/healthz\"\n"
    "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[[route]]\npath = \"/404\"\n"
    "respond = { status = 404 }\n[[route]]\nupstream = \"app\"\n";

Counts after(const support::SimNetwork::OnPeer& upstream, std::string_view request = get) {
  Rig rig(toml);
  rig.network.serve(app, upstream);
  rig.ask(request);
  rig.sim.run_for(base::seconds(2));
  return rig.worker->answers().ever();
}

}  // namespace

TEST_CASE("whole answers below 500 have not failed, those of 5xx have, also an upstream's own") {
  CHECK(after(sim::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) == Counts{1, 0});
  CHECK(after(sim::answering("HTTP/1.1 499 Hm\r\nContent-Length: 0\r\n\r\n")) == Counts{1, 0});
  CHECK(after(sim::answering("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")) == Counts{1, 1});
  CHECK(after({}, "GET /404 HTTP/1.1\r\nHost: a.test\r\n\r\n") == Counts{1, 0});
}

TEST_CASE("an upstream that does not answer, or not to the end") {
  CHECK(after([](ScriptedPeer& peer) { peer.reset(); }) == Counts{1, 1});
  const auto cut = [](ScriptedPeer& peer) {
    peer.on_event = [](ScriptedPeer& p) {
      if (p.take().empty()) return;
      p.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
      p.fin();
    };
  };
  CHECK(after(cut) == Counts{1, 1});
}

TEST_CASE("a gRPC call that we fail says 200 and has failed") {
  CHECK(after([](ScriptedPeer& peer) { peer.reset(); },
              "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n") ==
        Counts{1, 1});
}

TEST_CASE("a client that leaves is not our failure; a balancer's question is no answer") {
  Rig rig(toml);
  rig.network.serve(app, [](ScriptedPeer&) {});
  ScriptedPeer& client = rig.client();
  client.send(get);
  rig.sim.settle();
  client.reset();
  rig.sim.settle();
  CHECK(rig.worker->answers().ever() == Counts{1, 0});
  rig.ask("GET /healthz HTTP/1.1\r\nHost: a.test\r\n\r\n");
  CHECK(rig.worker->answers().ever() == Counts{1, 0});
}
