// One client that reads nothing of its answers beside another one (threats.md row 57).
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using sim::Rig;

namespace {

constexpr const char* toml = R"(
[[listener]]
address = "127.0.0.1:8080"
write_timeout = "1m"
min_rate = 0
[[upstream]]
name = "app"
endpoints = ["10.0.0.1:3000"]
[upstream.pool]
max_connections = 4
acquire_timeout = "30s"
[[route]]
upstream = "app"
)";

struct Bench {
  Bench() : rig(toml) {
    rig.network.serve(net::Address::ipv4(0x0A000001, 3000), [](support::ScriptedPeer& peer) {
      peer.on_event = [](support::ScriptedPeer& p) {
        const bool large = p.take().starts_with("GET /large ");
        const std::string body(large ? 4'000'000 : 2, 'x');
        p.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
      };
    });
  }
  support::ScriptedPeer& ask(const char* path, const char* address) {
    support::ScriptedPeer& client = rig.client(0, address);
    if (std::string_view(path) == "/large") client.hold();
    client.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: a.test\r\n\r\n");
    rig.sim.settle();
    return client;
  }
  double stalled() const {
    return rig.metric(metrics::Name::upstream_connections_closed_total, {"app", "client_stalled", "us"});
  }
  Rig rig;
};

}  // namespace

TEST_CASE("whoever reads nothing keeps its answer while nobody else waits; then the longest-stalled ends after 2 s") {
  Bench b;
  for (int i = 0; i < 4; ++i) b.ask("/large", "192.0.2.7");
  b.rig.sim.run_for(base::millis(10'000));
  CHECK(b.stalled() == 0);
  support::ScriptedPeer& second = b.ask("/quick", "192.0.2.8");
  b.rig.sim.run_for(base::millis(300));
  CHECK(second.received().ends_with("xx"));
  CHECK(b.stalled() == 1);
}

TEST_CASE("a client with 56 requests in the queue does not keep a second one waiting") {
  Bench b;
  for (int i = 0; i < 60; ++i) b.ask("/large", "192.0.2.7");
  support::ScriptedPeer& second = b.ask("/quick", "192.0.2.8");
  b.rig.sim.run_for(base::millis(1'900));
  CHECK(second.received().empty());
  b.rig.sim.run_for(base::millis(400));
  CHECK(second.received().ends_with("xx"));
}
