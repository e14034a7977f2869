// Row 36, through a whole worker: what has gone upstream and is not sent again is held no more, though its answer waits
// for a client that does not read. One client's connection may hold 17 such heads at once.
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
[[upstream]]
name = "new"
protocol = "h2"
endpoints = ["10.0.0.1:3000"]
[[upstream]]
name = "old"
endpoints = ["10.0.0.2:3000"]
  [upstream.pool]
  max_connections = 200
[[route]]
path_prefix = "/new"
upstream = "new"
[[route]]
path_prefix = "/old"
upstream = "old"
[[route]]
path_prefix = "/here"
  [route.respond]
  status = 200
  body = "made here"
)";
const net::Address new_app = net::Address::ipv4(0x0A000001, 3000);
const net::Address old_app = net::Address::ipv4(0x0A000002, 3000);

constexpr size_t at_once = 17;
constexpr size_t rounds = 5;

struct Bench {
  Bench() : rig(toml) {
    rig.network.serve(new_app, [this](support::ScriptedPeer& wire) {
      servers.push_back(std::make_unique<Peer>(Peer::Role::server, wire,
                                               Peer::Options{{{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}}}));
      Peer& server = *servers.back();
      server.flush();
      server.on_head = [this, &server](int32_t id) {
        if (answers) answer(server, id);
      };
    });
    rig.network.serve(old_app, sim::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  }
  static void answer(Peer& server, int32_t id) {
    server.answer_begin(id, {{":status", "200"}});
    server.more(id, "ok");
    server.flush();
  }
  Peer& client(uint32_t window) {
    clients.push_back(std::make_unique<Peer>(Peer::Role::client, rig.client(),
                                             Peer::Options{{{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window}}}));
    clients.back()->flush();
    rig.sim.settle();
    return *clients.back();
  }

  sim::Rig rig;
  std::vector<std::unique_ptr<Peer>> servers;
  std::vector<std::unique_ptr<Peer>> clients;
  bool answers = true;
};

Lines heavy(const char* path, const char* method = "GET") {
  Lines lines = http2::get_lines(path);
  lines[0].second = method;
  for (int i = 0; i < 15; ++i) lines.emplace_back("x", std::string(3900, 'v'));
  return lines;
}

}  // namespace

TEST_CASE("answers that wait for a window: their requests' heads are let go") {
  for (const char* path : {"/new", "/old", "/here", "/nowhere"}) {
    CAPTURE(path);
    Bench b;
    Peer& client = b.client(0);
    std::vector<int32_t> ids;
    for (size_t round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < at_once - 1; ++i) ids.push_back(client.ask(heavy(path)));
      b.rig.sim.settle();
    }
    const std::string status = std::string(path) == "/nowhere" ? "[:status: 404]" : "[:status: 200]";
    for (const int32_t id : ids) {
      CHECK(client.seen(id).heads.starts_with(status));
      CHECK(client.seen(id).body.empty());
    }
    CHECK(client.goaways.empty());
  }
}

TEST_CASE("uploads that are not sent again: their heads are let go before the answer") {
  Bench b;
  b.answers = false;
  Peer& client = b.client(1 << 16);
  std::vector<int32_t> ids;
  for (size_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < at_once - 1; ++i) {
      ids.push_back(client.begin(heavy("/new", "POST")));
      client.more(ids.back(), std::string(70'000, 'b'));
    }
    b.rig.sim.settle();
  }
  for (const int32_t id : ids) {
    CHECK(!client.seen(id).closed);
    CHECK(client.seen(id).heads == "");
    client.end(id, {{"t", "1"}});
  }
  b.rig.sim.settle();
  for (const auto& server : b.servers) {
    for (const auto& [id, seen] : server->all()) {
      CHECK(seen.body.size() == 70'000);
      CHECK(seen.heads.ends_with("[t: 1]"));
      Bench::answer(*server, id);
    }
  }
  b.rig.sim.settle();
  for (const int32_t id : ids) CHECK(client.seen(id).body == "ok");
}

TEST_CASE("over HTTP/1 too: what trailers need of a head stays, the rest is let go") {
  for (const bool nominated : {false, true}) {  // Connection: t says that the next hop gets no such field
    for (const size_t piece : {1U, 1000U, 100'000U}) {
      CAPTURE(nominated);
      CAPTURE(piece);
      Bench b;
      b.answers = false;
      support::ScriptedPeer& client = b.rig.client();
      client.send(std::string("POST /new HTTP/1.1\r\nHost: a.test\r\n") + (nominated ? "Connection: t\r\n" : "") +
                  "X: " + std::string(30'000, 'v') + "\r\nTransfer-Encoding: chunked\r\n\r\n");
      for (int i = 0; i < 7; ++i) {
        client.send("2710\r\n" + std::string(10'000, 'b') + "\r\n");
        b.rig.sim.settle();
      }
      client.tear(support::tear_every(piece));
      client.send("0\r\nt: 1\r\nu: 2\r\n\r\n");
      b.rig.sim.settle();
      const http2::Seen& seen = b.servers[0]->seen(1);
      CHECK(seen.body.size() == 70'000);
      CHECK(seen.ended);
      CHECK(seen.heads.ends_with(nominated ? "\n[u: 2]" : "[t: 1][u: 2]"));
      Bench::answer(*b.servers[0], 1);
      b.servers[0]->end(1, {{"w", "3"}});
      b.rig.sim.settle();
      const std::string got = client.take();
      CHECK(got.starts_with("HTTP/1.1 200 OK\r\n"));
      CHECK(got.ends_with("w: 3\r\n\r\n"));
    }
  }
}
