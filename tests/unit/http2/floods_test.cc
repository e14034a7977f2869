// Floods against a whole server session: the offender gets its GOAWAY and is gone, what it cost is bounded, and what a
// busy peer does in good faith is no flood (threats.md rows 33 to 37).
#include "bench.h"
#include "http2/flood_guard.h"
#include "http2/memory.h"
#include "net/chunk.h"
#include "wire.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::end_headers;
using http2::end_stream;
using http2::FloodGuard;
using http2::Lines;
using http2::ServerBench;
using http2::Wire;

namespace {

constexpr size_t memory_max = 16 * 1024 * 1024;

constexpr size_t stream_bytes = 2048;  // more than sizeof(ServerStream)

struct Flood : ServerBench {
  explicit Flood(const http::DownstreamOptions& o = {}, const std::string& first = http2::frame(4, http2::ack, 0, ""))
      : ServerBench(o), before(held()) {
    host.prepare = nullptr;  // nothing is ever answered
    wire.send(http2::client_preface + first);
    sim.settle();
  }
  ~Flood() {
    CHECK(contract.text() == "");
    CHECK(worst < memory_max);
  }
  void send(const std::string& frames) {
    wire.send(frames);
    sim.settle();
    worst = std::max(worst, held() - std::min(held(), before));
  }
  // Sends `make(i)` until the peer is gone; how many were sent by then, `most` if it never is.
  uint32_t until_goaway(const std::function<std::string(uint32_t)>& make, uint32_t most) {
    for (uint32_t i = 0; i < most; ++i) {
      send(make(i));
      if (!wire.goaway().empty() || host.ended) return i + 1;
    }
    return most;
  }
  // What this thread's sessions hold: chunks, blocks of HPACK and tables, and streams with their arenas.
  size_t held() const {
    size_t n = net::Chunk::live() * net::Chunk::usual_bytes + http2::Memory::live_bytes() +
               http2::server_streams_live() * stream_bytes;
    for (const auto& sink : host.sinks) {
      if (sink->stream != nullptr) n += sink->stream->arena().bytes_held();
    }
    return n;
  }
  std::string detail() const {
    return host.protocol_errors.empty() ? "" : std::string(http::detail_word(host.protocol_errors.front()));
  }
  std::string code() const { return wire.goaway().substr(wire.goaway().find(' ') + 1); }

  size_t before;
  size_t worst = 0;
  Wire wire{*pair.peer};
};

const std::string calm = "11";
uint32_t id_of(uint32_t i) { return 2 * i + 1; }
std::string get(uint32_t i) { return http2::head_frame(id_of(i), http2::get_lines()); }
Lines post_lines() {
  Lines lines = http2::get_lines();
  lines[0].second = "POST";
  return lines;
}
std::string post(uint32_t i) { return http2::head_frame(id_of(i), post_lines(), end_headers); }

}  // namespace

TEST_CASE("rapid reset: 200 early cancels, and one more") {
  Flood f;
  CHECK(f.until_goaway([](uint32_t i) { return get(i) + http2::reset_frame(id_of(i)); }, 1000) == 201);
  CHECK(f.code() == calm);
  CHECK(f.detail() == "reset_flood");
  for (const auto& sink : f.host.sinks) CHECK(sink->trace.ends_with("closed client_closed\n"));
}

TEST_CASE("rapid reset in one piece: no more requests at once than streams are allowed") {
  Flood f;
  uint32_t open = 0;
  uint32_t most = 0;
  f.host.prepare = [&](support::ProbeSink& sink) {
    most = std::max(most, ++open);
    sink.when_closed = [&](support::ProbeSink&) { --open; };
  };
  for (const uint32_t first : {0U, 1000U}) {
    std::string all;
    for (uint32_t i = first; i < first + 1000; ++i) all += get(i) + http2::reset_frame(id_of(i));
    f.send(all);
  }
  CHECK(most <= f.options.http2.max_streams);
  CHECK(f.host.sinks.size() <= f.options.http2.max_resets + 1);
  CHECK(f.code() == calm);
  CHECK(open == 0);
}

TEST_CASE("cancels of less than half of the requests, or after more than a second, are no flood") {
  ServerBench b;
  b.host.prepare = [n = 0](support::ProbeSink& sink) mutable {
    if (n++ % 2 == 0) http2::answer_ok(sink);
  };
  Wire wire(*b.pair.peer);
  wire.send(http2::client_preface);
  for (uint32_t i = 0; i < 2000; ++i) {
    wire.send(get(i) + (i % 2 == 1 ? http2::reset_frame(id_of(i)) : ""));
    b.sim.settle();
  }
  CHECK(wire.goaway() == "");
  Flood late;
  for (uint32_t round = 0; round < 10; ++round) {
    std::string opens;
    std::string cancels;
    for (uint32_t i = 0; i < 100; ++i) {
      opens += get(round * 100 + i);
      cancels += http2::reset_frame(id_of(round * 100 + i));
    }
    late.send(opens);
    late.sim.run_for(base::millis(1001));
    late.send(cancels);
  }
  CHECK(late.wire.goaway() == "");
}

TEST_CASE("requests at an upstream that are given up: 200, whatever stands beside them") {
  struct Way {
    const char* name;
    std::function<void(support::ProbeSink&)> at_head;
    std::function<std::string(uint32_t)> frames;
    uint32_t most;
  };
  int n = 0;
  const auto hand_on = [](support::ProbeSink& s) { s.stream->forwarded(); };
  const auto timed = [](uint32_t i, const char* timeout) {
    Lines lines = post_lines();
    lines.emplace_back("content-type", "application/grpc");
    lines.emplace_back("grpc-timeout", timeout);
    return http2::head_frame(id_of(i), lines);
  };
  const Way ways[] = {
      {"two answers of ours beside each",
       [&n](support::ProbeSink& s) {
         if (n++ % 3 == 0)
           s.stream->forwarded();
         else
           s.answer(404, "none");
       },
       [](uint32_t i) { return get(3 * i) + get(3 * i + 1) + get(3 * i + 2) + http2::reset_frame(id_of(3 * i)); }, 201},
      {"a deadline that is far", hand_on, [&](uint32_t i) { return timed(i, "100m") + http2::reset_frame(id_of(i)); },
       201},
      {"a deadline of nothing", hand_on, [&](uint32_t i) { return timed(i, "1n") + http2::reset_frame(id_of(i)); },
       201},
      {"a deadline at which we end the call ourselves",
       [](support::ProbeSink& s) {
         s.stream->forwarded();
         s.stream->recalled();
         s.answer(200, "");
       },
       [&](uint32_t i) { return timed(i, "1m"); }, 201},
      {"an answer for each two",
       [&n](support::ProbeSink& s) {
         s.stream->forwarded();
         if (n++ % 2 == 0) s.answer(200, "ok");
       },
       [](uint32_t i) { return get(2 * i) + get(2 * i + 1) + http2::reset_frame(id_of(2 * i + 1)); }, 267},
  };
  for (const Way& way : ways) {
    CAPTURE(way.name);
    Flood f;
    n = 0;
    f.host.prepare = [&way](support::ProbeSink& s) { s.when_head = way.at_head; };
    CHECK(f.until_goaway(way.frames, 2000) == way.most);
    CHECK(f.code() == calm);
    CHECK(f.detail() == "reset_flood");
  }
}

TEST_CASE("MadeYouReset: our own resets are counted, or the connection ends at once, all six ways") {
  struct Way {
    const char* name;
    std::function<std::string(uint32_t)> make;
    bool at_once;
  };
  const Way ways[] = {
      {"WINDOW_UPDATE of 0", [](uint32_t i) { return get(i) + http2::window_frame(id_of(i), 0); }, true},
      {"WINDOW_UPDATE beyond 2^31", [](uint32_t i) { return get(i) + http2::window_frame(id_of(i), 0x7fffffff); },
       false},
      {"PRIORITY of a wrong length", [](uint32_t i) { return get(i) + http2::frame(2, 0, id_of(i), "abc"); }, true},
      {"PRIORITY on itself", [](uint32_t i) { return get(i) + http2::priority_frame(id_of(i), id_of(i)); }, true},
      {"DATA after END_STREAM", [](uint32_t i) { return get(i) + http2::data_frame(id_of(i), "x"); }, true},
      {"HEADERS after END_STREAM", [](uint32_t i) { return get(i) + http2::head_frame(id_of(i), {{"x", "y"}}); }, true},
      // And what only a proxy resets.
      {"a malformed request", [](uint32_t i) { return http2::head_frame(id_of(i), {{":method", "GET"}}); }, false},
      {"a body longer than it says",
       [](uint32_t i) {
         Lines lines = post_lines();
         lines.emplace_back("content-length", "1");
         return http2::head_frame(id_of(i), lines, end_headers) + http2::data_frame(id_of(i), "xy", end_stream);
       },
       false},
      {"a body beyond its window",
       [](uint32_t i) { return post(i) + http2::data_frame(id_of(i), std::string(1001, 'x')); }, false},
  };
  for (const Way& way : ways) {
    CAPTURE(way.name);
    http::DownstreamOptions o;
    o.http2.stream_window = 1000;
    Flood f(o);
    f.host.prepare = [](support::ProbeSink& s) {
      s.when_malformed = [](support::ProbeSink& m) { m.answer(400, "bad"); };
    };
    const uint32_t sent = f.until_goaway(way.make, 1000);
    if (way.at_once) {
      CHECK(sent == 1);
    } else {
      CHECK(sent == FloodGuard::own_resets_burst + 1);
      CHECK(f.code() == calm);
      CHECK(f.detail() == "own_reset_flood");
    }
    for (const auto& sink : f.host.sinks) CHECK(sink->closed);
  }
}

TEST_CASE("streams above max_streams are refused, and refusals are counted too") {
  for (const bool acknowledged : {false, true}) {  // our SETTINGS, which say how many
    Flood f({}, acknowledged ? http2::frame(4, http2::ack, 0, "") : "");
    const uint32_t allowed = f.options.http2.max_streams;
    for (uint32_t i = 0; i < allowed + 2; ++i) f.send(get(i));
    CHECK(f.host.sinks.size() == allowed);
    CHECK(f.wire.stream(id_of(allowed)) == "RST 7");
    CHECK(f.wire.stream(id_of(allowed - 1)) == "");
    CHECK(f.wire.goaway() == "");
    const uint32_t most = FloodGuard::own_resets_burst * (acknowledged ? 1 : 10);
    CHECK(f.until_goaway([&](uint32_t i) { return get(allowed + 2 + i); }, 3000) == most - 1);
    CHECK(f.code() == calm);
  }
}

TEST_CASE(
    "a page that is left and opened again: all streams cancelled and as many opened in one read, again and again") {
  Flood f;
  const uint32_t allowed = f.options.http2.max_streams;
  uint32_t next = 0;
  for (int round = 0; round < 12; ++round) {
    const uint32_t first = next;
    for (; next < first + allowed; ++next) f.send(get(next));
    CHECK(f.wire.stream(id_of(first)) == "");
    f.sim.run_for(base::millis(1'100));  // not at once, which is another budget's
    std::string both;
    for (uint32_t i = first; i < next; ++i) both += http2::reset_frame(id_of(i));
    for (uint32_t i = 0; i < allowed; ++i) both += get(next++);
    f.send(both);
    CHECK(f.wire.stream(id_of(next - 1)) == "RST 7");
    REQUIRE(f.wire.goaway() == "");
  }
}

TEST_CASE("what was on its way on a refused stream does not end the connection") {
  http::DownstreamOptions o;
  o.http2.max_streams = 1;
  Flood f(o);
  f.send(get(0) + http2::reset_frame(1) + post(1) +
         http2::data_frame(3, "abc"));  // in one piece: the first is not told yet
  CHECK(f.wire.stream(3) == "RST 7");
  f.send(http2::data_frame(3, "abc", end_stream));
  CHECK(f.wire.goaway() == "");
  f.send(get(2));
  CHECK(f.host.sinks.size() == 2);
}

TEST_CASE("CONTINUATION: eight, then the end; whatever they hold") {
  for (const bool whole : {true, false}) {
    Flood f;
    const std::string lines = http2::block(http2::get_lines());
    std::string frames = http2::frame(1, end_stream, 1, lines.substr(0, 5));
    for (uint32_t i = 0; i < 7; ++i) frames += http2::frame(9, 0, 1, "");
    if (whole) {
      f.send(frames + http2::frame(9, end_headers, 1, lines.substr(5)));
      CHECK(f.wire.goaway() == "");
      CHECK(f.host.sinks.size() == 1);
    } else {
      f.send(frames + http2::frame(9, 0, 1, "") + http2::frame(9, end_headers, 1, lines.substr(5)));
      CHECK(f.code() == calm);
      CHECK(f.detail() == "continuation_flood");
      CHECK(f.host.sinks.empty());
    }
  }
  Flood bytes;
  const std::string piece = http2::block({{"x", std::string(16'000, 'y')}});
  std::string frames = http2::frame(1, 0, 1, piece);
  for (int i = 0; i < 4; ++i) frames += http2::frame(9, 0, 1, piece);
  bytes.send(frames);
  CHECK(bytes.detail() == "continuation_flood");
}

TEST_CASE("an HPACK bomb ends the connection at four times the limit; less is answered 431") {
  // One entry of 4,000 bytes in the dynamic table, then a byte for each time it is named.
  for (const uint32_t times : {17U, 60U, 70U, 16'000U}) {
    CAPTURE(times);
    Flood f;
    f.host.prepare = [](support::ProbeSink& s) {
      s.when_malformed = [](support::ProbeSink& m) { m.answer(http::status_of(m.why.kind), "big"); };
    };
    std::string lines = http2::block(http2::get_lines());
    std::string entry = "\x40\x01x";
    entry += std::string("\x7f\xa1\x1e", 3) + std::string(4000, 'v');  // 127 + 0xf21 = 4000
    f.send(http2::frame(1, end_stream, 1, lines + entry) +
           http2::frame(9, end_headers, 1, std::string(std::min(times, 12'000U), '\xbe')));
    if (times * 4033 <= 4 * 65'536) {
      CHECK(f.wire.stream(1).starts_with("[:status: 431]"));
      CHECK(f.wire.goaway() == "");
    } else {
      CHECK(f.code() == calm);
      CHECK(f.detail() == "hpack");
      for (const auto& sink : f.host.sinks) CHECK(sink->closed);
    }
  }
}

TEST_CASE("a bomb on every stream, held open by a zero window, costs less than 16 MB") {
  http::DownstreamOptions o;
  Flood f(o);
  f.host.prepare = [](support::ProbeSink& s) { s.hold = true; };
  f.send(http2::settings_frame({{4, 0}}));
  for (uint32_t i = 0; i < o.http2.max_streams; ++i) {
    Lines lines = post_lines();
    for (int crumb = 0; crumb < 250; ++crumb) lines.emplace_back("cookie", "a=" + std::string(180, 'b'));
    const std::string text = http2::block(lines);
    std::string frames = http2::frame(1, 0, id_of(i), text.substr(0, 16'000));
    for (size_t at = 16'000; at < text.size(); at += 16'000) {
      frames += http2::frame(9, at + 16'000 >= text.size() ? end_headers : 0, id_of(i), text.substr(at, 16'000));
    }
    f.send(frames);
  }
  CHECK(f.host.sinks.size() == o.http2.max_streams);
}

TEST_CASE("control frames: 1000 at once are taken, a few more are not, of every kind") {
  struct Kind {
    const char* name;
    std::string frame;
    bool answered;
  };
  const Kind kinds[] = {
      {"PING", http2::ping_frame(), true},
      {"PING answers nobody asked for", http2::ping_frame(http2::ack), false},
      {"SETTINGS", http2::settings_frame(), true},
      {"SETTINGS that change windows", http2::settings_frame({{4, 1000}}), true},
      {"PRIORITY", http2::priority_frame(9), false},
      {"PRIORITY_UPDATE", http2::update_frame(9, "u=1"), false},
      {"WINDOW_UPDATE", http2::window_frame(0, 1), false},
      {"empty DATA", http2::data_frame(1, ""), false},
      {"DATA of padding only", http2::frame(0, 8, 1, std::string("\x0a", 1) + std::string(10, '\0')), false},
      {"an unknown kind", http2::frame(0xfb, 0, 0, "abc"), false},
      {"RST_STREAM of a closed stream", http2::reset_frame(3), false},
      {"the end of a request, on a stream that we have reset", http2::data_frame(5, "", end_stream), false},
      {"a byte on a stream that we have reset", http2::data_frame(5, "x"), false},
      {"WINDOW_UPDATE of a closed stream", http2::window_frame(3, 1), false},
  };
  for (const Kind& kind : kinds) {
    CAPTURE(kind.name);
    Flood f;
    f.send(post(0) + get(1) + http2::reset_frame(3) + post(2));
    f.host.sinks[2]->cancel({});
    const uint32_t sent = f.until_goaway([&](uint32_t) { return kind.frame; }, 2000);
    CHECK(sent > FloodGuard::control_burst - 10);
    CHECK(sent <= FloodGuard::control_burst + 10);
    CHECK(f.code() == calm);
    CHECK(f.detail() == "control_flood");
    CHECK(f.host.sinks[0]->trace.ends_with("closed bad_request control_flood\n"));
  }
}

TEST_CASE("a hundred control frames a second for ten minutes are no flood") {
  Flood f;
  f.send(post(0));
  for (int s = 0; s < 600; ++s) {
    std::string frames;
    for (int i = 0; i < 100; ++i) frames += http2::ping_frame();
    f.send(frames + http2::data_frame(1, std::string(5000, 'x')));
    f.host.sinks[0]->hold = false;
    f.sim.run_for(base::seconds(1));
  }
  CHECK(f.wire.goaway() == "");
}

TEST_CASE("replies that are not read are bounded") {
  for (const std::string& frame : {http2::ping_frame(), http2::settings_frame(), http2::head_frame(0, {})}) {
    http::DownstreamOptions o;
    Flood f(o);
    f.pair.peer->window(1000);
    f.pair.peer->hold();
    uint32_t at = 0;
    const bool streams = frame[3] == 1;  // malformed requests, each answered
    f.host.prepare = [](support::ProbeSink& s) {
      s.when_malformed = [](support::ProbeSink& m) { m.answer(400, std::string(3000, 'x')); };
    };
    for (int i = 0; i < 400 && !f.host.ended; ++i) {
      std::string frames;
      for (int j = 0; j < 50; ++j) frames += streams ? http2::head_frame(id_of(at++), {{":method", "GET"}}) : frame;
      f.send(frames);
      f.sim.run_for(base::millis(500));  // as fast as the budget allows
    }
    f.sim.run_for(base::seconds(60));
    CHECK(f.host.ended);
  }
}

TEST_CASE("a preface that is none, and frames before SETTINGS") {
  for (const std::string& text :
       {std::string("GET / HTTP/1.1\r\nHost: a\r\n\r\n") + std::string(50, 'x'),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"), std::string(http2::preface) + http2::ping_frame()}) {
    for (const size_t tear : {size_t{0}, size_t{1}, size_t{7}}) {
      ServerBench b;
      Wire wire(*b.pair.peer);
      if (tear != 0) b.pair.peer->tear(support::tear_every(tear));
      wire.send(text);
      b.sim.settle();
      CHECK(wire.goaway() == "0, 1");
      CHECK(wire.types().front() == 4);  // our SETTINGS come first all the same (RFC 9113 3.4)
      CHECK(b.host.sinks.empty());
      b.sim.run_for(base::seconds(2));
      CHECK(b.host.ended);
      CHECK(b.host.cause == http::CloseCause::protocol_error);
      CHECK(b.host.protocol_errors.size() == 1);
    }
  }
}
