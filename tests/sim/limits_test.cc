// concurrency_limit of a route, `cost` of a rate_limit, and max_connections_per_client of a listener: at the limit and
// one above, and that what is taken is given back, however a request or a connection ends.
#include <string>
#include <vector>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address origin = net::Address::ipv4(0x0A000001, 3000);
const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const std::string get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

std::string toml(std::string_view route, std::string_view listener = "") {
  return "[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n" +
         std::string(listener) +
         "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n"
         "[[route]]\nname = \"r\"\nupstream = \"app\"\ntimeout = \"5s\"\n" +
         std::string(route);
}

const std::string two_at_once = toml("concurrency_limit = { requests = 2 }\n");

void silent(support::ScriptedPeer&) {}

struct Case : Rig {
  explicit Case(const std::string& text) : Rig(text) { network.serve(origin, silent); }
  // A request that is sent and not answered yet.
  support::ScriptedPeer& open(const char* address = "192.0.2.7", std::string_view request = get) {
    support::ScriptedPeer& peer = client(0, address);
    peer.send(request);
    sim.settle();
    return peer;
  }
  bool refused(const char* address = "192.0.2.7", std::string_view request = get) {
    return open(address, request).received().starts_with("HTTP/1.1 429 ");
  }
  void answer_all() {
    for (const auto& peer : network.peers()) {
      if (!peer->ended() && !peer->take().empty()) peer->send(ok);
    }
    sim.settle();
  }
  double counted(const char* outcome) const { return metric(Name::concurrency_limit_total, {"r", outcome}); }
};

}  // namespace

TEST_CASE("so many of one client are open at once; the next is refused and told why, others are not touched") {
  Case rig(two_at_once);
  rig.open();
  rig.open();
  const std::string refused = rig.open().take();
  CHECK(refused.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
  CHECK(refused.find("retry-after: 1\r\n") != std::string::npos);
  CHECK(refused.find("ratelimit") == std::string::npos);
  CHECK_FALSE(rig.refused("192.0.2.8"));
  CHECK(rig.counted("allowed") == 3);
  CHECK(rig.counted("limited") == 1);
  CHECK(rig.metric(Name::local_replies_total, {"rate_limited"}) == 1);
  CHECK(rig.metric(Name::protocol_errors_total) == 0);
}

TEST_CASE("a place is given back when the request ends: answered, timed out, left, reset") {
  for (const int end : {0, 1, 2, 3}) {
    CAPTURE(end);
    Case rig(two_at_once);
    std::vector<support::ScriptedPeer*> held = {&rig.open(), &rig.open()};
    REQUIRE(rig.refused());
    switch (end) {
      case 0: rig.answer_all(); break;
      case 1: rig.sim.run_for(base::seconds(6)); break;
      case 2:
        held[0]->fin();
        held[1]->fin();
        break;
      case 3:
        held[0]->reset();
        held[1]->reset();
        break;
    }
    rig.sim.run_for(base::seconds(2));
    CHECK_FALSE(rig.refused());
    CHECK_FALSE(rig.refused());
    CHECK(rig.refused());
  }
}

TEST_CASE("a request that fails and is tried again has one place; refusals have none") {
  Case rig(toml("concurrency_limit = { requests = 1 }\n"));
  rig.network.fail(origin, net::EndReason::refused);
  for (int i = 0; i < 3; ++i) {
    support::ScriptedPeer& client = rig.open();
    rig.sim.run_for(base::seconds(2));
    CHECK(client.received().starts_with("HTTP/1.1 502 "));
  }
  CHECK(rig.counted("limited") == 0);
}

TEST_CASE("a tunnel holds its place for as long as it lasts") {
  Case rig(toml("concurrency_limit = { requests = 1, key = \"route\" }\n"));
  const std::string upgrade =
      "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
  support::ScriptedPeer& client = rig.open("192.0.2.7", upgrade);
  rig.network.last_peer().send(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
  rig.sim.run_for(base::seconds(30));
  REQUIRE(client.received().starts_with("HTTP/1.1 101 "));
  CHECK(rig.refused("192.0.2.8"));
  client.reset();
  rig.sim.run_for(base::seconds(2));
  CHECK_FALSE(rig.refused("192.0.2.8"));
}

TEST_CASE("by a field; who is denied takes no place") {
  Case rig(toml("deny = [\"192.0.2.9\"]\nconcurrency_limit = { requests = 1, key = \"header:X-Key\" }\n"));
  rig.open("192.0.2.9", "GET / HTTP/1.1\r\nHost: a.test\r\nX-Key: a\r\n\r\n");
  CHECK_FALSE(rig.refused("192.0.2.7", "GET / HTTP/1.1\r\nHost: a.test\r\nX-Key: a\r\n\r\n"));
  CHECK(rig.refused("192.0.2.8", "GET / HTTP/1.1\r\nHost: a.test\r\nX-Key: a\r\n\r\n"));
  CHECK_FALSE(rig.refused("192.0.2.8", "GET / HTTP/1.1\r\nHost: a.test\r\nX-Key: b\r\n\r\n"));
}

TEST_CASE("dry_run refuses nobody, and counts whom it would") {
  Case rig(toml("concurrency_limit = { requests = 1, dry_run = true }\n"));
  CHECK_FALSE(rig.refused());
  CHECK_FALSE(rig.refused());
  CHECK(rig.counted("would_limit") == 1);
  CHECK(rig.counted("limited") == 0);
}

TEST_CASE("a reload keeps what is open, whatever the number; who left before does not count in the new one") {
  Case rig(two_at_once);
  rig.open();
  rig.open();
  rig.reload(toml("concurrency_limit = { requests = 3 }\n"));
  CHECK_FALSE(rig.refused());
  CHECK(rig.refused());
  rig.reload(toml("concurrency_limit = { requests = 1 }\n"));
  CHECK(rig.refused());
  rig.answer_all();
  CHECK_FALSE(rig.refused());
  rig.reload(toml(""));
  CHECK_FALSE(rig.refused());
  rig.answer_all();
}

TEST_CASE("cost: what the answer says is paid afterwards, from its head or its trailers") {
  const std::string limited = toml("rate_limit = { requests = 10, per = \"10s\", cost = \"header:X-Cost\" }\n");
  const std::string answers[] = {
      "HTTP/1.1 200 OK\r\nX-Cost: 15\r\nContent-Length: 2\r\n\r\nok",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-cost\r\n\r\n2\r\nok\r\n0\r\nX-Cost: 15\r\n\r\n"};
  for (const std::string& answer : answers) {
    CAPTURE(answer);
    Rig rig(limited);
    rig.network.serve(origin, sim::answering(answer));
    const auto status = [&] { return rig.ask("GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\n\r\n").substr(9, 3); };
    CHECK(status() == "200");
    CHECK(status() == "429");  // 15 of 10: 6 s until there is room for one
    rig.sim.run_for(base::seconds(5));
    CHECK(status() == "429");
    rig.sim.run_for(base::seconds(2));
    CHECK(status() == "200");
  }
}

TEST_CASE("cost: what is no number, or less than one, is one; what is huge is bounded") {
  Rig rig(toml("rate_limit = { requests = 4, per = \"4s\", cost = \"header:X-Cost\" }\n"));
  std::string cost = "many";
  rig.network.serve(origin, [&](support::ScriptedPeer& peer) {
    peer.on_event = [&](support::ScriptedPeer& p) {
      if (!p.take().empty()) p.send("HTTP/1.1 200 OK\r\nX-Cost: " + cost + "\r\nContent-Length: 0\r\n\r\n");
    };
  });
  const auto status = [&] { return rig.ask(get).substr(9, 3); };
  CHECK(status() == "200");
  cost = "0";
  CHECK(status() == "200");
  CHECK(status() == "200");
  cost = "18446744073709551615";
  CHECK(status() == "200");
  CHECK(status() == "429");
  rig.sim.run_for(base::seconds(59));  // 16 bursts, less the one that there is room for
  CHECK(status() == "429");
  rig.sim.run_for(base::seconds(3));
  CHECK(status() == "200");
}

TEST_CASE("connections of one address: the next is closed, and another address is let in") {
  Case rig(toml("", "max_connections_per_client = 2\n"));
  support::ScriptedPeer& first = rig.open();
  rig.open();
  support::ScriptedPeer& third = rig.open();
  CHECK(third.ended());
  CHECK(third.received().empty());
  CHECK_FALSE(rig.open("192.0.2.8").ended());
  CHECK(rig.metric(Name::downstream_connections_rejected_total, {"max_connections_per_client"}) == 1);
  first.reset();
  rig.sim.settle();
  CHECK_FALSE(rig.open().ended());
  CHECK(rig.open().ended());
}

TEST_CASE(
    "connections of version 6 are their /64's; those of trusted proxies are not counted; a reload keeps the count") {
  const std::string text = toml("", "max_connections_per_client = 1\ntrusted_proxies = [\"192.0.2.7\"]\n");
  Case rig(text);
  CHECK_FALSE(rig.open("2001:db8::1").ended());
  CHECK(rig.open("2001:db8::2").ended());
  CHECK_FALSE(rig.open("2001:db8:0:1::2").ended());
  CHECK_FALSE(rig.open("192.0.2.7").ended());
  CHECK_FALSE(rig.open("192.0.2.7").ended());
  rig.reload(text + "[[route]]\nname = \"more\"\npath = \"/more\"\nrespond = { status = 204 }\n");
  CHECK(rig.open("2001:db8::2").ended());
}
