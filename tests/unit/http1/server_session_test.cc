// The server session on a wire: keep-alive, pipelining, framing of answers, early answers, tunnels, ends.
#include "http1/server_session.h"

#include "bench.h"

#include <doctest/doctest.h>

using namespace sluice;
using http1::ServerBench;
using support::ProbeSink;

namespace {

const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const std::string ok_close = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const std::string upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";

std::string post(size_t length) {
  return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
}

void send_head(ProbeSink& s, uint16_t status, std::optional<uint64_t> length, http::End end) {
  http::Head head(s.stream->arena());
  head.status = status;
  head.content_length = length;
  s.send_head(head, end);
}

}  // namespace

TEST_CASE("a request and its answer, and the connection stays") {
  ServerBench b;
  CHECK(b.exchange("GET /a?b HTTP/1.1\r\nHost: x:80\r\nUser-Agent: t\r\n\r\n") == ok);
  CHECK(b.host.trace() == "request GET http://x:80 /a?b [User-Agent: t]\nend\nclosed clean\n");
  CHECK(b.exchange(get) == ok);
  CHECK(b.host.session->open_streams() == 0);
  CHECK(!b.host.ended);
  CHECK(b.contract.text() == "");
  CHECK(b.sink(1).sent == 2);
}

TEST_CASE("pipelined requests are answered in order, one at a time") {
  ServerBench b;
  b.host.prepare = nullptr;
  b.pair.peer->send(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 "
      "HTTP/1.1\r\nHost: a\r\n\r\n");
  b.sim.settle();
  REQUIRE(b.host.sinks.size() == 1);
  b.sink(0).answer(200, "1");
  b.sim.settle();
  REQUIRE(b.host.sinks.size() == 2);
  CHECK(b.sink(1).body == "abc");
  CHECK(b.host.session->open_streams() == 1);
  b.sink(1).answer(200, "22");
  b.sim.settle();
  REQUIRE(b.host.sinks.size() == 3);
  b.sink(2).answer(200, "333");
  b.sim.settle();
  CHECK(b.output() ==
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n22"
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n333");
  CHECK(!b.host.ended);
  CHECK(b.contract.text() == "");
}

TEST_CASE("a thousand pipelined requests and a FIN") {
  ServerBench b;
  std::string all, answers;
  for (int i = 0; i < 1000; ++i) all += get, answers += ok;
  b.pair.peer->send(all);
  b.pair.peer->fin();
  b.sim.settle();
  CHECK(b.output() == answers);
  CHECK(b.pair.peer->got_fin());
  CHECK(b.host.ended);
  CHECK(b.host.cause == http::CloseCause::peer_closed);
  CHECK(b.contract.text() == "");
}

TEST_CASE("when the connection ends, and what the answer says of it") {
  struct Row {
    std::string request, answer;
    bool ended;
    http::CloseCause cause;
  };
  const Row rows[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ok_close, true, http::CloseCause::peer_asked},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close\r\n\r\n", ok_close, true,
       http::CloseCause::peer_asked},
      {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", ok_close, true, http::CloseCause::peer_asked},
      {"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok",
       false,
       {}},
      {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", ok_close, true, http::CloseCause::peer_asked},
  };
  for (const Row& r : rows) {
    CAPTURE(r.request);
    ServerBench b;
    CHECK(b.exchange(r.request) == r.answer);
    CHECK(b.host.ended == r.ended);
    CHECK(b.pair.peer->got_fin() == r.ended);
    if (r.ended) CHECK(b.host.cause == r.cause);
  }
}

TEST_CASE("nothing is read after Connection: close (row 18)") {
  ServerBench b;
  CHECK(b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + get) == ok_close);
  CHECK(b.host.sinks.size() == 1);
  CHECK(b.pair.peer->got_fin());
  CHECK(!b.pair.peer->got_reset());
}

TEST_CASE("max_requests") {
  http::DownstreamOptions o;
  o.max_requests = 2;
  ServerBench b(o);
  CHECK(b.exchange(get) == ok);
  CHECK(b.exchange(get) == ok_close);
  CHECK(b.pair.peer->got_fin());
  b.pair.peer->fin();
  b.sim.settle();
  CHECK(b.host.ended);
  CHECK(b.host.cause == http::CloseCause::max_requests);
}

TEST_CASE("framing of answers") {
  struct Row {
    std::string method, version;
    uint16_t status;
    std::optional<uint64_t> length;
    std::string body;
    std::string wire;
  };
  const Row rows[] = {
      {"GET", "1.1", 200, {}, "abc", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
      {"GET", "1.1", 200, 3, "abc", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"},
      {"GET", "1.1", 200, {}, "", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"},
      {"GET", "1.0", 200, {}, "abc", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"},
      {"HEAD", "1.1", 200, 3, "", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"},
      {"HEAD", "1.1", 200, {}, "abc", "HTTP/1.1 200 OK\r\n\r\n"},
      {"HEAD", "1.1", 200, 3, "abc", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"},
      {"GET", "1.1", 204, {}, "", "HTTP/1.1 204 No Content\r\n\r\n"},
      {"GET", "1.1", 204, 0, "", "HTTP/1.1 204 No Content\r\n\r\n"},
      {"GET", "1.1", 304, 7, "", "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"},
      {"GET", "1.1", 599, {}, "", "HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n"},
  };
  for (const Row& r : rows) {
    CAPTURE(r.wire);
    ServerBench b;
    b.host.prepare = [&](ProbeSink& sink) {
      sink.when_head = [&](ProbeSink& s) {
        send_head(s, r.status, r.length, r.body.empty() ? http::End::yes : http::End::no);
        if (!r.body.empty()) s.send_body(r.body, http::End::yes);
      };
    };
    CHECK(b.exchange(r.method + " / HTTP/" + r.version + "\r\nHost: a\r\n\r\n") == r.wire);
    CHECK(b.contract.text() == "");
  }
}

TEST_CASE("trailers of an answer") {
  for (const std::string version : {"1.1", "1.0"}) {
    ServerBench b;
    b.host.prepare = [&](ProbeSink& sink) {
      sink.when_head = [&](ProbeSink& s) {
        send_head(s, 200, {}, http::End::no);
        s.send_body("abc", http::End::no);
        http::Fields trailers(s.stream->arena());
        trailers.add("X-Sum", "1");
        s.send_trailers(trailers);
      };
    };
    const std::string wire = b.exchange("GET / HTTP/" + version + "\r\nHost: a\r\n\r\n");
    CHECK(wire == (version == "1.1"
                       ? "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
                       : "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"));
    CHECK(b.sink().sent == 3);
  }
}

TEST_CASE("informational heads: not to 1.0, 100 only to those who wait (row 29)") {
  const auto all = [](ProbeSink& sink) {
    sink.when_head = [](ProbeSink& s) {
      http::Head head(s.stream->arena());
      head.status = 100;
      s.send_head(head, http::End::no);
      head.status = 103;
      head.fields.add("link", "x");
      s.send_head(head, http::End::no);
    };
    sink.when_ended = [](ProbeSink& s) { s.answer(200, ""); };
  };
  const std::string end = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n";
  const std::string hint = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
  ServerBench plain;
  plain.host.prepare = all;
  CHECK(plain.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n") == hint + end + "\r\n");
  ServerBench old;
  old.host.prepare = all;
  CHECK(old.exchange("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx") ==
        end + "connection: close\r\n\r\n");
  ServerBench waits;
  waits.host.prepare = all;
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
  CHECK(waits.exchange(head) == "HTTP/1.1 100 Continue\r\n\r\n" + hint);
  CHECK(waits.exchange("x") == end + "\r\n");
}

TEST_CASE(
    "a final answer to a client that waits for 100 ends the connection: its next bytes could be either (row 19)") {
  ServerBench b;
  b.host.prepare = [](ProbeSink& sink) { sink.when_head = [](ProbeSink& s) { s.answer(417, "no"); }; };
  CHECK(b.exchange("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n") ==
        "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
  CHECK(b.exchange(get) == "");
  CHECK(b.host.sinks.size() == 1);
}

TEST_CASE("limits of a head, at the limit and one above (row 21)") {
  const auto line = [](size_t n) { return "GET /" + std::string(n - 14, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n"; };
  const auto fields = [](size_t count) {
    std::string text = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (size_t i = 1; i < count; ++i) text += "X: " + std::to_string(i) + "\r\n";
    return text + "\r\n";
  };
  const auto bytes = [](size_t n) { return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(n - 6, 'x') + "\r\n\r\n"; };
  const auto two = [](size_t n) {
    return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'x') + "\r\nY: " + std::string(n - 40'007, 'y') +
           "\r\n\r\n";
  };
  const auto blanks = [](size_t n) { return "GET / HTTP/1.1\r\nHost: a\r\nX:" + std::string(n, ' ') + "\r\n\r\n"; };
  struct Row {
    std::string name, bytes, trace;
  };
  const Row rows[] = {
      {"line at", line(16 * 1024), "request GET"},
      {"line above", line(16 * 1024 + 1), "malformed uri_too_long line_size"},
      {"count at", fields(100), "request GET"},
      {"count above", fields(101), "malformed headers_too_large field_count"},
      {"bytes at", bytes(64 * 1024), "request GET"},
      {"bytes above", bytes(64 * 1024 + 1), "malformed headers_too_large field_size"},
      {"two at", two(64 * 1024), "request GET"},
      {"two above", two(64 * 1024 + 1), "malformed headers_too_large field_size"},
      {"blanks", blanks(60 * 1024), "request GET"},
      {"blanks without end", blanks(80 * 1024), "malformed headers_too_large field_size"},
      {"no line end", "GET /" + std::string(20'000, 'x'), "malformed uri_too_long line_size"},
      {"no field end", "GET / HTTP/1.1\r\nX: " + std::string(70'000, 'x'), "malformed headers_too_large field_size"},
  };
  for (const Row& r : rows) {
    CAPTURE(r.name);
    for (const size_t piece : {size_t{1} << 20, size_t{1000}, size_t{16'384}, size_t{16'386}}) {
      CAPTURE(piece);
      ServerBench b;
      b.pair.peer->tear(support::tear_every(piece));
      const std::string wire = b.exchange(r.bytes);
      CHECK(b.host.trace().starts_with(r.trace));
      CHECK(wire.starts_with(r.trace.starts_with("request")             ? "HTTP/1.1 200"
                             : r.trace.find("uri") != std::string::npos ? "HTTP/1.1 414"
                                                                        : "HTTP/1.1 431"));
      CHECK(b.contract.text() == "");
    }
  }
}

TEST_CASE("more names in Connection than sense are too many") {
  const auto with = [](int n) {
    std::string names = "x";
    for (int i = 1; i < n; ++i) names += ",x";
    return "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + names + "\r\n\r\n";
  };
  ServerBench at;
  CHECK(at.exchange(with(64)) == ok);
  ServerBench above;
  above.exchange(with(65));
  CHECK(above.host.trace().starts_with("malformed headers_too_large field_count"));
}

TEST_CASE("chunk extensions and trailers, at their limits and one above (rows 4, 5)") {
  const auto chunked = [](const std::string& body) {
    return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
  };
  const auto extension = [](size_t n) { return "1;" + std::string(n - 1, 'e') + "\r\nx\r\n"; };
  const auto many = [&](size_t n) {
    std::string body;
    for (; n > 4096; n -= 4096) body += extension(4096);
    return body + extension(n) + "0\r\n\r\n";
  };
  const auto trailers = [](size_t count, size_t bytes) {
    std::string body = "0\r\n";
    for (size_t i = 0; i < count; ++i) body += "T: " + std::string(i == 0 ? bytes : 0, 't') + "\r\n";
    return body + "\r\n";
  };
  struct Row {
    std::string bytes, ends_with;
  };
  // The head has used two fields and 5 + 24 bytes of the limits.
  const Row rows[] = {
      {chunked(extension(4096) + "0\r\n\r\n"), "closed clean\n"},
      {chunked(extension(4097) + "0\r\n\r\n"), "malformed bad_request chunk untouched\nclosed clean\n"},
      {chunked(many(16 * 1024)), "closed clean\n"},
      {chunked(many(16 * 1024 + 1)), "malformed bad_request chunk untouched\nclosed clean\n"},
      {chunked(trailers(98, 0)), "closed clean\n"},
      {chunked(trailers(99, 0)), "malformed headers_too_large field_count untouched\nclosed clean\n"},
      {chunked(trailers(1, 65536 - 5 - 24 - 1)), "closed clean\n"},
      {chunked(trailers(1, 65536 - 5 - 24)), "malformed headers_too_large field_size untouched\nclosed clean\n"},
  };
  for (const Row& r : rows) {
    CAPTURE(r.ends_with);
    for (const size_t piece : {size_t{1} << 20, size_t{1000}}) {
      ServerBench b;
      b.pair.peer->tear(support::tear_every(piece));
      b.exchange(r.bytes);
      CHECK(b.host.trace().ends_with(r.ends_with));
      if (r.ends_with.find("malformed") == std::string::npos)
        CHECK(b.host.trace().find("malformed") == std::string::npos);
    }
  }
}

TEST_CASE("underscores by option (row 10)") {
  for (const auto option :
       {http::UnderscoreHeaders::drop, http::UnderscoreHeaders::reject, http::UnderscoreHeaders::pass}) {
    http::DownstreamOptions o;
    o.limits.underscore_headers = option;
    ServerBench b(o);
    b.exchange("GET / HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\n\r\n");
    switch (option) {
      case http::UnderscoreHeaders::drop: CHECK(b.host.trace() == "request GET http://a /\nend\nclosed clean\n"); break;
      case http::UnderscoreHeaders::reject:
        CHECK(b.host.trace() == "malformed bad_request underscore untouched\nclosed clean\n");
        break;
      case http::UnderscoreHeaders::pass:
        CHECK(b.host.trace() == "request GET http://a / [X_Y: 1]\nend\nclosed clean\n");
        break;
    }
  }
}

// RFC 9110 6.6.1. What the upstream dated goes on as it is; 1xx have none.
TEST_CASE("every final answer has one Date") {
  const std::string kept = "\r\nkeep-alive: timeout=74\r\n\r\n";
  const std::string ours = "\r\ndate: Tue, 14 Nov 2023 23:13:20 GMT\r\n";
  const auto answer = [](ServerBench& b, std::string_view request) {
    b.pair.peer->send(request);
    b.sim.settle();
    return b.pair.peer->take();
  };
  ServerBench b;
  CHECK(answer(b, get) == "HTTP/1.1 200 OK" + ours + "content-length: 2" + kept + "ok");
  b.sim.run_for(base::Millis{1000});
  CHECK(answer(b, get).find("\r\ndate: Tue, 14 Nov 2023 23:13:21 GMT\r\n") != std::string::npos);
  ServerBench dated;
  dated.host.prepare = [](ProbeSink& s) {
    s.when_ended = [](ProbeSink& p) { p.answer(204, "", {{"DATE", "yesterday"}}); };
  };
  CHECK(answer(dated, get) == "HTTP/1.1 204 No Content\r\nDATE: yesterday" + kept);
  ServerBench hints;
  hints.host.prepare = [](ProbeSink& s) {
    s.when_ended = [](ProbeSink& p) {
      http::Head hint(p.stream->arena());
      hint.status = 103;
      p.send_head(hint, http::End::no);
      p.answer(304, "");
    };
  };
  CHECK(answer(hints, get) ==
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 304 Not Modified" + ours + "content-length: 0" + kept);
  ServerBench bad;
  CHECK(answer(bad, "\x01").starts_with("HTTP/1.1 400 Bad Request" + ours));
  ServerBench old;
  CHECK(answer(old, "GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 OK" + ours));
}

TEST_CASE("a 426 tells a client of HTTP/1.1 what to upgrade to (RFC 9110 15.5.22)") {
  ServerBench b;
  b.host.prepare = [](ProbeSink& s) {
    s.when_ended = [](ProbeSink& p) {
      http::Head head(p.stream->arena());
      head.status = 426;
      head.upgrade = "TLS/1.3, foo";
      p.send_head(head, http::End::yes);
    };
  };
  const std::string line = "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n";
  CHECK(b.exchange(get) == line + "connection: Upgrade\r\nupgrade: TLS/1.3, foo\r\n\r\n");
  CHECK(b.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") == line + "connection: keep-alive\r\n\r\n");
  CHECK(b.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") ==
        line + "connection: close\r\nconnection: Upgrade\r\nupgrade: TLS/1.3, foo\r\n\r\n");
}

TEST_CASE("the scheme is the listener's") {
  ServerBench b({}, http::Scheme::https);
  b.exchange("GET https://b/ HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(b.host.trace() == "request GET https://b /\nend\nclosed clean\n");
  b.exchange("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n");   // row 64: as a proxy in front was asked
  CHECK(b.host.trace() == "request GET https://b /\nend\nclosed clean\nrequest GET https://b /\nend\nclosed clean\n");
}

TEST_CASE("a body is read only while there is credit") {
  ServerBench b;
  b.host.prepare = [](ProbeSink& s) { s.hold = true; };
  constexpr size_t size = 300'000;
  b.exchange(post(size) + std::string(size, 'x'));
  ProbeSink& s = b.sink();
  CHECK(s.body.size() == 64 * 1024);
  CHECK_FALSE(s.stream->credit_open());
  s.consume(1);
  b.sim.settle();
  CHECK(s.body.size() == 64 * 1024);         // small gifts wait until they are worth a read
  s.consume(64 * 1024 - 1);
  b.sim.settle();
  CHECK(s.body.size() == 128 * 1024);
  s.hold = false;
  s.consume(s.unconsumed);
  b.sim.settle();
  CHECK(s.body.size() == size);
  CHECK(s.ended);
  s.answer(200, "");
  b.sim.settle();
  CHECK(!b.host.ended);
  CHECK(b.contract.text() == "");
}

TEST_CASE("one-byte chunks pin no more memory than they are worth") {
  ServerBench b;
  b.host.prepare = [](ProbeSink& s) { s.hold = true; };
  std::string body;
  for (int i = 0; i < 50'000; ++i) body += "1\r\nx\r\n";
  b.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "0\r\n\r\n");
  CHECK(b.sink().body.size() == 50'000);
  CHECK(b.sink().ended);
  b.sink().answer(200, "");
  b.sim.settle();
}

TEST_CASE("small pieces of an answer that wait do not pin the chunks they came in") {
  ServerBench b;
  b.host.prepare = nullptr;
  b.pair.peer->window(1000);
  b.pair.peer->hold();
  b.exchange(get);
  send_head(b.sink(), 200, {}, http::End::no);
  b.sink().send_body(std::string(80'000, 'x'), http::End::no);
  b.sim.settle();
  const size_t before = net::Chunk::live();
  for (int i = 0; i < 1000; ++i) {
    net::Chunk* const chunk = net::Chunk::make();
    chunk->data()[0] = 'y';
    chunk->grow_used(1);
    net::ByteQueue one;
    one.append(net::Slice(chunk, 0, 1));
    chunk->unref();
    b.contract.down([&] { b.sink().stream->send_body(std::move(one), http::End::no); });
    b.sim.settle();
  }
  CHECK(net::Chunk::live() - before <= 4);
  b.pair.peer->resume();
  b.sim.settle();
  CHECK(b.sink().sent == 81'000);
  b.sink().send_body("", http::End::yes);
  CHECK(b.exchange("").ends_with("0\r\n\r\n"));
}

TEST_CASE("row 31: an answer that is complete before its request") {
  const auto early = [](ProbeSink& sink) { sink.when_head = [](ProbeSink& s) { s.answer(413, "no"); }; };
  SUBCASE("the little rest is dropped, the connection stays") {
    ServerBench b;
    b.host.prepare = early;
    CHECK(b.exchange(post(64 * 1024)).ends_with("no"));
    CHECK(b.sink().trace.ends_with("closed clean\n"));
    CHECK(b.host.session->open_streams() == 0);
    b.host.prepare = http1::answer_ok;
    CHECK(b.exchange(std::string(64 * 1024, 'x') + get) == ok);
    CHECK(b.host.sinks.size() == 2);
  }
  SUBCASE("a long rest is known to be long") {
    ServerBench b;
    b.host.prepare = early;
    b.exchange(post(64 * 1024 + 1));
    CHECK(b.pair.peer->got_fin());
  }
  SUBCASE("a chunked rest, within the limit") {
    ServerBench b;
    b.host.prepare = early;
    b.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    b.host.prepare = http1::answer_ok;
    CHECK(b.exchange("ffff\r\n" + std::string(0xffff, 'x') + "\r\n0\r\n\r\n" + get) == ok);
  }
  SUBCASE("a chunked rest above it") {
    ServerBench b;
    b.host.prepare = early;
    b.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    CHECK(!b.pair.peer->got_fin());
    b.exchange("10001\r\n" + std::string(0x10001, 'x') + "\r\n0\r\n\r\n" + get);
    CHECK(b.host.sinks.size() == 1);
    CHECK(b.pair.peer->got_fin());
  }
  SUBCASE("a broken rest") {
    ServerBench b;
    b.host.prepare = early;
    b.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    b.exchange("nonsense");
    CHECK(b.host.protocol_errors == std::vector{http::Detail::chunk});
    CHECK(b.pair.peer->got_fin());
  }
  SUBCASE("an answer that begins early lets the request go on") {
    ServerBench b;
    b.host.prepare = [](ProbeSink& sink) {
      sink.when_head = [](ProbeSink& s) { send_head(s, 200, {}, http::End::no); };
      sink.when_body = [](ProbeSink& s) { s.send_body("echo", http::End::no); };
      sink.when_ended = [](ProbeSink& s) { s.send_body("", http::End::yes); };
    };
    b.exchange(post(100'000) + std::string(50'000, 'x'));
    const std::string rest = b.exchange(std::string(50'000, 'x'));
    CHECK(rest.ends_with("0\r\n\r\n"));
    CHECK(b.sink().body.size() == 100'000);
    CHECK(!b.host.ended);
  }
}

TEST_CASE("a tunnel: nothing before the 101, then raw bytes, half-closes pass") {
  ServerBench b;
  b.host.prepare = nullptr;
  b.exchange(upgrade + "early");
  ProbeSink& s = b.sink();
  CHECK(s.trace == "request GET http://a / upgrade=websocket\n");
  http::Head head(s.stream->arena());
  head.status = 101;
  head.upgrade = "websocket";
  head.fields.add("sec-websocket-accept", "x");
  s.send_head(head, http::End::no);
  CHECK(b.exchange("") ==
        "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\nconnection: Upgrade\r\nupgrade: "
        "websocket\r\n\r\n");
  CHECK(s.body == "early");
  b.exchange(" more");
  s.send_body("down", http::End::no);
  CHECK(b.exchange("") == "down");
  SUBCASE("the client ends first") {
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(s.ended);
    CHECK(s.body == "early more");
    s.send_body("last", http::End::yes);
    CHECK(b.exchange("") == "last");
  }
  SUBCASE("the upstream ends first") {
    s.send_body("last", http::End::yes);
    CHECK(b.exchange("") == "last");
    CHECK(b.pair.peer->got_fin());
    CHECK(!s.closed);
    b.exchange(" end");
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(s.body == "early more end");
  }
  SUBCASE("cancel") {
    s.cancel({http::Kind::reset, http::Where::upstream});
    b.sim.settle();
    CHECK(b.pair.peer->got_reset());
    CHECK(b.host.cause == http::CloseCause::upstream_failed);
  }
  if (s.closed) CHECK(b.host.cause == http::CloseCause::tunnel_end);
  CHECK(b.host.ended);
  CHECK(b.contract.text() == "");
}

TEST_CASE("a refused upgrade leaves a usable connection; what came early is the next request") {
  ServerBench b;
  b.host.prepare = [](ProbeSink& sink) {
    http1::answer_ok(sink);
    sink.when_head = [](ProbeSink& s) {
      if (!s.head->upgrade.empty()) s.answer(403, "no");
    };
  };
  CHECK(b.exchange(upgrade + get) == "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno" + ok);
  CHECK(b.sink(0).trace.ends_with("upgrade=websocket\nclosed clean\n"));
  CHECK(!b.host.ended);
}

TEST_CASE("a client that half-closes gets its answer") {
  ServerBench b;
  b.host.prepare = nullptr;
  b.pair.peer->send(get);
  b.pair.peer->fin();
  b.sim.settle();
  REQUIRE(!b.host.ended);
  b.sink().answer(200, "ok");
  b.sim.settle();
  CHECK(b.output() == ok);
  CHECK(b.pair.peer->got_fin());
  CHECK(!b.pair.peer->got_reset());
  CHECK(b.host.cause == http::CloseCause::peer_closed);
}

TEST_CASE("a FIN in the middle is answered") {
  for (const std::string part :
       {"G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"}) {
    ServerBench b;
    b.pair.peer->send(part);
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(b.host.trace() == "malformed bad_request eof untouched\nclosed clean\n");
    CHECK(b.output().starts_with("HTTP/1.1 400"));
    CHECK(b.host.ended);
  }
  ServerBench body;
  body.pair.peer->send(post(5) + "abc");
  body.pair.peer->fin();
  body.sim.settle();
  CHECK(body.host.trace() ==
        "request POST http://a / length=5\nbody abc\nmalformed bad_request eof untouched\nclosed clean\n");
  CHECK(body.host.ended);
  ServerBench nothing;
  nothing.pair.peer->send("\r\n");
  nothing.sim.settle();
  nothing.pair.peer->fin();
  nothing.sim.settle();
  CHECK(nothing.host.sinks.empty());
  CHECK(nothing.host.cause == http::CloseCause::peer_closed);
}

TEST_CASE("a reset tells the sink") {
  ServerBench b;
  b.host.prepare = nullptr;
  b.exchange(get);
  b.pair.peer->reset();
  b.sim.settle();
  CHECK(b.sink().trace.ends_with("closed client_closed\n"));
  CHECK(b.host.cause == http::CloseCause::peer_reset);
  CHECK(b.contract.text() == "");
}

TEST_CASE("cancel never lets a cut answer look complete") {
  const http::Failure why{http::Kind::reset, http::Where::upstream};
  SUBCASE("before the head") {
    ServerBench b;
    b.host.prepare = nullptr;
    b.exchange(get);
    b.sink().cancel(why);
    b.sim.settle();
    CHECK(b.output() == "");
    CHECK(b.pair.peer->got_reset());
  }
  SUBCASE("within a chunked body") {
    ServerBench b;
    b.host.prepare = nullptr;
    b.exchange(get);
    send_head(b.sink(), 200, {}, http::End::no);
    b.sink().send_body("abc", http::End::no);
    CHECK(b.exchange("").ends_with("3\r\nabc\r\n"));
    b.sink().cancel(why);
    b.sim.settle();
    CHECK(b.output() == "");
    CHECK(b.pair.peer->got_reset());
    CHECK(b.host.cause == http::CloseCause::upstream_failed);
  }
  SUBCASE("after a complete answer it only ends the connection") {
    ServerBench b;
    b.host.prepare = [](ProbeSink& sink) {
      sink.when_head = [](ProbeSink& s) {
        s.answer(200, "ok");
        s.cancel({});
      };
    };
    CHECK(b.exchange(get) == ok);
    CHECK(b.pair.peer->got_fin());
    CHECK(!b.pair.peer->got_reset());
  }
  SUBCASE("in the middle of an upload, from within on_body") {
    ServerBench b;
    b.host.prepare = [](ProbeSink& sink) { sink.when_body = [](ProbeSink& s) { s.cancel({}); }; };
    b.exchange("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n" +
               get);
    CHECK(b.pair.peer->got_reset());
    CHECK(b.contract.text() == "");
    CHECK(b.host.sinks.size() == 1);
  }
}

TEST_CASE("drain") {
  SUBCASE("idle: closes now") {
    ServerBench b;
    b.exchange(get);
    b.host.session->drain(http::CloseCause::drain);
    CHECK(!b.host.ended);                    // a downcall: the end is told at the loop
    b.sim.settle();
    CHECK(b.pair.peer->got_fin());
    CHECK(b.host.cause == http::CloseCause::drain);
  }
  SUBCASE("before the answer: it carries Connection: close") {
    ServerBench b;
    b.host.prepare = nullptr;
    b.exchange(get);
    b.host.session->drain(http::CloseCause::reload);
    b.sink().answer(200, "ok");
    CHECK(b.exchange("") == ok_close);
    b.pair.peer->fin();
    b.sim.settle();
    CHECK(b.host.cause == http::CloseCause::reload);
  }
  SUBCASE("within the answer: it ends whole, then the connection") {
    ServerBench b;
    b.host.prepare = nullptr;
    b.exchange(get);
    send_head(b.sink(), 200, 4, http::End::no);
    b.sink().send_body("ab", http::End::no);
    b.exchange("");
    b.host.session->drain(http::CloseCause::drain);
    b.sink().send_body("cd", http::End::yes);
    CHECK(b.exchange("") == "cd");
    CHECK(b.pair.peer->got_fin());
    CHECK(!b.pair.peer->got_reset());
  }
  SUBCASE("within a head: the request is served") {
    ServerBench b;
    b.exchange("GET / HTTP/1.1\r\n");
    b.host.session->drain(http::CloseCause::drain);
    CHECK(b.exchange("Host: a\r\n\r\n") == ok_close);
  }
}

TEST_CASE("abort") {
  ServerBench b;
  b.host.prepare = nullptr;
  b.exchange(get);
  send_head(b.sink(), 200, 4, http::End::no);
  b.sink().send_body("ab", http::End::no);
  b.exchange("");
  b.host.session->abort({http::Kind::shutdown, http::Where::proxy}, http::CloseCause::drain);
  CHECK(!b.sink().closed);
  b.sim.settle();
  CHECK(b.pair.peer->got_reset());
  CHECK(b.sink().trace.ends_with("closed drain\n"));
  CHECK(b.host.cause == http::CloseCause::drain);
  CHECK(b.contract.text() == "");
}

TEST_CASE("after a bad request: the answer, then FIN, and no reset for what still comes") {
  ServerBench b;
  b.exchange("GET / HTTP/1.1\r\n\r\n");
  CHECK(b.pair.peer->got_fin());
  b.exchange(std::string(60'000, 'x'));
  CHECK(!b.pair.peer->got_reset());
  CHECK(!b.host.ended);
  SUBCASE("the client closes") {
    b.pair.peer->fin();
    b.sim.settle();
  }
  SUBCASE("the client stays") { b.sim.run_for(base::seconds(11)); }
  SUBCASE("the client goes on") {
    b.exchange(std::string(60'000, 'x'));
    b.sim.run_for(base::millis(1100));
  }
  CHECK(b.host.ended);
  CHECK(b.host.cause == http::CloseCause::protocol_error);
  CHECK(b.contract.text() == "");
}

TEST_CASE("an idle connection is small, and leases nothing") {
  CHECK(http1::idle_server_bytes() <= 256);
  ServerBench b;
  b.exchange(get);
  CHECK(http1::server_sessions_live() == 1);
  CHECK(http1::server_streams_live() == 0);
  b.exchange("G");
  CHECK(http1::server_streams_live() == 1);
}
