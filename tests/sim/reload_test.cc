// A reload costs a worker what it uses: clusters and metric cells are made when the first request comes to them, what
// did not change is not touched, and what has to go goes in steps of a few a millisecond.
#include <fmt/format.h>

#include <memory>

#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

constexpr std::string_view listener = "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:8080\"\n";
const net::Address app = net::Address::ipv4(0x0A000001, 3000);

// `count` upstreams of one address and a route to each, all names beginning with `prefix`.
std::string many(int count, std::string_view prefix, std::string_view more = {}) {
  std::string text(listener);
  for (int i = 0; i < count; ++i) {
    text += fmt::format(
        "[[upstream]]\nname = \"{0}{1}\"\nendpoints = [\"10.0.0.1:3000\"]\n{2}\n"
        "[[route]]\nname = \"{0}{1}\"\npath = \"/{1}\"\nupstream = \"{0}{1}\"\n",
        prefix, i, more);
  }
  return text;
}

struct Scene {
  explicit Scene(const std::string& toml) : rig(toml) { rig.network.serve(app, counted()); }
  support::SimNetwork::OnPeer counted() {
    const auto answer = sim::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    return [this, answer](support::ScriptedPeer& peer) {
      ++opened;
      peers.push_back(&peer);
      answer(peer);
    };
  }
  bool ask(int path) { return rig.ask(fmt::format("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", path)).ends_with("ok"); }
  int open() const {
    int n = 0;
    for (const auto* peer : peers) n += peer->ended() ? 0 : 1;
    return n;
  }

  int opened = 0;
  std::vector<support::ScriptedPeer*> peers;
  Rig rig;
};

}  // namespace

TEST_CASE("a worker has a cluster for what it was asked for; /status knows the others as well") {
  Scene s(many(3, "u"));
  REQUIRE(s.ask(1));
  const runtime::WorkerStatus status = s.rig.worker->status(0);
  REQUIRE(status.clusters.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(status.clusters[i].name == fmt::format("u{}", i));
    REQUIRE(status.clusters[i].endpoints.size() == 1);
    CHECK(status.clusters[i].endpoints[0].address == "10.0.0.1:3000");
    CHECK(status.clusters[i].endpoints[0].healthy);
    CHECK(status.clusters[i].endpoints[0].idle == (i == 1 ? 1 : 0));
  }
}

TEST_CASE("connections of an upstream that stays as it is are used on, whatever changes beside it") {
  Scene s(many(3, "u"));
  for (int i = 0; i < 3; ++i) REQUIRE(s.ask(i));
  s.rig.reload(many(4, "u"));
  s.rig.reload(many(3, "u", "balance = \"round_robin\""));
  for (int i = 0; i < 3; ++i) CHECK(s.ask(i));
  CHECK(s.opened == 3);
}

TEST_CASE("an upstream's new options are in force for the first request after the reload, however many there are") {
  constexpr int count = 1'000;
  Scene s(many(count, "u"));
  for (int i = 0; i < count; ++i) REQUIRE(s.ask(i));
  CHECK(s.open() == count);
  // single_use() by the PROXY header: whatever is open was made without it, and must not carry anything more.
  s.rig.begin_reload(many(count, "u", "proxy_protocol = \"v1\""));
  for (const int i : {0, 1, count / 2, count - 1}) {
    const int before = s.opened;
    s.rig.network.serve(app, s.counted());
    s.rig.ask(fmt::format("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", i));
    CHECK(s.opened == before + 1);
  }
  s.rig.sim.settle();
}

TEST_CASE("a thousand upstreams that leave let go of their connections some a millisecond, and all in the end") {
  constexpr int count = 1'000;
  Scene s(many(count, "u"));
  for (int i = 0; i < count; ++i) REQUIRE(s.ask(i));
  REQUIRE(s.open() == count);
  s.rig.begin_reload(many(count, "v"));
  CHECK(s.open() >= count - 64);
  int steps = 0;  // a millisecond each
  for (int last = s.open(); last > 0; ++steps) {
    s.rig.sim.run_for(base::millis(1));
    const int now = s.open();
    CHECK(last - now <= 2 * 64);  // two may fall into one
    last = now;
    REQUIRE(steps < 10 * count);
  }
  CHECK(steps >= count / 64 - 1);
  CHECK(s.ask(7));
  s.rig.sim.run_for(base::seconds(5));
  CHECK(s.rig.held().older.empty());
}

TEST_CASE("reloads one right after the other: what the first left to do is done all the same") {
  constexpr int count = 300;
  Scene s(many(count, "u"));
  for (int i = 0; i < count; ++i) REQUIRE(s.ask(i));
  s.rig.begin_reload(many(count, "v"));
  s.rig.begin_reload(many(count, "w"));
  s.rig.begin_reload(many(count, "u"));
  s.rig.sim.run_for(base::seconds(5));
  CHECK(s.open() == 0);
  CHECK(s.rig.held().older.empty());
  CHECK(s.ask(7));
}

TEST_CASE("min_idle is kept of upstreams nobody has asked for, and readiness waits for all of them") {
  constexpr int count = 200;
  Scene s(std::string(listener) + "[[route]]\nrespond = { status = 204 }\n");
  s.rig.begin_reload(many(count, "u", "[upstream.pool]\nmin_idle = 1"));
  CHECK_FALSE(s.rig.worker->warm());
  s.rig.sim.run_for(base::seconds(1));
  CHECK(s.rig.worker->warm());
  CHECK(s.open() == count);
}

TEST_CASE("a set that DNS brought is the one that a cluster made later begins with") {
  Scene s(many(2, "u"));
  const auto& shared = s.rig.generation->upstreams[1].shared;
  upstream::EndpointSpec spec;
  spec.name = "10.0.0.2:3000";
  spec.address = net::Address::ipv4(0x0A000002, 3000);
  const upstream::EndpointSetPtr set = shared->set_endpoints(std::vector{spec}, 50);
  s.rig.network.serve(*spec.address, s.counted());
  s.rig.worker->set_endpoints(shared.get(), set, http::CloseCause::dns_removed);
  CHECK(s.rig.worker->status(0).clusters[1].endpoints[0].address == "10.0.0.2:3000");
  REQUIRE(s.ask(1));
  CHECK(s.rig.worker->status(0).clusters[1].endpoints[0].address == "10.0.0.2:3000");
}

// HTTP/2 takes streams until the second GOAWAY, also of a listener that has left the configuration: they are routed as
// before, to upstreams that have left, and that this worker has no cluster for yet.
TEST_CASE("a client of a listener that left is served by an upstream that left before anybody asked for it") {
  Scene s(many(2, "u"));
  std::unique_ptr<http2::Peer> client;
  support::ScriptedPeer& wire = s.rig.client();
  client = std::make_unique<http2::Peer>(http2::Peer::Role::client, wire);
  const int32_t first = client->get("/0");
  s.rig.sim.settle();
  CHECK(client->seen(first).body == "ok");
  client->begin({{":method", "POST"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", "/0"}});
  client->flush();
  s.rig.sim.settle();
  s.rig.begin_reload(
      "[[listener]]\nname = \"b\"\naddress = \"127.0.0.1:8081\"\n"
      "[[route]]\nrespond = { status = 204 }\n");
  const int32_t late = client->get("/1");
  s.rig.sim.settle();
  CHECK(client->seen(late).body == "ok");
  wire.reset();
  s.rig.sim.run_for(base::minutes(2));
  CHECK(s.open() == 0);
  CHECK(s.rig.held().older.empty());
}
