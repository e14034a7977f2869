// One plain request through a whole worker, torn at every position on both sides, and what becomes of faults.
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

constexpr const char* plain = R"(
[[listener]]
address = "127.0.0.1:8080"
[[upstream]]
name = "app"
endpoints = ["10.0.0.1:3000"]
[[route]]
upstream = "app"
)";
const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

bool ends_with(const std::string& text, std::string_view end) { return text.ends_with(end); }

}  // namespace

TEST_CASE("a GET goes through and comes back") {
  Rig rig(plain);
  rig.network.serve(app, sim::answering(ok));
  const std::string answer = rig.ask("GET /a?b=c HTTP/1.1\r\nHost: example.com\r\n\r\n");
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(ends_with(answer, "\r\n\r\nhello"));
  CHECK(rig.metric(Name::requests_total, {"127.0.0.1:8080", "*", "GET", "200"}) + rig.metric(Name::requests_total) > 0);
}

TEST_CASE("torn at every position, on both sides, nothing changes") {
  const std::string request =
      "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  for (uint64_t at = 1; at < request.size(); ++at) {
    CAPTURE(at);
    Rig rig(plain);
    rig.network.set_tear([at] { return support::tear_at({at}); });
    std::string got;
    rig.network.serve(app, [&](support::ScriptedPeer& peer) {
      peer.on_event = [&](support::ScriptedPeer& p) {
        got += p.take();
        if (got.ends_with("0\r\n\r\n")) p.send(ok);
      };
    });
    support::ScriptedPeer& client = rig.client();
    client.tear(support::tear_at({at}));
    client.send(request);
    rig.sim.settle();
    CHECK(got.find("5\r\nhello\r\n0\r\n\r\n") != std::string::npos);
    CHECK(ends_with(client.received(), "\r\n\r\nhello"));
  }
}

TEST_CASE("connections are reused, and a dead reused one never shows to a GET") {
  Rig rig(plain);
  rig.network.serve(app, sim::answering(ok));
  rig.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(rig.network.dials(app) == 1);
  // The upstream takes the next request and dies without a word.
  rig.network.last_peer().on_event = [](support::ScriptedPeer& p) { p.reset(); };
  const std::string answer = rig.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(ends_with(answer, "hello"));
  CHECK(rig.network.dials(app) == 2);
  CHECK(rig.metric(Name::upstream_tries_total, {"app", "retry"}) == 1);
}

TEST_CASE("a POST on a connection that dies is answered 502 and never sent twice") {
  Rig rig(plain);
  rig.network.serve(app, sim::answering(ok));
  rig.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  int posts = 0;
  const auto die = [&](support::ScriptedPeer& p) {
    if (p.take().starts_with("POST")) ++posts;
    p.reset();
  };
  rig.network.last_peer().on_event = die;
  rig.network.serve(app, [&](support::ScriptedPeer& p) { p.on_event = die; });
  const std::string answer = rig.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
  CHECK(answer.starts_with("HTTP/1.1 502 "));
  CHECK(posts == 1);
}

TEST_CASE("an upstream that refuses gives 502, one that is silent 504, and each has its reason") {
  Rig rig(plain);
  rig.network.fail(app, net::EndReason::refused);
  CHECK(rig.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 502 "));
  CHECK(rig.metric(Name::local_replies_total, {"connect_failed"}) == 1);

  Rig silent(plain);
  silent.network.serve(app, [](support::ScriptedPeer&) {});
  support::ScriptedPeer& client = silent.client();
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  silent.sim.run_for(base::seconds(29));
  CHECK(client.received().empty());
  silent.sim.run_for(base::seconds(2));
  CHECK(client.received().starts_with("HTTP/1.1 504 "));
  CHECK(silent.metric(Name::local_replies_total, {"timeout"}) == 1);
}

TEST_CASE("an answer cut short never looks complete") {
  Rig rig(plain);
  rig.network.serve(app, [](support::ScriptedPeer& peer) {
    peer.on_event = [](support::ScriptedPeer& p) {
      p.take();
      p.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
      p.fin();
    };
  });
  support::ScriptedPeer& client = rig.client();
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.sim.settle();
  CHECK(client.ended());
  CHECK(client.received().find("0\r\n\r\n") == std::string::npos);
}

TEST_CASE("what is malformed reaches no upstream") {
  Rig rig(plain);
  const std::string answer =
      rig.ask("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  CHECK(answer.starts_with("HTTP/1.1 400 "));
  CHECK(rig.network.dials(app) == 0);
  CHECK(rig.metric(Name::protocol_errors_total, {"downstream", "cl_te"}) == 1);
}

TEST_CASE("a client that leaves cancels its request") {
  Rig rig(plain);
  rig.network.serve(app, [](support::ScriptedPeer&) {});
  support::ScriptedPeer& client = rig.client();
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.sim.settle();
  client.reset();
  rig.sim.settle();
  CHECK(rig.network.last_peer().ended());
  CHECK(rig.metric(Name::local_replies_total, {"client_closed"}) == 1);
}

TEST_CASE("a reload routes the next request of a connection anew and leaves the running one alone") {
  Rig rig(plain);
  rig.network.serve(app, [](support::ScriptedPeer&) {});
  support::ScriptedPeer& client = rig.client();
  client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.sim.settle();
  rig.reload(R"(
[[listener]]
address = "127.0.0.1:8080"
[[route]]
respond = { status = 200, body = "new" }
)");
  rig.network.last_peer().send(ok);
  rig.sim.settle();
  CHECK(ends_with(client.take(), "hello"));
  client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.sim.settle();
  CHECK(ends_with(client.received(), "new"));
}
