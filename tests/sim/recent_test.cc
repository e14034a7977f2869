// What a worker keeps of requests that have ended: which ring, whose doing, and the numbers of connections.
#include <string>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using exchange::RecentEnd;
using runtime::RecentAnswer;
using runtime::RecentQuestion;
using sim::Rig;
using support::ScriptedPeer;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
const std::string toml = R"(
[[listener]]
name = "main"
address = "127.0.0.1:8080"
protocols = ["http/1.1"]
health_path = "/health"
[[upstream]]
name = "app"
endpoints = ["10.0.0.1:3000"]
[upstream.pool]
max_connections = 1
acquire_timeout = "4s"
[[route]]
name = "all"
hosts = ["a.test"]
upstream = "app"
upgrade = ["websocket"]
slow_after = "500ms"
)";

std::string get(const std::string& path, const std::string& more = {}) {
  return "GET " + path + " HTTP/1.1\r\nHost: a.test\r\n" + more + "\r\n";
}

RecentAnswer recent(Rig& rig, const RecentQuestion& question = {}) { return rig.worker->recent(question); }

// The only one there is of `ring`.
RecentEnd only(Rig& rig, std::string_view ring) {
  const RecentAnswer all = recent(rig);
  REQUIRE(all.ends.size() == 1);
  CHECK(exchange::ring_word(all.ends.front().ring) == ring);
  return all.ends.front();
}

void serve(Rig& rig, std::string answer, base::Millis after = base::Millis{0}) {
  rig.network.serve(app, [&rig, answer, after](ScriptedPeer& peer) {
    peer.on_event = [&rig, answer, after](ScriptedPeer& p) {
      if (p.take().find("\r\n\r\n") == std::string::npos) return;
      rig.sim.post(after, [&p, answer] { p.send(answer); });
    };
  });
}

constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

}  // namespace

TEST_CASE("a request that was fine is kept with its ids, its client's port and its connection's number") {
  Rig rig(toml);
  serve(rig, ok);
  ScriptedPeer& client = rig.client();
  client.send(get("/a?token=secret", "X-Request-Id: abc\r\n"));
  rig.sim.run_for(base::seconds(1));
  const RecentEnd end = only(rig, "fine");
  CHECK(end.ended == "complete");
  CHECK(end.text(RecentEnd::path) == "/a");
  CHECK(end.text(RecentEnd::peer) == "192.0.2.7:5000");
  CHECK(end.text(RecentEnd::route) == "all");
  CHECK(end.text(RecentEnd::endpoint) == "10.0.0.1:3000");
  CHECK(end.text(RecentEnd::trace_id).size() == 32);
  CHECK(end.bytes_out == 5);
  CHECK(end.status == 200);
  CHECK(end.conn > 0);
  CHECK(recent(rig, {.id = std::string(end.text(RecentEnd::request_id))}).ends.size() == 1);
  CHECK(recent(rig, {.id = "x"}).ends.empty());

  client.send(get("/b"));  // the same connection, then another one
  rig.sim.run_for(base::seconds(1));
  CHECK(recent(rig, {.conn = end.conn}).ends.size() == 2);
  rig.ask(get("/c"));
  const auto all = recent(rig);
  REQUIRE(all.ends.size() == 3);
  CHECK(all.ends.front().text(RecentEnd::path) == "/c");
  CHECK(all.ends.front().conn != end.conn);
  CHECK(recent(rig, {.conn = end.conn, .limit = 1}).ends.size() == 1);
}

TEST_CASE("slow is trouble, and a status of 500 is; what clients got refused has a ring of its own") {
  SUBCASE("slow") {
    Rig rig(toml);
    serve(rig, ok, base::seconds(1));
    rig.client().send(get("/"));
    rig.sim.run_for(base::seconds(3));
    CHECK(only(rig, "trouble").limited_by == "upstream");
  }
  SUBCASE("500") {
    Rig rig(toml);
    serve(rig, "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    rig.ask(get("/"));
    CHECK(only(rig, "trouble").status == 500);
  }
  SUBCASE("no route") {
    Rig rig(toml);
    rig.ask("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n");
    const RecentEnd end = only(rig, "refused");
    CHECK(end.failure.kind == http::Kind::no_route);
    CHECK(end.ended == "refused");
  }
  SUBCASE("no request at all") {
    Rig rig(toml);
    rig.ask("nonsense\r\n\r\n");
    const RecentEnd end = only(rig, "refused");
    CHECK(end.failure.kind == http::Kind::bad_request);
    CHECK(end.text(RecentEnd::peer) == "192.0.2.7:5000");
  }
  SUBCASE("a balancer's question is not kept") {
    Rig rig(toml);
    rig.ask(get("/health"));
    CHECK(recent(rig).ends.empty());
  }
}

TEST_CASE("cut, by the upstream and by the client; a try that failed before") {
  Rig rig(toml);
  rig.network.serve(app, [](ScriptedPeer& peer) {
    peer.on_event = [](ScriptedPeer& p) {
      if (p.take().empty()) return;
      p.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhe");
    };
  });
  ScriptedPeer& client = rig.client();
  client.send(get("/"));
  rig.sim.settle();
  rig.network.last_peer().reset();
  rig.sim.run_for(base::seconds(1));
  const RecentEnd end = only(rig, "trouble");
  CHECK(end.ended == "cut");
  CHECK(end.ended_by == "upstream");
  CHECK(end.during == "response_body");
  CHECK(end.bytes_out == 2);
  CHECK(end.not_repeated == exchange::NotRepeated::answer_begun);

  ScriptedPeer& leaver = rig.client();
  leaver.send(get("/"));
  rig.sim.settle();
  leaver.reset();
  rig.sim.run_for(base::seconds(1));
  const auto left = recent(rig, {.ended_by = "client"});
  REQUIRE(left.ends.size() == 1);
  CHECK(left.ends.front().failure.kind == http::Kind::client_closed);
}

TEST_CASE("whom the queue gave up, and a tunnel that ended") {
  Rig rig(toml);
  rig.network.serve(app, [](ScriptedPeer& peer) {
    peer.on_event = [](ScriptedPeer& p) {
      if (p.take().find("websocket") == std::string::npos) return;
      p.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    };
  });
  ScriptedPeer& holder = rig.client();
  holder.send(get("/held"));
  rig.sim.settle();
  rig.client().send(get("/waits"));
  rig.sim.run_for(base::seconds(6));
  const auto waited = recent(rig, {.reason = "pool_timeout"});
  REQUIRE(waited.ends.size() == 1);
  CHECK(waited.ends.front().text(RecentEnd::path) == "/waits");
  CHECK(waited.ends.front().ended_by == "proxy");
  CHECK(waited.ends.front().during == "queue");
  holder.reset();
  rig.sim.run_for(base::seconds(1));

  ScriptedPeer& socket = rig.client();
  socket.send(get("/ws", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
  rig.sim.run_for(base::seconds(2));
  socket.reset();
  rig.sim.run_for(base::seconds(1));
  const auto tunnels = recent(rig, {.ended = "tunnel"});
  REQUIRE(tunnels.ends.size() == 1);
  CHECK(tunnels.ends.front().status == 101);
}

TEST_CASE("a flood of what is fine, or is refused, pushes out nothing that failed") {
  Rig rig(toml);
  serve(rig, "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
  rig.ask(get("/failed"));
  serve(rig, ok);
  std::string many;
  for (int i = 0; i < 20; ++i) many += "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n";
  for (int i = 0; i < 40; ++i) {
    rig.ask(many);
    rig.sim.run_for(base::millis(250));
  }
  CHECK(recent(rig, {.status = "500"}).ends.size() == 1);
  const auto refused = recent(rig).rings[static_cast<size_t>(exchange::RecentRing::refused)];
  CHECK(refused.kept == 128);
  CHECK(refused.passed_over == 40 * (20 - 8));  // a quarter of 128 a second
}
