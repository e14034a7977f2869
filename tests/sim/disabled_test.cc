// An operator takes an endpoint out while requests run: none of them is lost, none comes after.
#include "rig.h"

#include <array>

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using sim::Rig;
using support::ScriptedPeer;

namespace {

std::string toml(std::string_view more = "") {
  return std::string(
             "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nbalance = \"round_robin\"\n"
             "endpoints = [\"10.0.0.1:3000\", \"10.0.0.2:3000\"]\n[upstream.retry]\nattempts = 1\n") +
         std::string(more) + "[[route]]\nupstream = \"app\"\n";
}

// Each endpoint answers after 10 ms.
struct Bench {
  Bench() : rig(toml()) {
    for (const uint32_t i : {0u, 1u}) {
      rig.network.serve(net::Address::ipv4(0x0A000001 + i, 3000), [this, i](ScriptedPeer& peer) {
        peer.on_event = [this, i](ScriptedPeer& p) {
          if (p.take().find("\r\n\r\n") == std::string::npos) return;
          ++met[i];
          rig.sim.post(base::millis(10), [&p] {
            if (!p.ended()) p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
          });
        };
      });
    }
  }
  ~Bench() { rig.network.hush(); }
  upstream::SharedEndpoint& endpoint(size_t i) {
    return *rig.generation->upstreams[0].shared->endpoints()->entries[i].endpoint;
  }
  void set_disabled(size_t i, bool disabled) {
    upstream::SharedUpstream& shared = *rig.generation->upstreams[0].shared;
    CHECK(shared.set_disabled(endpoint(i), disabled, rig.sim.now()));
    rig.worker->endpoint_switched(&shared, endpoint(i).id());
  }
  ScriptedPeer& ask() {
    ScriptedPeer& client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
    rig.sim.run_for(base::millis(1));
    return client;
  }
  Rig rig;
  std::array<int, 2> met{};
};

}  // namespace

TEST_CASE(
    "disabled under load: no request is lost, none comes after, a reload keeps it, and enabled it has its share") {
  Bench b;
  std::vector<ScriptedPeer*> clients;
  const auto load = [&](int n) {
    for (int i = 0; i < n; ++i) clients.push_back(&b.ask());
  };
  load(100);
  CHECK((b.met[0] > 40 && b.met[1] > 40));
  b.set_disabled(0, true);
  const int before = b.met[0];
  load(100);
  CHECK(b.met[0] == before);
  CHECK(b.endpoint(0).connections() == 0);
  b.rig.reload(toml("[upstream.pool]\nmax_connections = 64\n"));
  load(100);
  CHECK(b.met[0] == before);
  b.set_disabled(0, false);
  load(100);
  CHECK(b.met[0] > before + 40);
  b.rig.sim.run_for(base::millis(100));
  for (const ScriptedPeer* const client : clients) CHECK(client->received().starts_with("HTTP/1.1 200 "));
  CHECK(b.met[0] + b.met[1] == 400);
}

TEST_CASE("the last one that is usable may be disabled: 503 no_endpoint, until one is enabled") {
  Bench b;
  ScriptedPeer& running = b.ask();
  b.set_disabled(0, true);
  b.set_disabled(1, true);
  CHECK(b.ask().received().starts_with("HTTP/1.1 503 "));
  b.rig.sim.run_for(base::millis(20));
  CHECK(running.received().starts_with("HTTP/1.1 200 "));
  b.set_disabled(1, false);
  ScriptedPeer& again = b.ask();
  b.rig.sim.run_for(base::millis(20));
  CHECK(again.received().starts_with("HTTP/1.1 200 "));
}
