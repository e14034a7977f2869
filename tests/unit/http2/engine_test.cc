// What a review of the engine found: order, bounds and ends that no peer of good faith shows.
#include "http2/engine.h"

#include <string>

#include "bench.h"
#include "wire.h"

#include <doctest/doctest.h>

using namespace sluice;
using http::End;
using http2::end_headers;
using http2::end_stream;
using http2::Lines;
using support::ProbeSink;

namespace {

std::string greeting() { return http2::client_preface + http2::frame(4, http2::ack, 0, ""); }

struct Server : http2::ServerBench {
  explicit Server(const http::DownstreamOptions& o = {}) : ServerBench(o) {}
  ~Server() { CHECK(contract.text() == ""); }
  void send(const std::string& bytes) {
    wire.send(bytes);
    sim.settle();
  }
  std::string code() const { return wire.goaway().substr(wire.goaway().find(' ') + 1); }
  http2::Wire wire{*pair.peer};
};

struct Client : http2::ClientBench {
  explicit Client(const std::string& settings = http2::settings_frame()) {
    sim.settle();
    send(settings);
  }
  ~Client() {
    for (auto& s : sinks) {
      if (s->stream != nullptr) s->cancel({});
    }
    CHECK(contract.text() == "");
  }
  void send(const std::string& bytes) {
    wire.send(bytes);
    sim.settle();
  }
  ProbeSink& post(const std::string& body) {
    sinks.push_back(std::make_unique<ProbeSink>(contract));
    REQUIRE(ask(*sinks.back(), "POST", End::no));
    sinks.back()->send_body(body, End::yes);
    return *sinks.back();
  }
  http2::Wire wire{*pair.peer};
  std::vector<std::unique_ptr<ProbeSink>> sinks;
};

std::string get(uint32_t id) { return http2::head_frame(id, http2::get_lines()); }

}  // namespace

TEST_CASE("an answer that had not left when the connection broke is not told as whole") {
  Server s;
  s.host.prepare = [](ProbeSink& sink) {
    sink.when_head = [](ProbeSink& p) {
      http::Head head(p.stream->arena());
      head.status = 204;
      p.send_head(head, End::yes);
    };
  };
  s.send(greeting());
  s.send(get(1) + get(2));                             // in one piece; 2 is not a client's
  CHECK(s.wire.goaway() == "1, 1");
  CHECK(s.wire.stream(1) == "");
  CHECK(s.sink().trace.find("clean") == std::string::npos);
  CHECK(s.sink().closed);
}

TEST_CASE("a request that had not left when its connection broke may be sent again") {
  Client c;
  c.wire.send(http2::window_frame(0, 0));
  ProbeSink& one = c.post("hello");
  c.sim.settle();
  CHECK(one.trace == "closed bad_response frame untouched\n");
  CHECK(c.wire.stream(1) == "");
}

TEST_CASE("one upload does not keep the connection's window from the others") {
  Client c(http2::settings_frame({{4, 10'000'000}}));
  c.post(std::string(300'000, 'x'));
  c.sim.settle();
  CHECK(c.wire.data_bytes() == 65'535);
  c.post("small");
  c.sim.settle();
  CHECK(c.wire.stream(3).find("small") == std::string::npos);
  c.send(http2::window_frame(0, 40'000));
  CHECK(c.wire.stream(3).find("small") != std::string::npos);
}

TEST_CASE("heads that are not read are bounded in bytes") {
  Server s;
  std::string large(30'000, 'v');
  s.host.prepare = [&](ProbeSink& sink) { sink.when_ended = [&](ProbeSink& p) { p.answer(200, "", {{"x", large}}); }; };
  s.send(greeting());
  s.pair.peer->window(1000);
  s.pair.peer->hold();
  uint32_t next = 1;
  size_t worst = 0;
  for (int round = 0; round < 60 && !s.host.ended; ++round) {
    std::string opens;
    std::string resets;
    for (int i = 0; i < 100; ++i, next += 2) {
      opens += get(next);
      resets += http2::reset_frame(next);
    }
    s.send(opens);
    s.sim.run_for(base::millis(1001));                 // later than an early cancel
    s.send(resets);
    worst = std::max(worst, net::Chunk::live() * net::Chunk::usual_bytes);
  }
  CHECK(s.host.ended);                                 // nothing more was taken, and nothing left
  CHECK(s.host.sinks.size() <= 500);
  CHECK(worst < 16 * 1024 * 1024);
}

TEST_CASE("an idle_timeout shorter than the time to rest is kept") {
  http::DownstreamOptions o;
  o.idle_timeout = base::millis(100);
  Server s(o);
  s.send(greeting() + get(1));
  s.sim.run_for(base::millis(98));
  CHECK(s.wire.goaway() == "");
  s.sim.run_for(base::millis(3));
  CHECK(s.wire.goaway() == "1, 0");
}

TEST_CASE("heads that are passed over cost as those that are not") {
  const auto leaving = [](Server& s) {                  // a stream is open, and the last GOAWAY is out
    s.host.prepare = [](ProbeSink& sink) { sink.hold = true; };
    s.send(greeting() + get(1));
    s.host.session->drain(http::CloseCause::drain);
    s.sim.run_for(base::millis(10));
    s.send(http2::frame(6, http2::ack, 0, std::string("\x65\x63\x69\x75\x6c\x73\0\0", 8)));
    REQUIRE(s.wire.goaway() == "1, 0");
  };
  Server bomb;
  leaving(bomb);
  const std::string entry = "\x40\x01x" + std::string("\x7f\xa1\x1e", 3) + std::string(4000, 'v');
  bomb.send(http2::frame(1, end_headers | end_stream, 3, entry + std::string(10'000, '\xbe')));
  CHECK(bomb.code() == "11");
  CHECK(bomb.host.protocol_errors == std::vector{http::Detail::hpack});
  Server many;
  leaving(many);
  uint32_t id = 3;
  for (; many.host.protocol_errors.empty() && id < 1000; id += 2) many.send(get(id));
  CHECK(id == 3 + 2 * 201);
  CHECK(many.host.protocol_errors == std::vector{http::Detail::own_reset_flood});
}

TEST_CASE("PRIORITY_UPDATE: of stream 0, to a client; the last of several before the stream counts") {
  Server zero;
  zero.send(greeting() + http2::update_frame(0, "u=1"));
  CHECK(zero.code() == "1");
  Client c;
  c.post("hello");
  c.send(http2::update_frame(1, "u=1"));
  CHECK(c.wire.goaway() == "0, 1");

  Server s;
  s.host.prepare = [](ProbeSink& sink) {
    sink.when_ended = [](ProbeSink& p) { p.answer(200, std::string(30'000, 'x')); };
  };
  std::string updates;
  for (uint32_t other = 101; other < 101 + 2 * 7; other += 2) updates += http2::update_frame(other, "u=1");
  updates += http2::update_frame(9, "u=7") + http2::update_frame(9, "u=0");
  s.send(greeting() + http2::settings_frame({{4, 30'000}}) + updates);
  s.send(get(7) + get(9));
  CHECK(s.wire.stream(9).find("END") != std::string::npos);
}

TEST_CASE("SETTINGS of as many entries as are taken, and of one more") {
  for (const uint32_t more : {0U, 1U}) {
    std::string payload;
    for (uint32_t i = 0; i < http2::Engine::settings_entries_max + more; ++i)
      payload += std::string("\0\x04\0\0\x10\0", 6);
    Server s;
    s.send(greeting() + http2::frame(4, 0, 0, payload) + get(1));
    CHECK(s.wire.goaway() == (more == 0 ? "" : "0, 11"));
    CHECK(s.host.sinks.size() == 1 - more);
  }
}

TEST_CASE("answers to PINGs that wait are bounded: as many as are taken in one turn, and one more") {
  for (const size_t more : {size_t{0}, size_t{1}}) {
    Client c;
    std::string pings;
    for (size_t i = 0; i < http2::Engine::queued_answers_max + more; ++i) pings += http2::ping_frame();
    c.send(pings);
    CHECK(c.wire.goaway() == (more == 0 ? "" : "0, 11"));
  }
}

TEST_CASE("a new size of our table goes with the answer to the SETTINGS that allow it, not before") {
  Server s;
  s.send(http2::client_preface + http2::settings_frame({{1, 0}}));
  s.wire.table(0);
  s.send(get(1));
  const std::string settings = http2::settings_frame({{1, 4096}, {3, 100}});
  s.send(settings.substr(0, settings.size() - 3));     // its first entry is whole
  CHECK(s.wire.stream(1).starts_with("[:status: 200]"));
  s.send(settings.substr(settings.size() - 3));
  s.wire.table(4096);
  s.send(get(3));
  CHECK(s.wire.stream(3).starts_with("[:status: 200]"));
}

TEST_CASE("a tunnel has no trailers (RFC 9113 8.5)") {
  Server s;
  s.host.prepare = [](ProbeSink& sink) {
    sink.when_head = [](ProbeSink& p) {
      http::Head head(p.stream->arena());
      head.status = 101;
      head.upgrade = p.head->upgrade;
      p.send_head(head, End::no);
    };
  };
  const Lines lines = {
      {":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
  s.send(greeting() + http2::head_frame(1, lines, end_headers));
  s.send(http2::head_frame(1, {{"x", "y"}}, end_headers | end_stream));
  CHECK(s.wire.stream(1).ends_with("RST 1"));
  CHECK(s.sink().closed);
  CHECK(s.wire.goaway() == "");
}
