// Time limits of the server session: each runs only while the client owes us something (threats.md row 22).
#include "bench.h"

#include <doctest/doctest.h>

using namespace sluice;
using http1::ServerBench;
using support::ProbeSink;

namespace {

const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";

// Sends `bytes` again and again until the session ends; the seconds it took, or -1 after `limit_s`.
int64_t seconds_until_end(ServerBench& b, base::Millis every, std::string_view bytes, int64_t limit_s) {
  const base::Micros from = b.sim.now();
  while (!b.host.ended && (b.sim.now() - from).count < limit_s * 1'000'000) {
    b.sim.run_for(every);
    if (!b.host.ended && !b.pair.peer->ended()) b.pair.peer->send(bytes);
    if (!b.host.sinks.empty() && b.host.sinks.back()->malformed) break;
  }
  return (b.sim.now() - from).count < limit_s * 1'000'000 ? (b.sim.now() - from).count / 1'000'000 : -1;
}

}  // namespace

TEST_CASE("a head that drips is answered 408 at the absolute deadline") {
  ServerBench b;
  b.pair.peer->send("GET / HTTP/1.1\r\nX: ");
  const int64_t s = seconds_until_end(b, base::millis(500), "x", 60);
  CHECK(s == 10);
  b.sim.settle();
  CHECK(b.output().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
  CHECK(b.host.trace() == "malformed request_timeout slow_head untouched\nclosed clean\n");
  b.sim.run_for(base::seconds(11));
  CHECK(b.host.ended);
  CHECK(b.host.cause == http::CloseCause::timeout);
}

TEST_CASE("an idle connection closes after idle_timeout, counted from the last answer") {
  ServerBench b;
  b.sim.run_for(base::seconds(70));
  b.exchange(get);
  b.sim.run_for(base::seconds(74));
  CHECK(!b.host.ended);
  b.sim.run_for(base::seconds(2));
  CHECK(b.host.ended);
  CHECK(b.host.cause == http::CloseCause::idle_timeout);
  CHECK(b.pair.peer->got_fin());
}

TEST_CASE("a body with a gap") {
  http::DownstreamOptions o;
  o.min_rate = 0;
  ServerBench b(o);
  b.exchange(post + "abc");
  b.sim.run_for(base::seconds(20));
  b.exchange("def");
  b.sim.run_for(base::seconds(29));
  CHECK(!b.sink().malformed);
  b.sim.run_for(base::seconds(2));
  CHECK(b.host.trace() ==
        "request POST http://a / length=1000000\nbody abcdef\nmalformed request_timeout slow_body\nclosed clean\n");
  CHECK(b.output().starts_with("HTTP/1.1 408"));
}

TEST_CASE("a body slower than min_rate, and one just as fast") {
  ServerBench slow;
  slow.exchange(post);
  const int64_t s = seconds_until_end(slow, base::seconds(1), std::string(200, 'x'), 60);
  CHECK(s >= 30);
  CHECK(s <= 31);
  CHECK(slow.sink().trace.find("malformed request_timeout slow_body") != std::string::npos);
  ServerBench fast;
  fast.exchange(post);
  CHECK(seconds_until_end(fast, base::seconds(1), std::string(300, 'x'), 300) == -1);
}

TEST_CASE("no limit runs while we are the slow side") {
  SUBCASE("the sink gives no credit") {
    ServerBench b;
    b.host.prepare = [](ProbeSink& s) { s.hold = true; };
    b.exchange(post + std::string(100'000, 'x'));
    b.sim.run_for(base::minutes(30));
    CHECK(!b.sink().malformed);
    CHECK(!b.host.ended);
    b.sink().consume(64 * 1024);
    b.sim.run_for(base::seconds(29));        // the clock starts over
    CHECK(!b.sink().malformed);              // 35 kB came at once: enough for a window of min_rate
    b.sim.run_for(base::seconds(2));
    CHECK(b.sink().malformed);
  }
  SUBCASE("the clock starts over with the credit") {
    http::DownstreamOptions o;
    o.min_rate = 0;
    ServerBench b(o);
    b.host.prepare = [](ProbeSink& s) { s.hold = true; };
    b.exchange(post + std::string(64 * 1024, 'x'));
    b.exchange("y");
    b.sim.run_for(base::minutes(30));
    b.sink().hold = false;
    b.sink().consume(64 * 1024);
    b.sim.run_for(base::seconds(29));
    CHECK(!b.sink().malformed);
    b.sim.run_for(base::seconds(2));
    CHECK(b.sink().malformed);
  }
  SUBCASE("the client waits for 100") {
    ServerBench b;
    b.exchange("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n");
    b.sim.run_for(base::minutes(30));
    CHECK(!b.sink().malformed);
    http::Head head(b.sink().stream->arena());
    head.status = 100;
    b.sink().send_head(head, http::End::no);
    b.sim.run_for(base::seconds(31));
    CHECK(b.sink().malformed);
  }
  SUBCASE("the answer takes its time") {
    ServerBench b;
    b.host.prepare = nullptr;
    b.exchange(get);
    b.sim.run_for(base::minutes(30));
    CHECK(!b.sink().closed);
    b.sink().answer(200, "ok");
    CHECK(b.exchange("").ends_with("ok"));
  }
  SUBCASE("a stream of events that is silent") {
    ServerBench b;
    b.host.prepare = nullptr;
    b.exchange(get);
    http::Head head(b.sink().stream->arena());
    head.status = 200;
    b.sink().send_head(head, http::End::no);
    for (int i = 0; i < 5; ++i) {
      b.sink().send_body("event", http::End::no);
      b.sim.run_for(base::minutes(5));
    }
    CHECK(!b.sink().closed);
  }
}

TEST_CASE("a client that takes nothing of its answer is cut at write_timeout") {
  ServerBench b;
  b.host.prepare = nullptr;
  b.pair.peer->window(1000);
  b.pair.peer->hold();
  b.exchange(get);
  http::Head head(b.sink().stream->arena());
  head.status = 200;
  b.sink().send_head(head, http::End::no);
  b.sink().send_body(std::string(60'000, 'x'), http::End::no);
  b.sim.run_for(base::seconds(9));
  CHECK(!b.sink().closed);
  b.sim.run_for(base::seconds(23));
  CHECK(b.sink().trace.ends_with("closed request_timeout slow_read\n"));
  CHECK(b.host.cause == http::CloseCause::write_stalled);
}

TEST_CASE("a client that takes its answer slower than min_rate is cut, whether it is whole by then or not") {
  for (const auto end : {http::End::no, http::End::yes}) {
    ServerBench b;
    b.host.prepare = nullptr;
    b.pair.peer->window(100);
    b.pair.peer->hold();
    b.exchange(get);
    http::Head head(b.sink().stream->arena());
    head.status = 200;
    b.sink().send_head(head, http::End::no);
    b.sink().send_body(std::string(60'000, 'x'), end);
    b.sim.settle();
    b.pair.peer->on_event = [](support::ScriptedPeer& peer) { peer.hold(); };  // 100 bytes each time
    int64_t seconds = 0;
    for (; seconds < 60 && !b.host.ended; ++seconds) {
      b.pair.peer->resume();
      b.sim.run_for(base::seconds(1));
    }
    CHECK(seconds >= 31);
    CHECK(seconds <= 33);
    CHECK(b.host.cause == http::CloseCause::write_stalled);
  }
}

TEST_CASE(
    "what the client has taken counts, also while the kernel takes nothing from us because too little of its buffer is "
    "free") {
  for (const size_t rate : {200U, 300U}) {
    CAPTURE(rate);
    ServerBench b;
    b.host.prepare = nullptr;
    b.pair.peer->window(90'000, 60'000);
    b.pair.peer->hold();
    b.exchange(get);
    b.pair.wire->set_tear(support::Wire::From::a, support::tear_every(rate));
    b.pair.peer->on_event = [](support::ScriptedPeer& peer) { peer.hold(); };
    b.sink().answer(200, std::string(160'000, 'x'));
    int64_t seconds = 0;
    for (; seconds < 120 && !b.host.ended; ++seconds) {
      b.pair.peer->resume();
      b.sim.run_for(base::seconds(1));
    }
    CHECK(b.host.ended == (rate == 200));
    CHECK(seconds >= 31);
    if (rate == 200) CHECK(seconds <= 33);
  }
}

TEST_CASE("a client that sent FIN behind its request is answered if that begins within half_close_grace") {
  for (const int64_t late_ms : {999, 1001}) {
    CAPTURE(late_ms);
    ServerBench b;
    b.host.prepare = nullptr;
    b.exchange(get);
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(b.sink().half_closed);
    b.sim.run_for(base::millis(late_ms));
    if (late_ms < 1000) {
      b.sink().answer(200, "ok");
      CHECK(b.exchange("").ends_with("ok"));
      CHECK(b.sink().trace.ends_with("closed clean\n"));
    } else {
      CHECK(b.sink().trace.ends_with("closed client_closed\n"));
      CHECK(b.pair.peer->got_reset());
    }
    CHECK(b.host.ended);
    CHECK(b.host.cause == http::CloseCause::peer_closed);
  }
}

TEST_CASE(
    "an answer to a half-closed client goes on while bytes flow, and ends when it is silent for half_close_grace") {
  http::DownstreamOptions o;
  o.half_close_grace = base::seconds(3);
  ServerBench b(o);
  b.host.prepare = nullptr;
  b.exchange(get);
  b.pair.peer->fin();
  b.sim.settle();
  http::Head head(b.sink().stream->arena());
  head.status = 200;
  b.sink().send_head(head, http::End::no);
  for (int i = 0; i < 20; ++i) {
    b.sim.run_for(base::millis(2900));
    REQUIRE(!b.sink().closed);
    b.sink().send_body("event", http::End::no);
  }
  b.sim.run_for(base::millis(2900));
  CHECK(!b.sink().closed);
  b.sim.run_for(base::millis(200));
  CHECK(b.sink().trace.ends_with("closed client_closed\n"));
}

TEST_CASE("while bytes wait for a half-closed client, write_timeout rules it and not the grace") {
  http::DownstreamOptions o;
  o.min_rate = 0;
  ServerBench b(o);
  b.host.prepare = nullptr;
  b.pair.peer->window(1000);
  b.pair.peer->hold();
  b.exchange(get);
  b.pair.peer->fin();
  b.sim.settle();
  http::Head head(b.sink().stream->arena());
  head.status = 200;
  b.sink().send_head(head, http::End::no);
  b.sink().send_body(std::string(60'000, 'x'), http::End::no);
  b.sim.run_for(base::seconds(25));
  REQUIRE(!b.sink().closed);
  b.pair.peer->window(100'000);
  b.pair.peer->resume();
  b.sim.run_for(base::millis(900));
  CHECK(!b.sink().closed);
  b.sim.run_for(base::millis(200));            // all of it has left, and nothing followed
  CHECK(b.sink().trace.ends_with("closed client_closed\n"));
}

TEST_CASE("a FIN behind bytes that are not read yet is noticed within a second or so") {
  SUBCASE("behind a request that waits for its turn") {
    ServerBench b;
    b.host.prepare = nullptr;
    b.exchange(get);
    b.exchange(get);
    b.pair.peer->fin();
    b.sim.run_for(base::millis(900));
    CHECK(!b.sink().half_closed);
    b.sim.run_for(base::millis(200));
    CHECK(b.sink().half_closed);
    b.sim.run_for(base::millis(1100));
    CHECK(b.sink().trace.ends_with("closed client_closed\n"));
  }
  SUBCASE("behind a body without credit: the sink is told, and the body is read on when it may be") {
    ServerBench b;
    b.host.prepare = [](ProbeSink& s) { s.hold = true; };
    b.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x'));
    b.pair.peer->fin();
    b.sim.run_for(base::seconds(10));
    CHECK(b.sink().half_closed);
    CHECK(!b.sink().closed);
    b.sink().hold = false;
    b.sink().consume(b.sink().unconsumed);
    b.sim.settle();
    CHECK(b.sink().ended);
    CHECK(b.sink().body.size() == 100'000);
    b.sim.run_for(base::millis(1100));
    CHECK(b.sink().closed);
  }
  SUBCASE("behind an upgrade that is not answered; a tunnel is nobody's half close") {
    for (const bool agreed : {false, true}) {
      ServerBench b;
      b.host.prepare = nullptr;
      b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
      b.exchange("frame");
      b.pair.peer->fin();
      b.sim.run_for(base::millis(1100));
      REQUIRE(b.sink().half_closed);
      if (agreed) {
        http::Head head(b.sink().stream->arena());
        head.status = 101;
        head.upgrade = "x";
        b.sink().send_head(head, http::End::no);
      }
      b.sim.run_for(base::minutes(5));
      CHECK(b.sink().closed == !agreed);
    }
  }
}

TEST_CASE(
    "min_rate is measured over the timeout's window: a long pause passes, and a byte less than the rate does not") {
  constexpr size_t enough = 240 * 30;
  for (const size_t bytes : {enough, enough - 1}) {
    CAPTURE(bytes);
    ServerBench body;
    body.exchange(post);
    body.sim.run_for(base::seconds(20));
    body.exchange(std::string(bytes, 'x'));
    body.sim.run_for(base::seconds(11));
    CHECK(body.sink().malformed == (bytes < enough));

    ServerBench answer;                        // a reader that pauses for 20 s, takes so many bytes and pauses again
    answer.host.prepare = nullptr;
    answer.pair.peer->window(10'000);
    answer.pair.peer->hold();
    answer.exchange(get);
    answer.pair.wire->set_tear(support::Wire::From::a, support::tear_at({bytes}));
    answer.pair.peer->on_event = [](support::ScriptedPeer& peer) { peer.hold(); };
    answer.sink().answer(200, std::string(60'000, 'x'));
    answer.sim.run_for(base::seconds(20));
    answer.pair.peer->resume();
    answer.sim.run_for(base::seconds(13));
    CHECK(answer.pair.peer->received().size() == bytes);
    CHECK(answer.host.ended == (bytes < enough));
  }
}

TEST_CASE("a short body_timeout does not make the window of min_rate shorter than 10 s") {
  http::DownstreamOptions o;
  o.body_timeout = base::seconds(2);
  ServerBench b(o);
  b.exchange(post);
  CHECK(seconds_until_end(b, base::seconds(1), std::string(200, 'x'), 60) == 10);
}

namespace {

// A request whose body has begun, and an answer that has.
void begin_two_way(ServerBench& b) {
  b.host.prepare = nullptr;
  b.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n");
  http::Head head(b.sink().stream->arena());
  head.status = 200;
  b.sink().send_head(head, http::End::no);
  b.sink().send_body("pong", http::End::no);
  b.sim.settle();
}

}  // namespace

TEST_CASE("a two-way stream: no limit of the client runs, whoever is silent or does not read") {
  ServerBench b;
  begin_two_way(b);
  b.sim.run_for(base::minutes(10));
  b.exchange("4\r\nping\r\n");
  CHECK(b.sink().body == "pingping");
  b.pair.peer->window(1000);
  b.pair.peer->hold();
  b.sink().send_body(std::string(60'000, 'x'), http::End::no);
  b.sim.run_for(base::minutes(10));
  CHECK(!b.sink().closed);
  SUBCASE("its request ends: the client owes us its reading") {
    b.exchange("0\r\n\r\n");
    CHECK(b.sink().ended);
    b.sim.run_for(base::seconds(29));
    CHECK(!b.sink().closed);
    b.sim.run_for(base::seconds(3));
    CHECK(b.sink().trace.ends_with("closed request_timeout slow_read\n"));
  }
  SUBCASE("its answer ends: the client owes us both") {
    b.sink().send_body("end", http::End::yes);
    b.sim.run_for(base::seconds(29));
    CHECK(b.sink().trace.ends_with("closed clean\n"));   // all of it is with the transport
    CHECK(!b.host.ended);
    b.sim.run_for(base::seconds(3));
    CHECK(b.host.ended);
  }
}

TEST_CASE("after an answer that ended before its request, the rest is owed within body_timeout") {
  ServerBench b;
  begin_two_way(b);
  b.sim.run_for(base::minutes(10));
  b.sink().send_body("end", http::End::yes);
  b.sim.run_for(base::seconds(29));
  CHECK(b.sink().closed);
  CHECK(!b.host.ended);
  CHECK(!b.pair.peer->got_fin());
  b.sim.run_for(base::seconds(2));
  CHECK(b.pair.peer->got_fin());
}

// ---- the end of an idle connection --------------------------------------------------------------------------------

TEST_CASE("an answer says for how long its connection is kept: idle_timeout, a second less or a fifth") {
  const auto told = [](base::Millis idle, std::string_view request) {
    http::DownstreamOptions o;
    o.idle_timeout = idle;
    ServerBench b(o);
    b.pair.peer->send(request);
    b.sim.settle();
    const std::string answer = b.pair.peer->take();
    const size_t at = answer.find("keep-alive: timeout=");
    return at == std::string::npos ? std::string() : answer.substr(at + 20, answer.find("\r\n", at) - at - 20);
  };
  CHECK(told(base::seconds(75), get) == "74");
  CHECK(told(base::seconds(5), get) == "4");
  CHECK(told(base::seconds(2), get) == "1");
  CHECK(told(base::seconds(1), get) == "");
  CHECK(told(base::seconds(75), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") == "");
  CHECK(told(base::seconds(75), "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n") == "74");
}

TEST_CASE("a request that meets the close of an idle connection sees a clean end, and is counted once") {
  http::DownstreamOptions o;
  o.idle_timeout = base::seconds(5);
  ServerBench b(o);
  b.exchange(get);
  b.sim.run_for(base::millis(5'010));
  CHECK(b.pair.peer->got_fin());
  CHECK(!b.host.ended);
  SUBCASE("a request comes") {
    CHECK(b.exchange(get) == "");
    CHECK(b.exchange(get) == "");
    CHECK(b.host.late_requests == 1);
    CHECK(b.host.sinks.size() == 1);
  }
  SUBCASE("the client closes too") {
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(b.host.ended);
    CHECK(b.host.late_requests == 0);
  }
  b.sim.run_for(base::millis(1'010));
  CHECK(b.host.ended);
  CHECK(b.host.cause == http::CloseCause::idle_timeout);
  CHECK(!b.pair.peer->got_reset());
}
