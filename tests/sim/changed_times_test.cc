// Times of a listener that a reload changes: they hold for the connections that are there, whichever way they change.
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

std::string toml(std::string_view line) {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"h2\", \"http/1.1\"]\n" + std::string(line) +
         "\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[[route]]\nupstream = \"app\"\n";
}

ScriptedPeer& served(Rig& rig) {
  ScriptedPeer& client = rig.client();
  client.send(get);
  rig.sim.settle();
  CHECK(client.take().ends_with("ok"));
  return client;
}

double closed(const Rig& rig, const char* cause) {
  return rig.metric(Name::downstream_connections_closed_total, {cause});
}

}  // namespace

TEST_CASE("a shorter idle_timeout: who was idle for longer ends now, the others when theirs is over") {
  Rig rig(toml("idle_timeout = \"75s\""));
  rig.network.serve(app, sim::answering(std::string(ok)));
  const ScriptedPeer& long_idle = served(rig);
  http2::Peer long_idle_h2(http2::Peer::Role::client, rig.client());
  long_idle_h2.get("/");
  const ScriptedPeer& silent = rig.client();  // it is not known yet which version it speaks
  rig.sim.run_for(base::seconds(10));
  const ScriptedPeer& idle = served(rig);
  http2::Peer idle_h2(http2::Peer::Role::client, rig.client());
  idle_h2.get("/");
  rig.sim.run_for(base::seconds(1));

  rig.reload(toml("idle_timeout = \"3s\""));
  rig.sim.run_for(base::Millis{20});
  CHECK(long_idle.ended());
  CHECK(silent.ended());
  CHECK(long_idle_h2.goaways.size() == 1);
  CHECK_FALSE(idle.ended());
  CHECK(idle_h2.goaways.empty());
  rig.sim.run_for(base::Millis{1'960});
  CHECK_FALSE(idle.ended());
  CHECK(idle_h2.goaways.empty());
  rig.sim.run_for(base::Millis{40});
  CHECK(idle.ended());
  CHECK(idle_h2.goaways.size() == 1);
  rig.sim.run_for(base::seconds(2));
  CHECK(closed(rig, "idle_timeout") == 5);
}

TEST_CASE("a longer idle_timeout holds for who is idle already") {
  Rig rig(toml("idle_timeout = \"5s\""));
  rig.network.serve(app, sim::answering(std::string(ok)));
  const ScriptedPeer& client = served(rig);
  http2::Peer h2(http2::Peer::Role::client, rig.client());
  h2.get("/");
  const ScriptedPeer& silent = rig.client();
  rig.sim.run_for(base::seconds(4));
  rig.reload(toml("idle_timeout = \"60s\""));
  rig.sim.run_for(base::seconds(55));
  CHECK_FALSE(client.ended());
  CHECK_FALSE(silent.ended());
  CHECK(h2.goaways.empty());
  rig.sim.run_for(base::seconds(4));
  CHECK(closed(rig, "idle_timeout") == 3);
}

TEST_CASE("header_timeout and body_timeout, shorter and longer, hold for what is under way") {
  Rig rig(toml("header_timeout = \"60s\"\nbody_timeout = \"60s\""));
  rig.network.serve(app, [](ScriptedPeer&) {});
  ScriptedPeer& head = rig.client();
  head.send("GET / HTTP/1.1\r\nHo");
  ScriptedPeer& body = rig.client();
  body.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf");
  http2::Peer body_h2(http2::Peer::Role::client, rig.client());
  const int32_t upload =
      body_h2.begin({{":method", "POST"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/"}});
  body_h2.flush();
  rig.sim.run_for(base::seconds(12));
  rig.reload(toml("header_timeout = \"15s\"\nbody_timeout = \"15s\""));
  rig.sim.run_for(base::seconds(2));
  CHECK(head.received().empty());
  CHECK(body.received().empty());
  rig.sim.run_for(base::seconds(2));
  CHECK(head.received().starts_with("HTTP/1.1 408"));
  CHECK(body.received().starts_with("HTTP/1.1 408"));
  CHECK(body_h2.seen(upload).heads.find("408") != std::string::npos);

  ScriptedPeer& patient = rig.client();
  patient.send("GET / HTTP/1.1\r\nHo");
  rig.sim.run_for(base::seconds(14));
  rig.reload(toml("header_timeout = \"30s\""));
  rig.sim.run_for(base::seconds(15));
  CHECK(patient.received().empty());
  rig.sim.run_for(base::seconds(2));
  CHECK(patient.received().starts_with("HTTP/1.1 408"));
}

TEST_CASE(
    "fewer max_requests hold with the next request; more streams than were promised to a client are not asked of") {
  Rig rig(toml(""));
  rig.network.serve(app, sim::answering(std::string(ok)));
  ScriptedPeer& client = served(rig);
  http2::Peer h2(http2::Peer::Role::client, rig.client());
  h2.get("/");
  rig.sim.settle();
  rig.reload(toml("max_requests = 2\nmax_streams = 1"));
  std::vector<int32_t> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(h2.get("/"));
  client.send(get);
  rig.sim.settle();
  CHECK(client.take().find("onnection: close\r\n") != std::string::npos);
  for (const int32_t id : streams) CHECK(h2.seen(id).body == "ok");
  CHECK_FALSE(h2.goaways.empty());
}
