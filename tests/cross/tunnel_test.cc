// WebSocket in all four pairs: RFC 6455 over HTTP/1.1, RFC 8441 over HTTP/2, and one turned into the other.
#include "stage.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using cross::Ask;
using cross::Body;
using cross::Call;
using cross::Ending;
using cross::for_all_pairs;
using cross::Stage;
using cross::Turn;
using cross::Version;

namespace {

const Ask websocket{.path = "/chat",
                    .fields = {{"origin", "http://example.com"}, {"sec-websocket-protocol", "chat"}},
                    .upgrade = "websocket"};

// An open tunnel.
struct Tunnel {
  explicit Tunnel(Stage& s) : client(s.client()), call(client.ask(websocket)), turn(s.turn(s.turns() - 1)) {
    turn.accept_upgrade();
    s.settle();
    REQUIRE(call.answer().start == "101");
  }
  cross::Client& client;
  Call& call;
  Turn& turn;
};

void check_usable(Stage& s, cross::Client& client) {
  Call& next = client.ask({.path = "/next"});
  s.turn(s.turns() - 1).answer(200, "next");
  s.settle();
  CHECK(next.answer().text() == "200 length=4 | next | whole");
}

}  // namespace

TEST_CASE("a tunnel: both ways, then closed by the client") {
  for_all_pairs(
      "GET example.com /chat [origin: http://example.com] [sec-websocket-protocol: chat] [sec-websocket-version: 13] "
      "upgrade=websocket"
      " | hello again | whole\n101 upgrade=websocket | welcome bye | whole",
      [](Stage& s) {
        Tunnel t(s);
        t.call.send("hello ");
        s.settle();
        CHECK(t.turn.request().body == "hello ");
        t.turn.send("welcome ");
        s.settle();
        CHECK(t.call.answer().body == "welcome ");
        t.call.send("again");
        t.call.end();              // half-close: the other direction goes on
        s.settle();
        CHECK(t.turn.request().ending == Ending::whole);
        CHECK(t.call.answer().ending == Ending::open);
        s.rig.sim.run_for(base::seconds(30));
        t.turn.send("bye");
        s.settle();
        CHECK(t.call.answer().body == "welcome bye");
        t.turn.end();
        s.settle();
        return t.turn.request().text() + "\n" + t.call.answer().text();
      });
}

TEST_CASE("a tunnel that the origin closes first") {
  for_all_pairs([](Stage& s) {
    Tunnel t(s);
    t.turn.send("only this");
    t.turn.end();
    s.settle();
    CHECK(t.call.answer().text() == "101 upgrade=websocket | only this | whole");
    CHECK(t.turn.request().ending == Ending::open);
    t.call.send("still here");
    s.settle();
    CHECK(t.turn.request().body == "still here");
    t.call.end();
    s.settle();
    CHECK(t.turn.request().ending == Ending::whole);
  });
}

TEST_CASE("the server speaks with its 101, the client before it (row 16)") {
  for_all_pairs([](Stage& s) {
    Call& call = s.ask(websocket);
    call.send("early ");
    call.send("bird");
    Turn& turn = s.turn();
    s.settle();
    CHECK(turn.request().body == "");        // nothing passes before it is agreed to
    turn.accept_upgrade();
    turn.send("first");
    s.settle();
    CHECK(call.answer().body == "first");
    CHECK(turn.request().body == "early bird");
  });
  for (const Version origin : {Version::http1, Version::http2}) {
    Stage s({Version::http2, origin});       // early, and all of it
    Call& call = s.ask(websocket);
    call.send("early");
    call.end();
    Turn& turn = s.turn();
    turn.accept_upgrade();
    s.settle();
    CHECK(turn.request().body == "early");
    CHECK(turn.request().ending == Ending::whole);
  }
}

TEST_CASE("a tunnel that is cut looks cut at the other end") {
  for_all_pairs([](Stage& s) {
    Tunnel t(s);
    t.turn.send("some");
    s.settle();
    t.turn.wire().reset();
    s.settle();
    CHECK(t.call.answer().body == "some");
    CHECK(t.call.answer().ending == Ending::cut);
    if (s.pair.client == Version::http2) check_usable(s, t.client);
  });
  for_all_pairs([](Stage& s) {
    Tunnel t(s);
    t.call.send("some");
    s.settle();
    t.call.leave();
    s.settle();
    CHECK(t.turn.request().body == "some");
    CHECK(t.turn.request().ending == Ending::cut);
    CHECK(t.turn.left());
    if (s.pair.client == Version::http2) check_usable(s, t.client);
  });
}

TEST_CASE("an upgrade that is refused is an ordinary answer, and the connection is of use") {
  for_all_pairs("403 [x-why: no] length=9 | forbidden | whole", [](Stage& s) {
    cross::Client& client = s.client();
    Call& call = client.ask(websocket);
    Turn& turn = s.turn();
    turn.answer(403, "forbidden", {{"x-why", "no"}});
    s.settle();
    const std::string text = call.answer().text();
    CHECK_FALSE(client.closing());
    check_usable(s, client);
    return text;
  });
  for_all_pairs("502", [](Stage& s) {        // the origin dies instead, twice
    Call& call = s.ask(websocket);
    s.turn(0).wire().reset();
    s.turn(1).wire().reset();
    s.settle();
    CHECK(s.dials() == 2);
    return call.answer().start;
  });
}

TEST_CASE("an answer of 2xx to an upgrade is one without it") {
  // HTTP/1.1: the upgrade was passed over. A client of HTTP/2 would take it for the tunnel: 501.
  for (const Version client : {Version::http1, Version::http2}) {
    Stage s({client, Version::http1});
    cross::Client& c = s.client();
    Call& call = c.ask(websocket);
    s.turn().answer(200, "plain");
    s.settle();
    if (client == Version::http1) {
      CHECK(call.answer().text() == "200 length=5 | plain | whole");
    } else {
      CHECK(call.answer().start == "501");
      CHECK(call.answer().ending == Ending::whole);
    }
    check_usable(s, c);
  }
}

TEST_CASE("an upgrade that the route does not offer reaches no origin as one") {
  for (const cross::Options& options :
       {cross::Options{.route = "upgrade = []"}, cross::Options{.route = "upgrade = [\"other\"]"}}) {
    for (const Version origin : {Version::http1, Version::http2}) {
      {
        Stage s({Version::http1, origin}, options);   // RFC 9110 7.8: a server may pass it over
        Call& call = s.ask(websocket);
        CHECK(s.turn().request().upgrade == "");
        s.turn().answer(200, "plain");
        s.settle();
        CHECK(call.answer().text() == "200 length=5 | plain | whole");
      }
      {
        Stage s({Version::http2, origin}, options);   // a CONNECT is nothing without it
        cross::Client& client = s.client();
        Call& call = client.ask(websocket);
        CHECK(s.turns() == 0);
        CHECK(call.answer().start == "501");
        CHECK(call.answer().ending == Ending::whole);
        CHECK_FALSE(client.closing());
        check_usable(s, client);
      }
    }
  }
}

TEST_CASE("an origin of HTTP/2 that knows no extended CONNECT: 501") {
  for (const Version client : {Version::http1, Version::http2}) {
    Stage s({client, Version::http2});
    s.enable_connect = false;
    cross::Client& c = s.client();
    Call& call = c.ask(websocket);
    s.settle();
    CHECK(s.turns() == 0);
    CHECK(call.answer().start == "501");
    CHECK(call.answer().ending == Ending::whole);
    check_usable(s, c);
  }
}

TEST_CASE("another protocol that the route offers") {
  for (const Version origin : {Version::http1, Version::http2}) {
    Stage s({Version::http2, origin}, {.route = "upgrade = [\"chat\"]"});
    Call& call = s.ask({.upgrade = "chat"});
    Turn& turn = s.turn();
    CHECK(turn.request().text() == "GET example.com / upgrade=chat | open");
    turn.accept_upgrade();
    turn.send("hi");
    s.settle();
    CHECK(call.answer().start == "101");
    CHECK(call.answer().body == "hi");
  }
}

TEST_CASE("a client's own key does not pass to where the proxy makes one") {
  Stage s({Version::http2, Version::http1});
  Ask ask = websocket;
  ask.fields.emplace_back("sec-websocket-key", "bm90IGFza2VkIGZvciBoZXJl");
  Call& call = s.ask(ask);
  Turn& turn = s.turn();
  CHECK(turn.wire().received().find("bm90IGFza2VkIGZvciBoZXJl") == std::string::npos);
  turn.accept_upgrade();
  s.settle();
  CHECK(call.answer().start == "101");
}

TEST_CASE("a wrong Sec-WebSocket-Accept for the key that the proxy made is no agreement") {
  Stage s({Version::http2, Version::http1});
  Call& call = s.ask(websocket);
  s.turn().wire().send(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
      "AAAA\r\n\r\nhi");
  s.settle();
  CHECK(call.answer().start == "502");
}

TEST_CASE("much through a tunnel, with a reader that stops for a while") {
  const std::string much(2'000'000, 'm');
  for_all_pairs([&](Stage& s) {
    Tunnel t(s);
    t.client.wire().hold();
    t.turn.wire().hold();
    t.call.send(much);
    t.turn.send(much);
    t.turn.end();
    s.rig.sim.run_for(base::seconds(20));
    CHECK(t.call.answer().ending == Ending::open);
    t.client.wire().resume();
    t.turn.wire().resume();
    s.rig.sim.run_for(base::seconds(1));
    CHECK(t.call.answer().body.size() == much.size());
    CHECK(t.call.answer().ending == Ending::whole);
    CHECK(t.turn.request().body.size() == much.size());
  });
}

TEST_CASE("a tunnel goes on through drain, and is cut at its deadline") {
  for_all_pairs([](Stage& s) {
    Tunnel t(s);
    s.rig.worker->leave([] {});
    s.rig.sim.run_for(base::seconds(5));
    t.call.send("ping");
    t.turn.send("pong");
    s.settle();
    CHECK(t.turn.request().body == "ping");
    CHECK(t.call.answer().body == "pong");
    CHECK(t.call.answer().ending == Ending::open);
    s.rig.worker->abort_all();
    s.settle();
    CHECK(t.call.answer().ending == Ending::cut);
    CHECK(t.turn.request().ending == Ending::cut);
  });
}

TEST_CASE("tunnels beside requests: a tunnel to an origin of HTTP/1.1 leaves max_connections") {
  for (const Version client : {Version::http1, Version::http2}) {
    Stage s({client, Version::http1}, {.upstream = "[upstream.pool]\nmax_connections = 1\nmax_tunnels = 1"});
    Tunnel one(s);
    Call& call = s.ask({.path = "/beside"});
    s.turn(1).answer(200, "beside");
    s.settle();
    CHECK(call.answer().body == "beside");
    Tunnel two(s);                           // over max_tunnels: it counts as a connection
    Call& waits = s.ask({.path = "/waits"});
    s.settle();
    CHECK(waits.answer().start == "");
    two.call.end();
    two.turn.end();
    s.settle();
    s.turn(s.turns() - 1).answer(200, "served");
    s.settle();
    CHECK(waits.answer().body == "served");
  }
}
