// The server column of the table of ends (lib/http/README.md), a case a row, and how a connection leaves.
#include "bench.h"
#include "wire.h"

#include <cstring>

#include <doctest/doctest.h>

using namespace sluice;
using http::End;
using http2::end_headers;
using http2::end_stream;
using http2::Lines;
using http2::Peer;
using http2::ServerBench;
using http2::Wire;
using support::ProbeSink;

namespace {

struct Bench : ServerBench {
  explicit Bench(const http::DownstreamOptions& o = {}, const Peer::Options& p = {})
      : ServerBench(o), client(Peer::Role::client, *pair.peer, p) {
    host.prepare = nullptr;
    client.flush();
    sim.settle();
  }
  ~Bench() {
    CHECK(contract.text() == "");
    CHECK(client.broken == "");
  }
  Peer client;
};

struct Raw : ServerBench {
  explicit Raw(const http::DownstreamOptions& o = {}) : ServerBench(o), wire(*pair.peer) {
    host.prepare = nullptr;
    send(http2::client_preface);
  }
  ~Raw() { CHECK(contract.text() == ""); }
  void send(const std::string& bytes) {
    wire.send(bytes);
    sim.settle();
  }
  Wire wire;
};

Lines post_lines() {
  Lines lines = http2::get_lines();
  lines[0].second = "POST";
  return lines;
}

void begin_answer(ProbeSink& sink, std::string_view body = "", uint16_t status = 200) {
  http::Head head(sink.stream->arena());
  head.status = status;
  sink.send_head(head, End::no);
  if (!body.empty()) sink.send_body(body, End::no);
}

constexpr http::Failure upstream_reset{http::Kind::reset, http::Where::upstream, http::Detail::truncated, false};

}  // namespace

TEST_CASE("an answer whole before its request: it is heard, then RST_STREAM NO_ERROR; clean at once") {
  Bench b;
  b.host.prepare = [](ProbeSink& s) { s.when_head = [](ProbeSink& h) { h.answer(200, "early"); }; };
  const int32_t id = b.client.begin(post_lines());
  b.sim.settle();
  CHECK(b.client.seen(id).body == "early");
  CHECK(b.client.seen(id).ended);
  CHECK(b.client.seen(id).reset);
  CHECK(b.client.seen(id).reset_code == NGHTTP2_NO_ERROR);
  CHECK(b.sink().trace == "request POST http://example.com /\nclosed clean\n");
  CHECK(b.client.goaways.empty());
}

TEST_CASE("what was on its way then does not hurt") {
  Raw b;
  b.host.prepare = [](ProbeSink& s) { s.when_head = [](ProbeSink& h) { h.answer(200, "early"); }; };
  b.send(http2::head_frame(1, post_lines(), end_headers));
  for (int i = 0; i < 10; ++i) b.send(http2::data_frame(1, std::string(1000, 'x')));
  b.send(http2::data_frame(1, "x", end_stream) + http2::window_frame(1, 10) + http2::reset_frame(1));
  b.send(http2::head_frame(3, http2::get_lines()));
  CHECK(b.wire.stream(1) == "[:status: 200][content-length: 5] early END RST 0");
  CHECK(b.wire.goaway() == "");
  CHECK(b.host.sinks.size() == 2);
}

TEST_CASE("a client that resets its stream") {
  Bench b;
  const int32_t one = b.client.get("/1");
  const int32_t two = b.client.begin(post_lines());
  b.sim.settle();
  begin_answer(b.sink(1), "part");
  b.sim.settle();
  b.client.reset(one);
  b.client.reset(two);
  b.sim.settle();
  CHECK(b.sink(0).trace == "request GET http://example.com /1\nend\nclosed client_closed\n");
  CHECK(b.sink(1).trace == "request POST http://example.com /\nclosed client_closed\n");
  CHECK(b.host.session->open_streams() == 0);
}

TEST_CASE("FIN and RST end what is open, within a request and after it") {
  for (const bool fin : {true, false}) {
    Bench b;
    b.client.get("/1");
    b.client.begin(post_lines());
    b.sim.settle();
    fin ? b.pair.peer->fin() : b.pair.peer->reset();
    b.sim.settle();
    CHECK(b.sink(0).trace.ends_with("closed client_closed\n"));
    CHECK(b.sink(1).trace.ends_with("closed client_closed\n"));
    CHECK(b.host.ended);
    CHECK(b.host.cause == (fin ? http::CloseCause::peer_closed : http::CloseCause::peer_reset));
  }
}

TEST_CASE("cancel before the head tells why; within the answer it is INTERNAL_ERROR, never a clean end") {
  struct Case {
    http::Failure why;
    uint32_t code;
  };
  using http::Kind;
  for (const Case& c : {Case{upstream_reset, NGHTTP2_INTERNAL_ERROR},
                        Case{{Kind::timeout, http::Where::upstream, {}, false}, NGHTTP2_INTERNAL_ERROR},
                        Case{{Kind::shutdown, http::Where::proxy, {}, true}, NGHTTP2_REFUSED_STREAM},
                        Case{{Kind::shutdown, http::Where::proxy, {}, false}, NGHTTP2_INTERNAL_ERROR},
                        Case{{Kind::bad_request, http::Where::downstream, {}, false}, NGHTTP2_PROTOCOL_ERROR}}) {
    Bench b;
    const int32_t id = b.client.get();
    b.sim.settle();
    b.sink().cancel(c.why);
    b.sim.settle();
    CHECK(b.client.seen(id).reset_code == c.code);
    CHECK(b.client.seen(id).heads == "");
    CHECK(b.sink().trace.ends_with("end\ncancel\n"));
  }
  Bench b;
  const int32_t id = b.client.get();
  b.sim.settle();
  begin_answer(b.sink(), "half of it");
  b.sim.settle();
  b.sink().cancel(upstream_reset);
  b.sim.settle();
  CHECK(b.client.seen(id).body == "half of it");
  CHECK_FALSE(b.client.seen(id).ended);
  CHECK(b.client.seen(id).reset_code == NGHTTP2_INTERNAL_ERROR);
}

TEST_CASE("cancel after the whole answer: it goes out") {
  Bench b;
  const int32_t whole = b.client.get();
  const int32_t owing = b.client.begin(post_lines());
  b.sim.settle();
  for (size_t i : {size_t{0}, size_t{1}}) {
    b.sink(i).answer(200, "all");
    b.sink(i).cancel({});
  }
  b.sim.settle();
  CHECK(b.client.seen(whole).body == "all");
  CHECK(b.client.seen(whole).ended);
  CHECK_FALSE(b.client.seen(whole).reset);
  CHECK(b.client.seen(owing).ended);
  CHECK(b.client.seen(owing).reset_code == NGHTTP2_NO_ERROR);
}

TEST_CASE("an extended CONNECT: bytes both ways, half-closes pass, clean after both ends") {
  Bench b;
  b.host.prepare = [](ProbeSink& s) {
    s.when_head = [](ProbeSink& h) {
      http::Head head(h.stream->arena());
      head.status = 101;
      head.upgrade = h.head->upgrade;
      h.send_head(head, End::no);
    };
  };
  Lines lines = {
      {":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
  const int32_t id = b.client.begin(lines);
  b.client.more(id, "hello");
  b.sim.settle();
  CHECK(b.client.seen(id).heads == "[:status: 200]");
  b.sink().send_body("welcome", End::no);
  b.client.end(id);
  b.sim.settle();
  CHECK(b.client.seen(id).body == "welcome");
  CHECK_FALSE(b.client.seen(id).ended);
  b.sink().send_body("!", End::yes);
  b.sim.settle();
  CHECK(b.client.seen(id).ended);
  CHECK_FALSE(b.client.seen(id).reset);
  CHECK(b.sink().trace == "request GET http://a / upgrade=websocket\nbody hello\nend\nclosed clean\n");
}

TEST_CASE(
    "an extended CONNECT: nothing is told before it is agreed to; a refusal ends it, and the connection goes on") {
  Bench b;
  Lines lines = {
      {":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
  const int32_t id = b.client.begin(lines);
  b.client.more(id, "GET /smuggled HTTP/1.1\r\n\r\n");
  b.sim.settle();
  CHECK(b.sink().trace == "request GET http://a / upgrade=websocket\n");
  b.sink().answer(200, "no such thing");            // a 2xx of an origin that did not switch
  b.sim.settle();
  CHECK(b.client.seen(id).heads == "[:status: 501]");
  CHECK(b.client.seen(id).ended);
  CHECK(b.sink().trace.ends_with("closed clean\n"));
  b.client.get("/2");
  b.sim.settle();
  CHECK(b.host.sinks.size() == 2);
}

TEST_CASE("1xx, and trailers both ways") {
  Bench b;
  b.host.prepare = [](ProbeSink& s) {
    s.when_ended = [](ProbeSink& r) {
      http::Head hints(r.stream->arena());
      hints.status = 103;
      hints.fields.add("link", "x");
      r.send_head(hints, End::no);
      begin_answer(r, "body");
      http::Fields trailers(r.stream->arena());
      trailers.add("grpc-status", "0");
      r.stream->send_trailers(trailers);
    };
  };
  const std::string body = "abc";
  const int32_t id = b.client.ask(post_lines(), &body, {{"t", "1"}});
  b.sim.settle();
  CHECK(b.sink().trace == "request POST http://example.com /\nbody abc\ntrailers [t: 1]\nend\nclosed clean\n");
  CHECK(b.client.seen(id).heads == "[:status: 103][link: x]\n[:status: 200]\n[grpc-status: 0]");
  CHECK(b.client.seen(id).body == "body");
  CHECK(b.client.seen(id).ended);
}

TEST_CASE("100 goes only to a client that waits for it") {
  for (const bool waits : {true, false}) {
    Bench b;
    Lines lines = post_lines();
    if (waits) lines.emplace_back("expect", "100-continue");
    const int32_t id = b.client.begin(lines);
    b.sim.settle();
    http::Head head(b.sink().stream->arena());
    head.status = 100;
    b.sink().send_head(head, End::no);
    b.sim.settle();
    CHECK(b.client.seen(id).heads == (waits ? "[:status: 100]" : ""));
  }
}

TEST_CASE("answers without a body, whatever is given") {
  Bench b;
  Lines head = http2::get_lines();
  head[0].second = "HEAD";
  const int32_t id = b.client.ask(head);
  const int32_t none = b.client.get("/204");
  const int32_t same = b.client.get("/304");
  b.sim.settle();
  b.sink(0).answer(200, "12345");
  b.sink(1).answer(204, "12345");
  b.sink(2).answer(304, "12345");
  b.sim.settle();
  CHECK(b.client.seen(id).heads == "[:status: 200][content-length: 5]");
  CHECK(b.client.seen(none).heads == "[:status: 204]");
  CHECK(b.client.seen(same).heads == "[:status: 304][content-length: 5]");
  for (const int32_t i : {id, none, same}) {
    CHECK(b.client.seen(i).ended);
    CHECK(b.client.seen(i).body == "");
  }
}

TEST_CASE("drain, idle: a notice and a PING, then the GOAWAY, then the end") {
  Raw b;
  b.host.prepare = http2::answer_ok;
  b.send(http2::head_frame(1, http2::get_lines()));
  b.host.session->drain(http::CloseCause::drain);
  b.sim.settle();
  CHECK(b.wire.connection().ends_with("GOAWAY 2147483647, 0 PING"));
  b.sim.run_for(base::millis(1001));
  CHECK(b.wire.connection().ends_with("GOAWAY 2147483647, 0 PING GOAWAY 1, 0"));
  CHECK(b.pair.peer->got_fin());
  b.pair.peer->fin();
  b.sim.settle();
  CHECK(b.host.ended);
  CHECK(b.host.cause == http::CloseCause::drain);
}

TEST_CASE("drain, busy: a request sent before the notice was seen is served; no stream is lost") {
  Raw b;
  b.send(http2::frame(4, http2::ack, 0, "") + http2::head_frame(1, http2::get_lines("/1")));
  b.host.session->drain(http::CloseCause::drain);
  b.sim.settle();
  CHECK(b.wire.goaway() == "2147483647, 0");
  b.send(http2::head_frame(3, http2::get_lines("/3")));              // had not seen it
  CHECK(b.host.sinks.size() == 2);
  uint64_t opaque = 0x736c75696365;
  std::string payload(sizeof opaque, '\0');
  std::memcpy(payload.data(), &opaque, sizeof opaque);
  b.send(http2::frame(6, http2::ack, 0, payload));
  CHECK(b.wire.goaway() == "3, 0");
  b.send(http2::head_frame(5, http2::get_lines("/5")));              // that one is the client's to repeat
  CHECK(b.host.sinks.size() == 2);
  b.sink(1).answer(200, "3");
  b.sink(0).answer(200, "1");
  b.sim.settle();
  CHECK(b.wire.stream(1) == "[:status: 200][content-length: 1] 1 END");
  CHECK(b.wire.stream(3).ends_with("3 END"));
  CHECK(b.wire.stream(5) == "");
  CHECK(b.pair.peer->got_fin());
  for (const auto& s : b.host.sinks) CHECK(s->trace.ends_with("closed clean\n"));
}

TEST_CASE("drain: a client that answers no PING goes after the grace, open streams finish first") {
  Raw b;
  b.send(http2::head_frame(1, http2::get_lines("/1")));
  b.host.session->drain(http::CloseCause::drain);
  b.sim.run_for(base::seconds(5));
  CHECK(b.wire.goaway() == "2147483647, 0");
  CHECK_FALSE(b.host.ended);
  b.sink().answer(200, "1");
  b.sim.run_for(base::seconds(3));
  CHECK(b.wire.stream(1).ends_with("1 END"));
  CHECK(b.wire.goaway() == "1, 0");
  CHECK(b.host.ended);
}

TEST_CASE("abort: open streams are reset and look cut, the connection ends at once") {
  Bench b;
  const int32_t one = b.client.get("/1");
  const int32_t two = b.client.get("/2");
  b.sim.settle();
  begin_answer(b.sink(1), "half");
  b.sim.settle();
  b.host.session->abort({http::Kind::shutdown, http::Where::proxy, http::Detail::none, false}, http::CloseCause::drain);
  b.sim.settle();
  CHECK(b.client.seen(one).reset_code == NGHTTP2_INTERNAL_ERROR);
  CHECK(b.client.seen(two).reset_code == NGHTTP2_INTERNAL_ERROR);
  CHECK_FALSE(b.client.seen(two).ended);
  CHECK_FALSE(b.client.goaways.empty());
  CHECK(b.host.ended);
  for (const auto& s : b.host.sinks) CHECK(s->trace.ends_with("closed drain\n"));
}

TEST_CASE("max_requests: at the limit a GOAWAY, the requests before it are served") {
  http::DownstreamOptions o;
  o.max_requests = 3;
  Raw b(o);
  b.host.prepare = http2::answer_ok;
  b.send(http2::head_frame(1, http2::get_lines()) + http2::head_frame(3, http2::get_lines()));
  CHECK(b.wire.goaway() == "");
  b.send(http2::head_frame(5, http2::get_lines()));
  CHECK(b.wire.stream(5).ends_with("ok END"));
  CHECK(b.wire.goaway() == "2147483647, 0");
  b.sim.run_for(base::seconds(3));
  CHECK(b.wire.goaway() == "5, 0");
  CHECK(b.host.ended);
  CHECK(b.host.cause == http::CloseCause::max_requests);
}

TEST_CASE("idle_timeout by GOAWAY, counted from the last answer") {
  Bench b;
  b.sim.run_for(base::seconds(5));
  b.client.get();
  b.sim.settle();
  b.sim.run_for(base::seconds(200));                 // it is not idle: we owe the answer
  b.sink().answer(200, "ok");
  b.sim.run_for(base::seconds(74));
  CHECK(b.client.goaways.empty());
  b.sim.run_for(base::seconds(2));
  REQUIRE_FALSE(b.client.goaways.empty());
  CHECK(b.client.goaways.back() == std::pair<int32_t, uint32_t>{1, 0});
  b.sim.run_for(base::seconds(2));
  CHECK(b.host.ended);
  CHECK(b.host.cause == http::CloseCause::idle_timeout);
}

TEST_CASE("a client that says nothing, or only its preface") {
  ServerBench silent;
  silent.sim.run_for(base::seconds(13));
  CHECK(silent.host.ended);
  Raw preface;
  preface.sim.run_for(base::seconds(70));
  CHECK_FALSE(preface.host.ended);
  preface.sim.run_for(base::seconds(10));
  CHECK(preface.host.ended);
}
