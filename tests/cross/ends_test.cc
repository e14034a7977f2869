// Messages that are cut: by either end, by limits of time, by the proxy's own leaving. In no pair and no direction does
// one look whole, and what the other end is told is the same.
#include "stage.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using cross::Ask;
using cross::Body;
using cross::Call;
using cross::Ending;
using cross::for_all_pairs;
using cross::Message;
using cross::Reply;
using cross::Stage;
using cross::Turn;
using cross::Version;
using metrics::Name;

namespace {

constexpr uint32_t h2_no_error = 0;
constexpr uint32_t h2_internal_error = 2;
constexpr uint32_t h2_cancel = 8;

// To a client of HTTP/2 CANCEL would mean its own doing (RFC 9113 7).
void check_cut(Stage& s, Call& call) {
  s.settle();
  CHECK(call.answer().ending == Ending::cut);
  if (s.pair.client == Version::http2) {
    CHECK(call.answer().reset);
    CHECK(call.answer().code == h2_internal_error);
  }
}

// Nothing is left behind: no exchange, no stream that counts, and the proxy goes on.
void check_alive(Stage& s) {
  const size_t before = s.turns();
  Call& call = s.ask({.path = "/alive"});
  s.turn(before).answer(200, "alive");
  s.settle();
  CHECK(call.answer().text() == "200 length=5 | alive | whole");
}

constexpr Reply known{200, {}, Body::follows, 10};
constexpr Reply unknown{200, {}, Body::follows, {}};

}  // namespace

TEST_CASE("an origin that dies before its answer: 502, and nothing is sent twice") {
  for_all_pairs("502", [](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 2});
    call.send("hi");
    call.end();
    s.turn().wire().reset();
    s.settle();
    CHECK(s.turns() == 1);
    const std::string status = call.answer().start;
    CHECK(call.answer().ending == Ending::whole);
    check_alive(s);
    return status;
  });
}

TEST_CASE("an origin that dies before its answer to a GET: asked again on a new connection") {
  for (const bool gently : {false, true}) {
    for_all_pairs("200 length=6 | second | whole", [gently](Stage& s) {
      Call& call = s.ask({});
      gently ? s.turn(0).wire().fin() : s.turn(0).wire().reset();
      s.turn(1).answer(200, "second");
      s.settle();
      CHECK(s.dials() == 2);
      return call.answer().text();
    });
  }
}

TEST_CASE("an origin that dies inside the head of its answer: 502") {
  for (const bool gently : {false, true}) {
    for_all_pairs("502", [gently](Stage& s) {
      Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 2});
      call.send("hi");
      call.end();
      Turn& turn = s.turn();
      turn.break_head();
      s.settle();
      gently ? turn.wire().fin() : turn.wire().reset();
      s.settle();
      CHECK(s.turns() == 1);
      const std::string status = call.answer().start;
      check_alive(s);
      return status;
    });
  }
}

TEST_CASE("an origin that dies inside a body: what came of it is passed on, and looks cut") {
  for (const Reply& reply : {known, unknown}) {
    for (const bool gently : {false, true}) {
      for_all_pairs([&](Stage& s) {
        Call& call = s.ask({});
        Turn& turn = s.turn();
        turn.answer(reply);
        turn.send("hello");
        s.settle();
        gently ? turn.wire().fin() : turn.wire().reset();
        check_cut(s, call);
        CHECK(call.answer().start == "200");
        CHECK(call.answer().body == "hello");
        check_alive(s);
      });
    }
  }
}

TEST_CASE("an origin that dies at once with the first bytes of its body") {
  for (const Reply& reply : {known, unknown}) {
    for_all_pairs([&](Stage& s) {
      Call& call = s.ask({});
      Turn& turn = s.turn();
      turn.answer(reply);
      turn.send("hello");
      turn.wire().fin();
      check_cut(s, call);
      check_alive(s);
    });
  }
}

TEST_CASE("an origin that dies where only the end is missing") {
  for_all_pairs([](Stage& s) {
    Call& call = s.ask({});
    Turn& turn = s.turn();
    turn.answer(unknown);
    turn.send("all of it");
    s.settle();
    turn.wire().fin();
    check_cut(s, call);
  });
  for_all_pairs([](Stage& s) {  // not one byte of the body
    Call& call = s.ask({});
    Turn& turn = s.turn();
    turn.answer(known);
    s.settle();
    turn.wire().fin();
    check_cut(s, call);
  });
}

TEST_CASE("a client that leaves: the origin sees a cut request, or that its answer is not wanted") {
  for_all_pairs([](Stage& s) {  // before the answer
    Call& call = s.ask({});
    Turn& turn = s.turn();
    CHECK_FALSE(turn.left());
    call.leave();
    s.settle();
    CHECK(turn.left());
    check_alive(s);
  });
  for_all_pairs([](Stage& s) {  // in the middle of the answer
    Call& call = s.ask({});
    Turn& turn = s.turn();
    turn.answer(unknown);
    turn.send("some");
    s.settle();
    CHECK(call.answer().body == "some");
    call.leave();
    s.settle();
    CHECK(turn.left());
    check_alive(s);
  });
  for (const std::optional<uint64_t> length : {std::optional<uint64_t>(10), std::optional<uint64_t>()}) {
    for_all_pairs([&](Stage& s) {  // in the middle of its own body
      Call& call = s.ask({.method = "POST", .body = Body::follows, .length = length});
      call.send("hello");
      Turn& turn = s.turn();
      CHECK(turn.request().ending == Ending::open);
      call.leave();
      s.settle();
      CHECK(turn.request().body == "hello");
      CHECK(turn.request().ending == Ending::cut);
      if (s.pair.origin == Version::http2) CHECK(turn.request().code == h2_cancel);
      check_alive(s);
    });
    for_all_pairs([&](Stage& s) {  // both
      Call& call = s.ask({.method = "POST", .body = Body::follows, .length = length});
      call.send("hello");
      Turn& turn = s.turn();
      turn.answer(unknown);
      turn.send("early");
      s.settle();
      call.leave();
      s.settle();
      CHECK(turn.request().ending == Ending::cut);
      check_alive(s);
    });
  }
}

TEST_CASE("a client whose connection breaks: all of its requests are cut") {
  for_all_pairs([](Stage& s) {
    cross::Client& client = s.client();
    Call& call = client.ask({.method = "POST", .body = Body::follows});
    call.send("hello");
    Turn& turn = s.turn();
    client.wire().reset();
    s.settle();
    CHECK(turn.request().ending == Ending::cut);
    check_alive(s);
  });
  for_all_pairs([](Stage& s) {  // with a FIN in the middle of the request
    cross::Client& client = s.client();
    Call& call = client.ask({.method = "POST", .body = Body::follows});
    call.send("hello");
    Turn& turn = s.turn();
    client.wire().fin();
    s.settle();
    CHECK(turn.request().ending == Ending::cut);
    CHECK(turn.left());
    check_alive(s);
  });
}

TEST_CASE("a client leaves while its request waits for a connection") {
  for_all_pairs(
      [](Stage& s) {
        Call& first = s.ask({.path = "/1"});
        s.settle();
        Call& second = s.ask({.path = "/2"});
        second.leave();
        s.settle();
        s.turn(0).answer(200, "one");
        s.settle();
        CHECK(first.answer().body == "one");
        CHECK(s.turns() <= 2);  // over HTTP/2 it has gone out already
        check_alive(s);
      },
      {.upstream = "[upstream.pool]\nmax_connections = 1"});
}

TEST_CASE("an answer that is whole before its request (row 31)") {
  for_all_pairs("403 length=2 | no | whole", [](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 1000});
    call.send("some");
    Turn& turn = s.turn();
    turn.answer(403, "no");
    s.settle();
    CHECK(turn.request().ending == Ending::cut);
    if (s.pair.client == Version::http2) {
      CHECK(call.answer().reset);  // "send no more", and not an error
      CHECK(call.answer().code == h2_no_error);
    }
    const std::string text = call.answer().text();
    check_alive(s);
    return text;
  });
}

TEST_CASE("an answer that begins before its request has ended, and ends after it") {
  for_all_pairs("POST example.com / | one two | whole\n200 | first second | whole", [](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows});
    call.send("one ");
    Turn& turn = s.turn();
    turn.answer(unknown);
    turn.send("first ");
    s.settle();
    CHECK(call.answer().text() == "200 | first  | open");
    call.send("two");
    call.end();
    s.settle();
    CHECK(turn.request().text() == "POST example.com / | one two | whole");
    turn.send("second");
    turn.end();
    s.settle();
    return turn.request().text() + "\n" + call.answer().text();
  });
}

TEST_CASE("an early answer that the origin cuts") {
  for_all_pairs([](Stage& s) {
    Call& call = s.ask({.method = "POST", .body = Body::follows});
    call.send("one");
    Turn& turn = s.turn();
    turn.answer(unknown);
    turn.send("first");
    s.settle();
    turn.wire().reset();
    check_cut(s, call);
    check_alive(s);
  });
}

TEST_CASE("time limits") {
  for_all_pairs("504",
                [](Stage& s) {  // no answer in time
                  Call& call = s.ask({});
                  Turn& turn = s.turn();
                  s.rig.sim.run_for(base::seconds(4));
                  CHECK(call.answer().start == "");
                  s.rig.sim.run_for(base::seconds(2));
                  CHECK(turn.left());
                  CHECK(s.rig.metric(Name::local_replies_total, {"timeout"}) == 1);
                  const std::string status = call.answer().start;
                  check_alive(s);
                  return status;
                },
                {.route = "timeout = \"5s\""});
  for_all_pairs(
      [](Stage& s) {  // no byte in either direction
        Call& call = s.ask({});
        Turn& turn = s.turn();
        turn.answer(unknown);
        turn.send("some");
        s.rig.sim.run_for(base::seconds(6));
        check_cut(s, call);
        CHECK(turn.left());
        check_alive(s);
      },
      {.route = "stream_idle_timeout = \"5s\""});
  for_all_pairs(
      [](Stage& s) {  // a body that does not come: the origin must not take the part for the whole
        Call& call = s.ask({.method = "POST", .body = Body::follows});
        call.send("some");
        Turn& turn = s.turn();
        s.rig.sim.run_for(base::seconds(7));
        CHECK(turn.request().ending == Ending::cut);
        CHECK(call.answer().start == "408");
        check_alive(s);
      },
      {.listener = "body_timeout = \"5s\""});
}

TEST_CASE("a reused connection that is dead") {
  for_all_pairs([](Stage& s) {
    s.ask({.path = "/1"});
    s.turn(0).answer(200, "one");
    s.settle();
    Turn& idle = s.turn(0);
    idle.wire().on_event = [](support::ScriptedPeer& p) {
      p.reset();
    };  // takes the next request and dies without a word
    Call& get = s.ask({.path = "/2"});
    s.settle();
    s.turn(s.turns() - 1).answer(200, "two");
    s.settle();
    CHECK(get.answer().text() == "200 length=3 | two | whole");
    CHECK(s.dials() == 2);
    CHECK(s.rig.metric(Name::upstream_tries_total, {"app", "retry"}) == 1);
  });
  for_all_pairs([](Stage& s) {  // what may not be repeated is not
    s.ask({.path = "/1"});
    s.turn(0).answer(200, "one");
    s.settle();
    s.turn(0).wire().on_event = [](support::ScriptedPeer& p) { p.reset(); };
    Call& post = s.ask({.method = "POST", .path = "/2", .body = Body::follows, .length = 2});
    post.send("hi");
    post.end();
    s.settle();
    CHECK(post.answer().start == "502");
    CHECK(s.dials() == 1);
    check_alive(s);
  });
}

TEST_CASE("a stream that the origin refuses is tried again, a POST too") {
  for (const Version client : {Version::http1, Version::http2}) {
    Stage s({client, Version::http2});
    Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 2});
    call.send("hi");
    call.end();
    s.turn(0).refuse();
    s.turn(1).answer(200, "again");
    s.settle();
    CHECK(s.turn(1).request().text() == "POST example.com / length=2 | hi | whole");
    CHECK(call.answer().text() == "200 length=5 | again | whole");
  }
}

TEST_CASE("a try that takes too long is given up for another") {
  for_all_pairs("200 length=6 | second | whole",
                [](Stage& s) {
                  Call& call = s.ask({});
                  Turn& slow = s.turn(0);
                  s.rig.sim.run_for(base::seconds(2));
                  CHECK(slow.left());
                  s.turn(1).answer(200, "second");
                  s.settle();
                  return call.answer().text();
                },
                {.upstream = "[upstream.retry]\nper_try_timeout = \"1s\""});
}

TEST_CASE("drain: what is under way finishes") {
  for_all_pairs([](Stage& s) {
    cross::Client& client = s.client();
    Call& call = client.ask({.method = "POST", .body = Body::follows});
    call.send("one ");
    Turn& turn = s.turn();
    turn.answer(unknown);
    turn.send("first ");
    s.settle();
    s.rig.worker->leave([] {});
    s.rig.sim.run_for(base::seconds(3));
    CHECK(s.rig.shared.places.taken.load() == 1);
    call.send("two");
    call.end();
    s.settle();
    turn.send("second");
    turn.end();
    s.settle();
    CHECK(turn.request().text() == "POST example.com / | one two | whole");
    CHECK(call.answer().text() == "200 | first second | whole");
    s.rig.sim.run_for(base::seconds(15));
    CHECK(client.closing());
    CHECK(s.rig.shared.places.taken.load() == 0);
  });
}

TEST_CASE("drain: at the deadline what is cut looks cut") {
  for (const Reply& reply : {known, unknown}) {
    for_all_pairs([&](Stage& s) {
      Call& call = s.ask({.method = "POST", .body = Body::follows});
      call.send("one");
      Turn& turn = s.turn();
      turn.answer(reply);
      turn.send("first");
      s.settle();
      s.rig.worker->leave([] {});
      s.settle();
      s.rig.worker->abort_all();
      check_cut(s, call);
      CHECK(turn.request().ending == Ending::cut);
      CHECK(turn.left());
      s.rig.sim.run_for(base::seconds(15));
      CHECK(s.rig.shared.places.taken.load() == 0);
    });
  }
}

TEST_CASE("a client that half-closes after its request") {
  for (const Version origin : {Version::http1, Version::http2}) {
    {
      Stage s({Version::http1, origin});  // its answer still goes out
      cross::Client& client = s.client();
      Call& call = client.ask({});
      client.wire().fin();
      s.turn().answer(200, "ok");
      s.settle();
      CHECK(call.answer().text() == "200 length=2 | ok | whole");
      CHECK(client.closing());
    }
    {
      Stage s({Version::http2, origin});  // no window can open any more: the connection is over
      cross::Client& client = s.client();
      Call& call = client.ask({});
      Turn& turn = s.turn();
      client.wire().fin();
      s.settle();
      CHECK(turn.left());
      CHECK(call.answer().ending == Ending::cut);
    }
  }
}

TEST_CASE("an origin of HTTP/2 that resets its stream: the other streams go on") {
  for (const Version client : {Version::http1, Version::http2}) {
    Stage s({client, Version::http2});
    Call& one = s.ask({.path = "/1"});
    Call& two = s.ask({.path = "/2"});
    Turn& first = s.turn(0);
    Turn& second = s.turn(1);
    first.answer(unknown);
    first.send("some");
    second.answer(unknown);
    second.send("other ");
    s.settle();
    first.reset(h2_cancel);
    check_cut(s, one);
    second.send("rest");
    second.end();
    s.settle();
    CHECK(two.answer().text() == "200 | other rest | whole");
  }
}

TEST_CASE("a body over HTTP/2 that is not as long as its head said is no whole message (H2.CL)") {
  for (const Version other : {Version::http1, Version::http2}) {
    for (const std::string_view body : {"four", "sixteen letters!"}) {
      CAPTURE(body);
      {
        Stage s({other, Version::http2});
        Call& call = s.ask({});
        Turn& turn = s.turn();
        turn.answer({200, {}, Body::follows, 10});
        turn.send(body);
        turn.end();
        check_cut(s, call);
      }
      {
        Stage s({Version::http2, other});
        Call& call = s.ask({.method = "POST", .body = Body::follows, .length = 10});
        call.send(body);
        call.end();
        s.settle();
        CHECK(call.answer().start == "400");
        if (s.turns() != 0) CHECK(s.turn().request().ending == Ending::cut);
        check_alive(s);
      }
    }
  }
}

TEST_CASE("what follows an answer on HTTP/1.1 is no part of the next one") {
  for (const Version client : {Version::http1, Version::http2}) {
    Stage s({client, Version::http1});
    Call& call = s.ask({});
    s.turn().wire().send(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    s.settle();
    CHECK(call.answer().text() == "200 length=2 | ok | whole");
    check_alive(s);
    CHECK(s.dials() == 2);
  }
}
