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
  CHECK(b.host.trace() == "request POST http://a / length=1000000\nbody abcdef\nmalformed request_timeout slow_body\nclosed clean\n");
  CHECK(b.output().starts_with("HTTP/1.1 408"));
}

TEST_CASE("a body slower than min_rate, and one just as fast") {
  ServerBench slow;
  slow.exchange(post);
  const int64_t s = seconds_until_end(slow, base::seconds(1), std::string(200, 'x'), 60);
  CHECK(s >= 10);
  CHECK(s <= 11);
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
    CHECK(b.sink().malformed == true);       // min_rate: 35 kB came at once, then nothing in a window of 10 s
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
    CHECK(seconds >= 10);
    CHECK(seconds <= 12);
    CHECK(b.host.cause == http::CloseCause::write_stalled);
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

TEST_CASE("an answer to a half-closed client goes on while bytes flow, and ends when it is silent for half_close_grace") {
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
