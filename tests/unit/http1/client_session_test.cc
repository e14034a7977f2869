// The client session on a wire: requests as written, reuse, races, tunnels, ends.
#include "http1/client_session.h"

#include "bench.h"

#include <doctest/doctest.h>

using namespace sluice;
using http::Borrow;
using http::CloseCause;
using http1::ClientBench;
using support::ProbeSink;

namespace {

const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// Opens a stream and sends a request as told; true if there was a slot.
bool send(ClientBench& b, ProbeSink& sink, http::Head& head, http::End end) {
  sink.stream = b.host.session->open(sink);
  if (sink.stream == nullptr) return false;
  sink.send_head(head, end);
  return true;
}

struct Request {
  base::Arena arena;
  http::Head head{arena};
  explicit Request(std::string_view method, std::optional<uint64_t> length = {}) {
    head.method_text = method;
    head.method = http::method_of(method);
    head.authority = "o:81";
    head.target = "/t?q";
    head.content_length = length;
  }
};

}  // namespace

TEST_CASE("requests as they are written") {
  struct Row {
    std::string method;
    std::optional<uint64_t> length;
    std::string body;
    std::string wire;
  };
  const Row rows[] = {
      {"GET", {}, "", "GET /t?q HTTP/1.1\r\nhost: o:81\r\nx-a: 1\r\n\r\n"},
      {"GET", 0, "", "GET /t?q HTTP/1.1\r\nhost: o:81\r\ncontent-length: 0\r\nx-a: 1\r\n\r\n"},
      {"QUERY", {}, "", "QUERY /t?q HTTP/1.1\r\nhost: o:81\r\nx-a: 1\r\n\r\n"},
      {"POST", {}, "", "POST /t?q HTTP/1.1\r\nhost: o:81\r\ncontent-length: 0\r\nx-a: 1\r\n\r\n"},
      {"PUT", {}, "", "PUT /t?q HTTP/1.1\r\nhost: o:81\r\ncontent-length: 0\r\nx-a: 1\r\n\r\n"},
      {"PATCH", {}, "", "PATCH /t?q HTTP/1.1\r\nhost: o:81\r\ncontent-length: 0\r\nx-a: 1\r\n\r\n"},
      {"POST", 3, "abc", "POST /t?q HTTP/1.1\r\nhost: o:81\r\ncontent-length: 3\r\nx-a: 1\r\n\r\nabc"},
      {"POST",
       {},
       "abc",
       "POST /t?q HTTP/1.1\r\nhost: o:81\r\ntransfer-encoding: chunked\r\nx-a: 1\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
  };
  for (const Row& r : rows) {
    CAPTURE(r.wire);
    ClientBench b;
    ProbeSink sink(b.contract);
    Request request(r.method, r.length);
    request.head.fields.add("x-a", "1");
    REQUIRE(send(b, sink, request.head, r.body.empty() ? http::End::yes : http::End::no));
    if (!r.body.empty()) sink.send_body(r.body, http::End::yes);
    b.sim.settle();
    CHECK(b.pair.peer->take() == r.wire);
    CHECK(sink.sent == r.body.size());
    b.answer(ok);
    CHECK(sink.trace == "answer 200 length=2\nbody ok\nend\nclosed clean\n");
    CHECK(b.host.session->slots() == 1);
    CHECK(b.host.slots_told == 1);
    CHECK(b.contract.text() == "");
  }
}

TEST_CASE("what a head asks for is made anew: upgrade, TE, Expect; trailers") {
  ClientBench b;
  ProbeSink sink(b.contract);
  Request request("POST");
  request.head.te_trailers = true;
  request.head.expect_continue = true;
  REQUIRE(send(b, sink, request.head, http::End::no));
  b.sim.settle();
  CHECK(b.pair.peer->take() ==
        "POST /t?q HTTP/1.1\r\nhost: o:81\r\ntransfer-encoding: chunked\r\nconnection: TE\r\nte: trailers\r\nexpect: "
        "100-continue\r\n\r\n");
  b.answer("HTTP/1.1 100 Continue\r\n\r\n");
  sink.send_body("x", http::End::no);
  http::Fields trailers(request.arena);
  trailers.add("T", "1");
  sink.send_trailers(trailers);
  b.sim.settle();
  CHECK(b.pair.peer->take() == "1\r\nx\r\n0\r\nT: 1\r\n\r\n");
  b.answer(ok);
  CHECK(sink.trace == "answer 100\nanswer 200 length=2\nbody ok\nend\nclosed clean\n");
  CHECK(!b.host.ended);
}

TEST_CASE("one stream at a time, again and again") {
  ClientBench b;
  for (int i = 0; i < 3; ++i) {
    ProbeSink sink(b.contract);
    ProbeSink other(b.contract);
    CHECK(b.host.session->slots() == 1);
    REQUIRE(b.ask(sink));
    CHECK(sink.stream->reused() == (i > 0));
    CHECK(b.host.session->slots() == 0);
    CHECK(b.host.session->open(other) == nullptr);
    b.answer(ok);
    CHECK(sink.closed);
    CHECK(b.host.session->open_streams() == 0);
  }
  CHECK(b.host.session->streams_opened() == 3);
  CHECK(http1::client_streams_live() == 0);
  CHECK(http1::idle_client_bytes() <= 256);
}

TEST_CASE("the next stream may open inside on_slots") {
  ClientBench b;
  ProbeSink first(b.contract);
  ProbeSink second(b.contract);
  REQUIRE(b.ask(first));
  b.host.when_slots = [&](http::ClientSession& session) {
    if (second.closed || second.stream != nullptr) return;
    second.stream = session.open(second);
    REQUIRE(second.stream != nullptr);
    Request request("GET");
    second.send_head(request.head, http::End::yes);
  };
  b.answer(ok);
  b.answer(ok);
  CHECK(first.closed);
  CHECK(second.closed);
  CHECK(second.why.clean());
  CHECK(b.contract.text() == "");
}

// Row 63: what comes behind an answer, unread while its turn goes on, is no answer to the request that takes the
// connection then.
TEST_CASE("a request that follows an answer in its turn leaves when the loop has looked again") {
  struct Row {
    std::string method;
    std::string answer;
    std::string behind;  // "": a FIN
    std::string second;
  };
  const Row rows[] = {
      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", ok, "closed reset extra_bytes untouched\n"},
      {"GET", "HTTP/1.1 204 No Content\r\n\r\n", ok, "closed reset extra_bytes untouched\n"},
      {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", ok, "closed reset extra_bytes untouched\n"},
      {"GET", ok, ok, "closed reset extra_bytes untouched\n"},
      {"GET", ok, "", "closed reset untouched\n"},
  };
  for (const Row& r : rows) {
    CAPTURE(r.method);
    CAPTURE(r.answer);
    ClientBench b;
    ProbeSink first(b.contract);
    ProbeSink second(b.contract);
    REQUIRE(b.ask(first, r.method));
    b.pair.peer->take();
    b.host.when_slots = [&](http::ClientSession& session) {
      Request request("POST", 0);
      REQUIRE(send(b, second, request.head, http::End::yes));
      if (r.behind.empty()) {
        b.pair.peer->fin();
      } else {
        b.pair.peer->send(r.behind);
      }
      CHECK(session.slots() == 0);
      b.host.when_slots = nullptr;
    };
    b.answer(r.answer);
    CHECK(first.why.clean());
    CHECK(second.trace == r.second);
    CHECK(b.pair.peer->take() == "");
    CHECK(b.contract.text() == "");
  }
}

TEST_CASE("an idle connection that becomes readable ends (row 23)") {
  SUBCASE("bytes") {
    ClientBench b;
    b.answer("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    CHECK(b.host.ended);
    CHECK(b.host.cause == CloseCause::extra_bytes);
    CHECK(b.host.protocol_errors == std::vector{http::Detail::extra_bytes});
  }
  SUBCASE("FIN") {
    ClientBench b;
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(b.host.cause == CloseCause::peer_closed);
  }
  SUBCASE("RST") {
    ClientBench b;
    b.pair.peer->reset();
    b.sim.settle();
    CHECK(b.host.cause == CloseCause::peer_reset);
  }
  SUBCASE("bytes with the answer") {
    ClientBench b;
    ProbeSink sink(b.contract);
    REQUIRE(b.ask(sink));
    b.answer(ok + "x");
    CHECK(sink.why.clean());
    CHECK(b.host.cause == CloseCause::extra_bytes);
  }
}

TEST_CASE("an answer before the question is none") {
  ClientBench b;
  ProbeSink sink(b.contract);
  b.pair.peer->send(ok);
  sink.stream = b.host.session->open(sink);
  b.sim.settle();  // no head was sent yet
  CHECK(sink.trace == "closed reset extra_bytes untouched\n");
  CHECK(b.host.cause == CloseCause::extra_bytes);
  CHECK(b.contract.text() == "");
}

TEST_CASE("what a failure says about a replay (row 25)") {
  SUBCASE("nothing of the request was written") {
    ClientBench b;
    ProbeSink sink(b.contract);
    sink.stream = b.host.session->open(sink);
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(sink.trace == "closed reset untouched\n");
  }
  SUBCASE("it was, and no byte of an answer came") {
    ClientBench b;
    ProbeSink sink(b.contract);
    REQUIRE(b.ask(sink));
    b.pair.peer->reset();
    b.sim.settle();
    CHECK(sink.trace == "closed reset\n");
  }
  SUBCASE("a byte of the answer came") {
    ClientBench b;
    ProbeSink sink(b.contract);
    REQUIRE(b.ask(sink));
    b.answer("H");
    b.pair.peer->reset();
    b.sim.settle();
    CHECK(sink.trace == "closed reset truncated\n");
  }
}

TEST_CASE("a reset is no end of a body (row 24)") {
  ClientBench b;
  ProbeSink sink(b.contract);
  REQUIRE(b.ask(sink));
  b.answer("HTTP/1.1 200 OK\r\n\r\nabc");
  b.pair.peer->reset();
  b.sim.settle();
  CHECK(sink.trace == "answer 200\nbody abc\nclosed reset truncated\n");
}

TEST_CASE("validate") {
  ClientBench b;
  CHECK(b.host.session->validate(Borrow::surely));
  b.pair.peer->fin();  // on its way
  CHECK(b.host.session->validate(Borrow::quick));  // idle for a moment only: trusted
  CHECK(!b.host.session->validate(Borrow::surely));
  CHECK(b.host.session->slots() == 0);
  b.sim.settle();
  CHECK(b.host.ended);
  CHECK(b.host.cause == CloseCause::peer_closed);
  ClientBench bytes;
  bytes.sim.run_for(base::Millis{http::trusted_idle.count / 1000});
  bytes.pair.peer->send("x");  // on its way too
  CHECK(bytes.host.session->validate(Borrow::quick));
  ClientBench later;
  later.sim.run_for(base::Millis{http::trusted_idle.count / 1000 + 1});
  later.pair.peer->send("x");
  CHECK(!later.host.session->validate(Borrow::quick));
  later.sim.settle();
  CHECK(later.host.cause == CloseCause::extra_bytes);
}

TEST_CASE("retire_when_idle and abort") {
  SUBCASE("idle") {
    ClientBench b;
    b.host.session->retire_when_idle(CloseCause::max_lifetime);
    CHECK(!b.host.ended);
    CHECK(b.host.session->slots() == 0);
    b.sim.settle();
    CHECK(b.host.cause == CloseCause::max_lifetime);
    CHECK(b.pair.peer->got_fin());
  }
  SUBCASE("busy") {
    ClientBench b;
    ProbeSink sink(b.contract);
    REQUIRE(b.ask(sink));
    b.host.session->retire_when_idle(CloseCause::health);
    b.answer(ok);
    CHECK(sink.why.clean());
    CHECK(b.host.cause == CloseCause::health);
  }
  SUBCASE("abort") {
    ClientBench b;
    ProbeSink sink(b.contract);
    REQUIRE(b.ask(sink));
    b.host.session->abort(CloseCause::drain);
    CHECK(!sink.closed);
    b.sim.settle();
    CHECK(sink.trace == "closed reset\n");
    CHECK(b.host.cause == CloseCause::drain);
    CHECK(b.pair.peer->got_reset());
  }
  CHECK(http1::client_streams_live() == 0);
}

TEST_CASE("cancel ends the connection, and a cut request does not look whole") {
  ClientBench b;
  ProbeSink sink(b.contract);
  Request request("POST");
  REQUIRE(send(b, sink, request.head, http::End::no));
  sink.send_body("abc", http::End::no);
  b.sim.settle();
  sink.cancel({});
  b.sim.settle();
  CHECK(b.pair.peer->take().ends_with("3\r\nabc\r\n"));
  CHECK(b.pair.peer->got_reset());
  CHECK(b.host.cause == CloseCause::early_answer);
  CHECK(sink.trace == "cancel\n");
  CHECK(b.contract.text() == "");
}

TEST_CASE("row 31: an answer that ends before its request ends the connection") {
  ClientBench b;
  ProbeSink sink(b.contract);
  Request request("POST", 10);
  REQUIRE(send(b, sink, request.head, http::End::no));
  sink.send_body("abc", http::End::no);
  b.sim.settle();
  SUBCASE("it begins early and the upload goes on") {
    b.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    sink.send_body("defghij", http::End::yes);
    b.sim.settle();
    b.answer("k");
    CHECK(sink.why.clean());
    CHECK(b.host.session->slots() == 1);
  }
  SUBCASE("it ends early") {
    b.answer(ok);
    CHECK(sink.trace == "answer 200 length=2\nbody ok\nend\nclosed clean\n");
    CHECK(b.host.cause == CloseCause::early_answer);
    CHECK(b.pair.peer->got_reset());
  }
  SUBCASE("its sink cancels at the end") {
    sink.when_ended = [](ProbeSink& s) { s.cancel({}); };
    b.answer(ok);
    CHECK(b.host.cause == CloseCause::early_answer);
  }
  CHECK(b.contract.text() == "");
}

TEST_CASE("an answer is read only while there is credit") {
  ClientBench b;
  ProbeSink sink(b.contract);
  sink.hold = true;
  b.pair.peer->tear(support::tear_every(16 * 1024));
  REQUIRE(b.ask(sink));
  b.answer("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + std::string(300'000, 'x'));
  CHECK(sink.body.size() == 64 * 1024);
  CHECK(b.pair.wire->in_flight(support::Wire::From::b) > 200'000);
  sink.hold = false;
  sink.consume(64 * 1024);
  b.sim.settle();
  CHECK(sink.body.size() == 300'000);
  CHECK(sink.closed);
  CHECK(b.host.session->slots() == 1);
}

TEST_CASE("a body goes out as the origin takes it, and on_sent tells") {
  ClientBench b;
  ProbeSink sink(b.contract);
  b.pair.peer->window(1000);
  b.pair.peer->hold();
  Request request("POST", 200'000);
  REQUIRE(send(b, sink, request.head, http::End::no));
  sink.send_body(std::string(200'000, 'x'), http::End::yes);
  b.sim.settle();
  CHECK(sink.sent <= 64 * 1024);
  b.pair.peer->resume();
  b.sim.settle();
  CHECK(sink.sent == 200'000);
  CHECK(b.pair.peer->take().ends_with("xxx"));
}

TEST_CASE("Keep-Alive: timeout=N, less one second") {
  const auto told = [](const std::string& line) {
    ClientBench b;
    ProbeSink sink(b.contract);
    REQUIRE(b.ask(sink));
    b.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + line + "\r\n");
    return b.host.session->peer_idle_timeout().count;
  };
  CHECK(told("") == -1);
  CHECK(told("Keep-Alive: timeout=5\r\n") == 4000);
  CHECK(told("Keep-Alive: max=3, Timeout=1\r\n") == 0);
  CHECK(told("Keep-Alive: timeout=0\r\n") == 0);
  CHECK(told("Keep-Alive: timeout=x, max\r\n") == -1);
  CHECK(told("Keep-Alive: timeout=99999999999999\r\n") == 86'399'000);
}

TEST_CASE("a tunnel") {
  ClientBench b;
  ProbeSink sink(b.contract);
  REQUIRE(b.ask(sink, "GET", "websocket"));
  CHECK(b.pair.peer->take() == "GET / HTTP/1.1\r\nhost: origin\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
  CHECK(!b.host.session->in_tunnel());
  b.answer(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: "
      "x\r\n\r\nhello");
  CHECK(sink.trace == "answer 101 upgrade=websocket [Sec-WebSocket-Accept: x]\nbody hello");
  CHECK(b.host.session->in_tunnel());
  CHECK(b.host.slots_told == 1);
  CHECK(b.host.session->slots() == 0);
  sink.send_body("up", http::End::no);
  b.sim.settle();
  CHECK(b.pair.peer->take() == "up");
  SUBCASE("the origin ends first") {
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(sink.ended);
    CHECK(!sink.closed);
    sink.send_body("last", http::End::yes);
    b.sim.settle();
    CHECK(b.pair.peer->take() == "last");
  }
  SUBCASE("the client ends first") {
    sink.send_body("", http::End::yes);
    b.sim.settle();
    CHECK(b.pair.peer->got_fin());
    b.answer(" more");
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(sink.body == "hello more");
  }
  SUBCASE("reset") {
    b.pair.peer->reset();
    b.sim.settle();
    CHECK(sink.trace.ends_with("closed reset truncated\n"));
  }
  CHECK(sink.closed);
  CHECK(b.host.ended);
  CHECK(b.contract.text() == "");
}

TEST_CASE("limits of an answer's head, at the limit and one above (row 28)") {
  const auto fields = [](size_t count) {
    std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
    for (size_t i = 1; i < count; ++i) text += "X: 1\r\n";
    return text + "\r\n";
  };
  const auto bytes = [](size_t n) {
    return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + std::string(n - 16, 'x') + "\r\n\r\n";
  };
  const auto line = [](size_t n) {
    return "HTTP/1.1 200 " + std::string(n - 13, 'x') + "\r\nContent-Length: 0\r\n\r\n";
  };
  const std::pair<std::string, bool> rows[] = {
      {fields(100), true},           {fields(101), false},    {bytes(64 * 1024), true},
      {bytes(64 * 1024 + 1), false}, {line(16 * 1024), true}, {line(16 * 1024 + 1), false},
  };
  for (const auto& [text, good] : rows) {
    for (const size_t piece : {size_t{1} << 20, size_t{1000}}) {
      ClientBench b;
      b.pair.peer->tear(support::tear_every(piece));
      ProbeSink sink(b.contract);
      REQUIRE(b.ask(sink));
      b.answer(text);
      CHECK(sink.why ==
            (good ? http::Failure{}
                  : http::Failure{http::Kind::bad_response, http::Where::upstream, http::Detail::head_size, false}));
    }
  }
}
