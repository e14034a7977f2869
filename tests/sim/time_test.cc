// Whose turn it is: every time limit runs exactly while that side owes something (threats.md rows 57, 59;
// configuration.md, Time limits).
#include <memory>
#include <string>
#include <vector>

#include "net/chunk.h"
#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

std::string toml(std::string_view pool, std::string_view listener = "", std::string_view upstream = "") {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\n" + std::string(listener) +
         "\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n" + std::string(upstream) +
         "\n[upstream.pool]\n" + std::string(pool) + "\n[[route]]\nupstream = \"app\"\n";
}

// An origin that answers each request after `think`.
support::SimNetwork::OnPeer slow_origin(Rig& rig, base::Millis think, int& asked) {
  return [&rig, think, &asked](support::ScriptedPeer& peer) {
    peer.on_event = [&rig, think, &asked](support::ScriptedPeer& p) {
      if (p.take().find("\r\n\r\n") == std::string::npos) return;
      ++asked;
      rig.sim.post(think, [&p] {
        if (!p.ended()) p.send(ok);
      });
    };
  };
}

}  // namespace

// ---- clients that have left -------------------------------------------------------------------------------------

TEST_CASE(
    "a request whose client has left while it waits for a connection ends at once, and the origin never hears of it") {
  Rig rig(toml("max_connections = 1\nacquire_timeout = \"30s\""));
  int asked = 0;
  rig.network.serve(app, slow_origin(rig, base::seconds(1), asked));
  rig.client().send(get);
  rig.sim.settle();
  for (int i = 0; i < 8; ++i) {
    support::ScriptedPeer& gone = rig.client();
    gone.send(get);
    gone.fin();
  }
  rig.sim.settle();
  CHECK(rig.metric(Name::local_replies_total, {"client_closed"}) == 8);
  CHECK(rig.metric(Name::upstream_pool_waiting) == 0);
  support::ScriptedPeer& live = rig.client();
  live.send(get);
  rig.sim.run_for(base::millis(2100));
  CHECK(live.received().ends_with("hello"));
  CHECK(asked == 2);
}

TEST_CASE("so does one whose FIN stands behind a body, or a second request, that nobody reads yet; a second later") {
  for (const std::string& sent :
       {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + std::string(200'000, 'x'), get + get}) {
    Rig rig(toml("max_connections = 1\nacquire_timeout = \"30s\""));
    int asked = 0;
    rig.network.serve(app, slow_origin(rig, base::seconds(20), asked));
    rig.client().send(get);
    rig.sim.settle();
    support::ScriptedPeer& gone = rig.client();
    gone.send(sent);
    gone.fin();
    rig.sim.run_for(base::millis(1100));
    CHECK(rig.metric(Name::local_replies_total, {"client_closed"}) == 1);
    CHECK(rig.metric(Name::upstream_pool_waiting) == 0);
    rig.sim.run_for(base::seconds(20));
    CHECK(asked == 1);
  }
}

TEST_CASE("a half-closed client is answered by a fresh connection, and by an origin that is quick enough") {
  for (const int64_t think_ms : {900, 1100}) {
    Rig rig(toml("max_connections = 1"));
    int asked = 0;
    rig.network.serve(app, slow_origin(rig, base::millis(think_ms), asked));
    support::ScriptedPeer& client = rig.client();
    client.send(get);
    client.fin();
    rig.sim.run_for(base::seconds(5));
    CHECK(client.received().ends_with("hello") == (think_ms < 1000));
    CHECK(rig.metric(Name::local_replies_total, {"client_closed"}) == (think_ms < 1000 ? 0 : 1));
    if (think_ms > 1000) CHECK(rig.network.last_peer().ended());
  }
}

TEST_CASE("a half-closed client whose try has failed does not wait for another connection") {
  Rig rig(toml("max_connections = 1\nacquire_timeout = \"30s\""));
  int asked = 0;
  rig.network.serve(app, [&](support::ScriptedPeer& peer) {
    peer.on_event = [&](support::ScriptedPeer& p) {
      if (p.take().find("\r\n\r\n") != std::string::npos) ++asked;
    };
  });
  support::ScriptedPeer& first = rig.client();
  first.send(get);
  first.fin();
  rig.sim.settle();
  rig.client().send(get);  // waits
  rig.sim.settle();
  rig.network.last_peer().reset();
  rig.sim.run_for(base::millis(26));  // retry.backoff
  CHECK(rig.metric(Name::local_replies_total, {"client_closed"}) == 1);
  CHECK(asked == 2);
}

TEST_CASE("a silent event stream lets go of its origin when its client has left") {
  Rig rig(toml("max_connections = 1"));
  rig.network.serve(app, [](support::ScriptedPeer& peer) {
    peer.on_event = [](support::ScriptedPeer& p) {
      if (!p.take().empty())
        p.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    };
  });
  support::ScriptedPeer& client = rig.client();
  client.send(get);
  rig.sim.run_for(base::minutes(4));
  CHECK(!rig.network.last_peer().ended());
  client.fin();
  rig.sim.run_for(base::millis(900));
  CHECK(!rig.network.last_peer().ended());
  rig.sim.run_for(base::millis(200));
  CHECK(rig.network.last_peer().ended());
}

// ---- two-way streams ----------------------------------------------------------------------------------------

TEST_CASE("a two-way stream lives until stream_idle_timeout, whatever body_timeout, min_rate and its type say") {
  Rig rig(toml("", "body_timeout = \"5s\"\nwrite_timeout = \"5s\""));
  rig.network.serve(app, [](support::ScriptedPeer& peer) {
    peer.on_event = [](support::ScriptedPeer& p) {
      const std::string got = p.take();
      if (got.starts_with("POST")) p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      if (got.ends_with("ping\r\n")) p.send("4\r\npong\r\n");
    };
  });
  support::ScriptedPeer& client = rig.client();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n");
  rig.sim.run_for(base::seconds(10));
  for (int i = 0; i < 5; ++i) {
    REQUIRE(client.take().ends_with("4\r\npong\r\n"));
    rig.sim.run_for(base::seconds(250));
    client.send("4\r\nping\r\n");
    rig.sim.settle();
  }
  CHECK(!client.ended());
  rig.sim.run_for(base::seconds(299));
  CHECK(!client.ended());
  rig.sim.run_for(base::seconds(2));
  CHECK(client.ended());
}

TEST_CASE("a request that calls itself gRPC may be silent only while HTTP/2 carries it upstream") {
  for (const bool h2 : {false, true}) {
    CAPTURE(h2);
    Rig rig(toml("", "protocols = [\"h2\"]", h2 ? "protocol = \"h2\"" : ""));
    std::vector<std::unique_ptr<http2::Peer>> servers;
    rig.network.serve(app, [&](support::ScriptedPeer& wire) {
      if (!h2) return;
      servers.push_back(std::make_unique<http2::Peer>(http2::Peer::Role::server, wire));
      servers.back()->flush();
    });
    http2::Peer client(http2::Peer::Role::client, rig.client());
    const int32_t id = client.begin({{":method", "POST"},
                                     {":scheme", "http"},
                                     {":authority", "a"},
                                     {":path", "/"},
                                     {"content-type", "application/grpc"}});
    client.flush();
    rig.sim.run_for(base::seconds(29));
    CHECK(!client.seen(id).ended);
    rig.sim.run_for(base::minutes(3));
    CHECK(client.seen(id).ended == !h2);
    CHECK(rig.metric(Name::local_replies_total, {"request_timeout"}) == (h2 ? 0 : 1));
    if (!h2) CHECK(rig.network.last_peer().ended());
  }
}

// ---- slow uploads -----------------------------------------------------------------------------------------------

namespace {

std::string post_head(size_t length, std::string_view more = "") {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(more) + "Content-Length: " + std::to_string(length) +
         "\r\n\r\n";
}

}  // namespace

TEST_CASE("an upload takes a connection when 64 KiB or its end are here, and not a byte before") {
  for (const size_t length : {size_t{300'000}, size_t{100}}) {
    CAPTURE(length);
    Rig rig(toml("max_connections = 1"));
    rig.network.serve(app, sim::answering(ok));
    support::ScriptedPeer& client = rig.client();
    const size_t first = length > 64 * 1024 ? 64 * 1024 - 1 : length - 1;
    client.send(post_head(length) + std::string(first, 'x'));
    rig.sim.run_for(base::seconds(1));
    CHECK(rig.network.dials(app) == 0);
    client.send("x");
    rig.sim.settle();
    CHECK(rig.network.dials(app) == 1);
    client.send(std::string(length - first - 1, 'x'));
    rig.sim.settle();
    CHECK(client.received().ends_with("hello"));
  }
}

TEST_CASE("an upload at 300 bytes a second holds no connection; the live request beside it has the only one") {
  Rig rig(toml("max_connections = 1"));
  rig.network.serve(app, sim::answering(ok));
  std::vector<support::ScriptedPeer*> slow;
  for (int i = 0; i < 5; ++i) {
    slow.push_back(&rig.client());
    slow.back()->send(post_head(6000));
  }
  for (int second = 0; second < 20; ++second) {
    for (auto* client : slow) client->send(std::string(300, 'x'));
    rig.sim.settle();
    if (second < 19) CHECK(rig.ask(get).ends_with("hello"));
    if (second < 19) CHECK(rig.metric(Name::upstream_pool_waiting) == 0);
    rig.sim.run_for(base::seconds(1));
  }
  for (auto* client : slow) CHECK(client->received().ends_with("hello"));
}

TEST_CASE(
    "a body that pauses is sent on, where half of the connections are free: a client may wait for the answer first") {
  for (const int busy : {1, 2}) {
    CAPTURE(busy);
    Rig rig(toml("max_connections = 4\nacquire_timeout = \"30s\""));
    int asked = 0;
    rig.network.serve(app, slow_origin(rig, base::seconds(20), asked));
    for (int i = 0; i < busy; ++i) rig.client().send(get);
    rig.sim.settle();
    support::ScriptedPeer& client = rig.client();
    client.send(post_head(10) + "hello");
    rig.sim.run_for(base::millis(1999));
    CHECK(asked == busy);
    rig.sim.run_for(base::millis(2));
    CHECK(asked == (busy < 2 ? busy + 1 : busy));
    rig.sim.run_for(base::seconds(20));  // the busy ones are over
    CHECK(asked == busy + 1);
  }
}

TEST_CASE("128 silent uploads leave half of the pool to the live") {
  Rig rig(toml("max_connections = 8"));
  int posts = 0;
  rig.network.serve(app, [&](support::ScriptedPeer& peer) {
    peer.on_event = [&](support::ScriptedPeer& p) {
      const std::string got = p.take();
      if (got.starts_with("POST")) ++posts;
      if (got.starts_with("GET")) p.send(ok);
    };
  });
  std::vector<support::ScriptedPeer*> silent;
  for (int i = 0; i < 128; ++i) {
    silent.push_back(&rig.client());
    silent.back()->send(post_head(10, "Content-Type: application/grpc\r\n"));
  }
  for (int second = 0; second < 29; ++second) {
    rig.sim.run_for(base::seconds(1));
    CHECK(rig.ask(get).ends_with("hello"));
  }
  CHECK(posts == 4);
  rig.sim.run_for(base::seconds(2));
  for (auto* client : silent) CHECK(!client->received().empty());  // told that they were too slow
  CHECK(rig.metric(Name::local_replies_total, {"request_timeout"}) == 128);
}

TEST_CASE(
    "a client that waits for 100 asks the origin where there is room, and is told to go on by us where there is none") {
  for (const bool room : {true, false}) {
    Rig rig(toml("max_connections = 1\nacquire_timeout = \"30s\""));
    int asked = 0;
    rig.network.serve(app, slow_origin(rig, base::seconds(5), asked));
    if (!room) rig.client().send(get);
    rig.sim.settle();
    support::ScriptedPeer& client = rig.client();
    client.send(post_head(4, "Expect: 100-continue\r\n"));
    rig.sim.settle();
    CHECK(asked == 1);  // it, or the one that has the only connection
    rig.sim.run_for(base::millis(1001));
    CHECK(client.take() == "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    rig.sim.run_for(base::seconds(10));
    CHECK(asked == (room ? 1 : 2));
    CHECK(client.received().ends_with("hello"));
  }
}

TEST_CASE("streams of HTTP/2 are not scarce: an upload goes at once") {
  Rig rig(toml("", "", "protocol = \"h2\""));
  std::vector<std::unique_ptr<http2::Peer>> servers;
  rig.network.serve(app, [&](support::ScriptedPeer& wire) {
    servers.push_back(std::make_unique<http2::Peer>(http2::Peer::Role::server, wire));
    servers.back()->flush();
  });
  rig.client().send(post_head(10) + "hello");
  rig.sim.settle();
  REQUIRE(servers.size() == 1);
  CHECK(servers[0]->seen(1).body == "hello");
}

TEST_CASE("windows too small for 64 KiB hold nothing up: without credit a request goes with what is here") {
  Rig rig(toml("max_connections = 1", "protocols = [\"h2\"]\nstream_window = \"16KiB\""));
  rig.network.serve(app, sim::answering(ok));
  support::ScriptedPeer& wire = rig.client();
  http2::Peer client(http2::Peer::Role::client, wire);
  client.flush();
  rig.sim.settle();
  const std::string body(200'000, 'x');
  const int32_t id = client.ask(
      {{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"content-length", "200000"}},
      &body);
  rig.sim.settle();
  CHECK(client.seen(id).body == "hello");
}

TEST_CASE("what was held back and is too large for a further try is let go when it has gone out") {
  for (const size_t size : {size_t{64 * 1024}, size_t{200'000}}) {
    CAPTURE(size);
    Rig rig(toml("", "protocols = [\"h2\"]"));
    rig.network.serve(app, [](support::ScriptedPeer&) {});
    http2::Peer client(http2::Peer::Role::client, rig.client());
    client.flush();
    rig.sim.settle();
    const size_t before = net::Chunk::live();
    const std::string body(size, 'x');
    client.ask({{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}, &body);
    rig.sim.settle();
    CHECK(rig.network.last_peer().received().ends_with("\r\n0\r\n\r\n"));
    CHECK((net::Chunk::live() - before) * 16 * 1024 <= 96 * 1024);
  }
}

// ---- what the upstream owes -------------------------------------------------------------------------------------

namespace {

std::string with_route(std::string_view keys, std::string_view retry = "") {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nendpoints = "
         "[\"10.0.0.1:3000\"]\n[upstream.retry]\n" +
         std::string(retry) + "\n[[route]]\nupstream = \"app\"\n" + std::string(keys) + "\n";
}

}  // namespace

TEST_CASE("an answer that is awaited is ruled by timeout, and not by stream_idle_timeout") {
  Rig rig(with_route("timeout = \"10m\""));
  int asked = 0;
  rig.network.serve(app, slow_origin(rig, base::minutes(9), asked));
  support::ScriptedPeer& client = rig.client();
  client.send(get);
  rig.sim.run_for(base::seconds(541));
  CHECK(client.received().ends_with("hello"));
}

TEST_CASE(
    "without a timeout for the head, stream_idle_timeout keeps an origin that says nothing from holding on for ever") {
  Rig rig(with_route("timeout = \"0s\"\nstream_idle_timeout = \"1m\""));
  rig.network.serve(app, [](support::ScriptedPeer&) {});
  support::ScriptedPeer& client = rig.client();
  client.send(get);
  rig.sim.run_for(base::seconds(59));
  CHECK(client.received().empty());
  rig.sim.run_for(base::seconds(2));
  CHECK(client.received().starts_with("HTTP/1.1 504"));
}

TEST_CASE("an upload that the origin stops to read is ruled by stream_idle_timeout, and not by timeout") {
  Rig rig(with_route("timeout = \"5s\"\nstream_idle_timeout = \"1m\""));
  rig.network.serve(app, [](support::ScriptedPeer& peer) { peer.hold(); });
  support::ScriptedPeer& client = rig.client();
  client.send(post_head(1'000'000) + std::string(1'000'000, 'x'));
  rig.sim.run_for(base::seconds(59));
  CHECK(client.received().empty());
  rig.sim.run_for(base::seconds(2));
  CHECK(client.received().starts_with("HTTP/1.1 504"));
}

TEST_CASE("per_try_timeout starts with the request's last byte: a slow upload is not the upstream's fault") {
  Rig rig(with_route("", "per_try_timeout = \"2s\""));
  std::string got;
  rig.network.serve(app, [&got](support::ScriptedPeer& peer) {
    peer.on_event = [&got](support::ScriptedPeer& p) { got += p.take(); };
  });
  support::ScriptedPeer& client = rig.client();
  client.send(post_head(200'000) + std::string(150'000, 'x'));
  rig.sim.run_for(base::seconds(5));
  client.send(std::string(50'000, 'x'));
  rig.sim.run_for(base::millis(1900));
  CHECK(rig.network.dials(app) == 1);
  CHECK(client.received().empty());
  rig.network.last_peer().send(ok);
  rig.sim.settle();
  CHECK(client.received().ends_with("hello"));
}

TEST_CASE("tries again because of a status stay within one timeout") {
  Rig rig(with_route("timeout = \"10s\"", "on = [\"503\"]\nattempts = 2"));
  int asked = 0;
  rig.network.serve(app, [&](support::ScriptedPeer& peer) {
    peer.on_event = [&](support::ScriptedPeer& p) {
      if (p.take().empty() || ++asked > 1) return;
      rig.sim.post(base::seconds(8), [&p] { p.send("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"); });
    };
  });
  support::ScriptedPeer& client = rig.client();
  client.send(get);
  rig.sim.run_for(base::millis(9900));
  CHECK(asked == 2);
  CHECK(client.received().empty());
  rig.sim.run_for(base::millis(200));
  CHECK(client.received().starts_with("HTTP/1.1 504"));
}

// ---- who closed the connection, and why --------------------------------------------------------------------------

TEST_CASE("the upstream's connection of a request that is given up ends with the cause of that, by us") {
  int asked = 0;
  const auto closed = [](Rig& rig, const char* why) {
    return rig.metric(Name::upstream_connections_closed_total, {"app", why, "us"});
  };
  SUBCASE("its client leaves") {
    Rig rig(toml(""));
    rig.network.serve(app, slow_origin(rig, base::seconds(20), asked));
    support::ScriptedPeer& client = rig.client();
    client.send(get);
    rig.sim.settle();
    client.reset();
    rig.sim.settle();
    CHECK(closed(rig, "client_left") == 1);
    CHECK(rig.metric(Name::downstream_connections_closed_total, {"peer_reset", "peer"}) == 1);
  }
  SUBCASE("its time is over") {
    Rig rig(toml("") + "timeout = \"1s\"\n");
    rig.network.serve(app, slow_origin(rig, base::seconds(20), asked));
    rig.client().send(get);
    rig.sim.run_for(base::seconds(2));
    CHECK(closed(rig, "route_timeout") == 1);
  }
  CHECK(asked <= 1);
}
