// health_path of a listener: answered by the worker itself, by the word that control publishes; no upstream hears of
// it.
#include <string>

#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using exchange::Standing;
using metrics::Name;
using sim::Rig;
using support::ScriptedPeer;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr std::string_view ok = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nupstream";

std::string toml(std::string_view line) {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nname = \"in\"\nprotocols = [\"h2\", \"http/1.1\"]\n" +
         std::string(line) +
         "\n[[listener]]\naddress = \"127.0.0.1:8081\"\n[[upstream]]\nname = \"app\"\n"
         "endpoints = [\"10.0.0.1:3000\"]\n[[route]]\nname = \"r\"\nupstream = \"app\"\n";
}
const std::string with_path = toml("health_path = \"/healthz\"");

std::string ask(Rig& rig, std::string_view first_line, uint32_t listener = 0) {
  ScriptedPeer& client = rig.client(listener);
  client.send(std::string(first_line) + " HTTP/1.1\r\nHost: a.test\r\n\r\n");
  rig.sim.settle();
  return client.take();
}

}  // namespace

TEST_CASE("200 while ready, else 503 with the word why; never stored, never asked of an upstream") {
  Rig rig(with_path);
  rig.network.serve(app, sim::answering(std::string(ok)));
  for (const Standing standing : {Standing::starting, Standing::warming, Standing::ready, Standing::deregistered,
                                  Standing::draining, Standing::ready}) {
    rig.shared.standing = standing;
    const std::string answer = ask(rig, "GET /healthz");
    const bool ready = standing == Standing::ready;
    CHECK(answer.starts_with(ready ? "HTTP/1.1 200 " : "HTTP/1.1 503 "));
    CHECK(answer.ends_with(ready ? "\r\n\r\nok\n" : "\r\n\r\n" + std::string(standing_word(standing)) + "\n"));
    CHECK(answer.find("cache-control: no-store\r\n") != std::string::npos);
  }
  CHECK(rig.network.peers().empty());
  CHECK(rig.metric(Name::requests_total, {"in", "none", "GET", "200"}) == 2);
  CHECK(rig.metric(Name::requests_total, {"in", "none", "GET", "503"}) == 4);
}

TEST_CASE("HEAD too; other methods, other paths and other listeners are routed") {
  Rig rig(with_path);
  rig.network.serve(app, sim::answering(std::string(ok)));
  rig.shared.standing = Standing::ready;
  const std::string head = ask(rig, "HEAD /healthz");
  CHECK(head.starts_with("HTTP/1.1 200 "));
  CHECK(head.ends_with("\r\n\r\n"));
  CHECK(ask(rig, "GET /healthz?from=balancer").ends_with("\r\n\r\nok\n"));
  for (const char* line : {"OPTIONS /healthz", "GET /healthz/", "GET /health", "GET //healthz", "GET /%68ealthz"})
    CHECK(ask(rig, line).ends_with("upstream"));
  CHECK(ask(rig, "GET /healthz", 1).ends_with("upstream"));
}

TEST_CASE("off by default; a reload turns it on and off for open connections") {
  Rig rig(toml(""));
  rig.network.serve(app, sim::answering(std::string(ok)));
  rig.shared.standing = Standing::ready;
  ScriptedPeer& client = rig.client();
  const auto asked = [&] {
    client.send("GET /healthz HTTP/1.1\r\nHost: a.test\r\n\r\n");
    rig.sim.settle();
    return client.take();
  };
  CHECK(asked().ends_with("upstream"));
  rig.reload(with_path);
  CHECK(asked().ends_with("ok\n"));
  rig.reload(toml(""));
  CHECK(asked().ends_with("upstream"));
}

TEST_CASE("over HTTP/2") {
  Rig rig(with_path);
  http2::Peer client(http2::Peer::Role::client, rig.client());
  rig.shared.standing = Standing::ready;
  const int32_t first = client.get("/healthz");
  rig.sim.settle();
  CHECK(client.seen(first).body == "ok\n");
  rig.shared.standing = Standing::deregistered;
  const int32_t second = client.get("/healthz");
  rig.sim.settle();
  CHECK(client.seen(second).body == "deregistered\n");
  CHECK(rig.network.peers().empty());
}

TEST_CASE("a balancer's question is none of the traffic that still comes") {
  Rig rig(with_path);
  rig.network.serve(app, sim::answering(std::string(ok)));
  rig.worker->set_deregistered(true);
  ask(rig, "GET /");
  ask(rig, "GET /healthz");
  http2::Peer client(http2::Peer::Role::client, rig.client());
  client.get("/healthz");
  rig.sim.settle();
  CHECK(rig.worker->arrivals().counts().connections == 1);
  CHECK(rig.worker->arrivals().counts().requests == 1);
}
