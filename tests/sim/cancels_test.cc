// Clients of HTTP/2 that ask only to cancel, through a whole worker to upstreams of HTTP/2 (threats.md rows 33, 55):
// what reaches the upstream is bounded, whatever stands beside it, and nobody else is hurt.
#include <memory>
#include <string>
#include <vector>

#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using http2::Lines;
using http2::Peer;

namespace {

constexpr const char* toml = R"(
[[listener]]
address = "127.0.0.1:8080"
max_requests = 100000
[[upstream]]
name = "app"
protocol = "h2"
endpoints = ["10.0.0.1:3000"]
[[route]]
path_prefix = "/app"
upstream = "app"
)";
const net::Address app = net::Address::ipv4(0x0A000001, 3000);

// A worker, an upstream that answers "/app/ok" and nothing else, and clients.
struct Bench {
  Bench() : rig(toml) {
    rig.network.serve(app, [this](support::ScriptedPeer& wire) {
      servers.push_back(std::make_unique<Peer>(Peer::Role::server, wire));
      Peer& server = *servers.back();
      server.flush();
      server.on_head = [this](int32_t) { ++asked; };
      server.on_request = [&server](int32_t id) {
        if (server.seen(id).heads.find("[:path: /app/ok]") == std::string::npos) return;
        const std::string body = "ok";
        server.answer(id, {{":status", "200"}}, &body);
      };
    });
  }
  Peer& client() {
    clients.push_back(std::make_unique<Peer>(Peer::Role::client, rig.client()));
    return *clients.back();
  }
  size_t resets() const {
    size_t n = 0;
    for (const auto& server : servers) {
      for (const auto& [id, seen] : server->all()) n += seen.reset ? 1 : 0;
    }
    return n;
  }
  bool answered(Peer& from) {
    const int32_t id = from.get("/app/ok");
    rig.sim.settle();
    return from.seen(id).ended && from.seen(id).body == "ok";
  }

  sim::Rig rig;
  std::vector<std::unique_ptr<Peer>> servers;
  std::vector<std::unique_ptr<Peer>> clients;
  uint32_t asked = 0;  // requests that the upstream saw
};

Lines call(const char* timeout) {
  Lines lines = http2::get_lines("/app/slow");
  lines[0].second = "POST";
  lines.emplace_back("content-type", "application/grpc");
  lines.emplace_back("te", "trailers");
  lines.emplace_back("grpc-timeout", timeout);
  return lines;
}

}  // namespace

TEST_CASE("cancels beside answers of ours, and beside short deadlines: few reach the upstream, then the client goes") {
  for (const int way : {0, 1, 2}) {
    CAPTURE(way);
    Bench b;
    Peer& other = b.client();
    CHECK(b.answered(other));
    Peer& attacker = b.client();
    for (int i = 0; i < 4000 && attacker.goaways.empty(); ++i) {
      if (way == 0) {
        const int32_t id = attacker.get("/app/slow");
        attacker.get("/none");
        attacker.get("/none");
        attacker.reset(id);
        attacker.flush();
      } else {
        const int32_t id = attacker.ask(call(way == 1 ? "100m" : "1m"));
        if (way == 1) attacker.reset(id);
        attacker.flush();
        if (way == 2) b.rig.sim.run_for(base::millis(1));  // we end it
      }
      b.rig.sim.settle();
    }
    CHECK(b.asked > 200);
    CHECK(b.asked <= 2 + 220);  // and what came back by time
    REQUIRE(!attacker.goaways.empty());
    CHECK(attacker.goaways.back().second == NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK(b.rig.metric(metrics::Name::protocol_errors_total, {"downstream", "reset_flood"}) == 1);
    CHECK(b.answered(other));
  }
}

TEST_CASE("a brown-out: every call passes its deadline, for a minute, and nobody is sent away") {
  Bench b;
  Peer& client = b.client();
  for (int i = 0; i < 240; ++i) {
    for (int n = 0; n < 100; ++n) client.ask(call("250m"));
    client.flush();
    b.rig.sim.run_for(base::millis(251));
  }
  CHECK(client.goaways.empty());
  CHECK(b.asked == 24'000);
  CHECK(b.answered(client));
}

TEST_CASE("many clients that cancel: an upstream connection bears few resets, and the calls of others live") {
  Bench b;
  Peer& other = b.client();
  CHECK(b.answered(other));
  const int32_t held = other.get("/app/slow");
  for (int n = 0; n < 8; ++n) {
    Peer& attacker = b.client();
    for (int i = 0; i < 190; ++i) {
      attacker.reset(attacker.get("/app/slow"));
      attacker.flush();
      b.rig.sim.settle();
    }
    CHECK(attacker.goaways.empty());
    CHECK(b.answered(other));
  }
  CHECK(b.asked >= 8 * 190);
  CHECK(b.resets() <= 100 * b.servers.size());
  CHECK(b.servers.size() <= 3);  // 1,000 streams a connection
  CHECK_FALSE(other.seen(held).closed);
  b.rig.sim.run_for(base::minutes(8));  // each is reset in the end
  CHECK(b.resets() == 8 * 190);
}
