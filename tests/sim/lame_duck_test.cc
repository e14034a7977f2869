// A lame duck (POST /deregister, and the deregister_wait of a drain): everything is served, what comes is counted, and
// clients of HTTP/1 are told to go with each answer; registered again it is all as before, also for those that stayed.
#include <string>

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
constexpr std::string_view toml =
    "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"h2\", \"http/1.1\"]\n[[upstream]]\nname = \"app\"\n"
    "endpoints = [\"10.0.0.1:3000\"]\n[[route]]\nupstream = \"app\"\n";

std::string asked(Rig& rig, ScriptedPeer& client, std::string_view request = get) {
  client.send(request);
  rig.sim.settle();
  return client.take();
}

bool told_to_go(const std::string& answer) {
  CHECK(answer.ends_with("ok"));
  return answer.find("\r\nconnection: close\r\n") != std::string::npos ||
         answer.find("\r\nConnection: close\r\n") != std::string::npos;
}

double closed(const Rig& rig, const char* cause) {
  return rig.metric(Name::downstream_connections_closed_total, {cause});
}

}  // namespace

TEST_CASE("clients of HTTP/1 are told with their answers, idle ones stay until they ask") {
  Rig rig(toml);
  rig.network.serve(app, sim::answering(std::string(ok)));
  ScriptedPeer& kept = rig.client();
  ScriptedPeer& idle = rig.client();
  CHECK_FALSE(told_to_go(asked(rig, kept)));
  CHECK_FALSE(told_to_go(asked(rig, idle)));
  rig.worker->set_deregistered(true);
  rig.sim.run_for(base::seconds(2));
  CHECK_FALSE(kept.ended());
  CHECK(told_to_go(asked(rig, kept)));
  CHECK(kept.got_fin());
  kept.fin();
  ScriptedPeer& fresh = rig.client();
  CHECK(told_to_go(asked(rig, fresh)));
  fresh.fin();
  rig.sim.settle();
  CHECK(closed(rig, "drain") == 2);
  CHECK_FALSE(idle.got_fin());
}

TEST_CASE("what was asked before is answered with the word to go; who wanted to go all the same went by itself") {
  Rig rig(toml);
  rig.network.serve(app, [](ScriptedPeer&) {});
  ScriptedPeer& busy = rig.client();
  CHECK(asked(rig, busy).empty());
  rig.worker->set_deregistered(true);
  rig.network.last_peer().send(ok);
  rig.sim.settle();
  CHECK(told_to_go(busy.take()));
  ScriptedPeer& leaver = rig.client();
  CHECK(asked(rig, leaver, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").empty());
  rig.network.last_peer().send(ok);  // on the same connection
  rig.sim.settle();
  CHECK(told_to_go(leaver.take()));
  rig.sim.run_for(base::seconds(20));
  CHECK(closed(rig, "peer_asked") == 1);
  CHECK(closed(rig, "drain") == 1);
}

TEST_CASE("registered again: connections that are still there are kept") {
  Rig rig(toml);
  rig.network.serve(app, sim::answering(std::string(ok)));
  ScriptedPeer& old = rig.client();
  CHECK_FALSE(told_to_go(asked(rig, old)));
  rig.worker->set_deregistered(true);
  ScriptedPeer& during = rig.client();  // has asked for nothing yet
  rig.sim.settle();
  rig.worker->set_deregistered(false);
  for (ScriptedPeer* client : {&old, &during}) {
    CHECK_FALSE(told_to_go(asked(rig, *client)));
    CHECK_FALSE(told_to_go(asked(rig, *client)));
  }
}

TEST_CASE("told to go and registered before the answer's end: it goes, for our sake") {
  Rig rig(toml);
  rig.network.serve(app, [](ScriptedPeer&) {});
  ScriptedPeer& client = rig.client();
  asked(rig, client);
  rig.worker->set_deregistered(true);
  rig.network.last_peer().send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n..");
  rig.sim.settle();
  rig.worker->set_deregistered(false);
  rig.network.last_peer().send("ok");
  rig.sim.settle();
  CHECK(told_to_go(client.take()));
  CHECK(client.got_fin());
  client.fin();
  rig.sim.settle();
  CHECK(closed(rig, "drain") == 1);
}

TEST_CASE("a listener that comes with a reload meanwhile tells its clients, too") {
  Rig rig(toml);
  rig.network.serve(app, sim::answering(std::string(ok)));
  rig.worker->set_deregistered(true);
  rig.reload(std::string(toml) + "[[listener]]\nname = \"more\"\naddress = \"127.0.0.1:8081\"\n");
  ScriptedPeer& client = rig.client(1);
  CHECK(told_to_go(asked(rig, client)));
}

TEST_CASE("HTTP/2 has no word for it: no GOAWAY before the drain") {
  Rig rig(toml);
  rig.network.serve(app, sim::answering(std::string(ok)));
  http2::Peer client(http2::Peer::Role::client, rig.client());
  rig.worker->set_deregistered(true);
  const int32_t stream = client.get("/");
  rig.sim.run_for(base::seconds(2));
  CHECK(client.seen(stream).body == "ok");
  CHECK(client.goaways.empty());
}

TEST_CASE("what comes is counted: requests, and connections with their first one") {
  Rig rig(toml);
  rig.network.serve(app, sim::answering(std::string(ok)));
  ScriptedPeer& old = rig.client();
  asked(rig, old);
  rig.worker->set_deregistered(true);
  rig.sim.run_for(base::seconds(1));
  rig.client();  // a probe that only connects
  asked(rig, rig.client());
  http2::Peer client(http2::Peer::Role::client, rig.client());
  for (int i = 0; i < 3; ++i) client.get("/");
  rig.sim.run_for(base::seconds(2));
  asked(rig, old);
  const runtime::Arrivals::Counts& came = rig.worker->arrivals().counts();
  CHECK(came.connections == 2);
  CHECK(came.requests == 5);
  CHECK(came.last_connection >= base::Micros(base::seconds(1)));
  CHECK(came.last_connection < base::Micros(base::seconds(2)));
  CHECK(came.last_request >= base::Micros(base::seconds(3)));
}
