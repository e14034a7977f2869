// The HTTP/2 server session against any frames, and any bytes. The first byte seeds the tearing, the second says how
// sinks behave and whether the rest is raw. Held: the contract of upcalls (on_closed once and last, nothing after
// cancel); what is accepted as a request is one (characters, length against DATA); what we write is frames; memory is
// bounded; everything ends and nothing is left.
#include <cstdint>
#include <string>

#include "../unit/http2/bench.h"
#include "base/check.h"
#include "http/validate.h"
#include "http2/memory.h"
#include "http2_frames.h"
#include "net/chunk.h"
#include "support/held.h"

using namespace sluice;

namespace {

enum class Mode : uint8_t { answer_at_end, answer_at_head, hold, cancel, tunnel, silent };
constexpr uint8_t modes = 6;
constexpr uint8_t raw_bit = 0x80;
constexpr size_t sent_max = 200'000;  // by the peer in one run, so that a run stays short
constexpr size_t memory_max = 16 * 1024 * 1024;
const std::string large(100'000, 'a');

void check_head(const http::Head& head) {
  CHECK(http::is_token(head.method_text));
  if (head.method != http::Method::connect) CHECK(http::is_origin_form(head.target) || head.target == "*");
  CHECK(http::is_authority(head.authority));
  for (const http::Field& f : head.fields) {
    CHECK(http::is_token(f.name()) && http::is_field_value(f.value()));
    for (const char c : f.name()) CHECK(c < 'A' || c > 'Z');
  }
}

void behave(support::ProbeSink& sink, Mode mode) {
  http2::answer_ok(sink);
  sink.when_head = [](support::ProbeSink& s) {
    check_head(*s.head);
    CHECK(s.stream->arena().bytes_held() <= support::held_max(http::HttpLimits{}.max_header_bytes));
    if (!s.head->upgrade.empty()) s.answer(403, "no");
  };
  sink.when_ended = [](support::ProbeSink& s) {
    if (s.head->content_length && s.head->upgrade.empty()) CHECK(s.body.size() == *s.head->content_length);
    s.answer(200, s.body.size() % 2 == 0 ? "ok" : large);
  };
  switch (mode) {
    case Mode::answer_at_end: break;
    case Mode::answer_at_head:
      sink.when_head = [](support::ProbeSink& s) { s.answer(200, large, {{"x", "y"}}); };
      sink.when_ended = nullptr;
      sink.when_malformed = [](support::ProbeSink& s) { s.cancel({}); };
      break;
    case Mode::hold: sink.hold = true; break;
    case Mode::cancel: sink.when_body = [](support::ProbeSink& s) { s.cancel({}); }; break;
    case Mode::tunnel:
      sink.when_head = [](support::ProbeSink& s) {
        if (s.head->upgrade.empty()) return;
        http::Head head(s.stream->arena());
        head.status = 101;
        head.upgrade = s.head->upgrade;
        s.send_head(head, http::End::no);
        s.when_ended = [](support::ProbeSink& t) { t.send_body("bye", http::End::yes); };
      };
      break;
    case Mode::silent:
      sink.when_head = [](support::ProbeSink& s) {
        http::Head head(s.stream->arena());
        head.status = 103;
        head.fields.add("link", "x");
        s.send_head(head, http::End::no);
      };
      sink.when_ended = nullptr;
      break;
  }
}

// What our side does of its own accord.
void act(http2::ServerBench& b, fuzz::Input& in) {
  const uint8_t what = in.byte();
  if (b.host.session == nullptr) return;
  if (what == 255) return b.host.session->drain(http::CloseCause::drain);
  if (what == 254)
    return b.host.session->abort({http::Kind::shutdown, http::Where::proxy, http::Detail::none, false},
                                 http::CloseCause::drain);
  if (b.host.sinks.empty()) return;
  support::ProbeSink& s = *b.host.sinks[b.host.sinks.size() - 1 - what % std::min<size_t>(b.host.sinks.size(), 8)];
  if (s.stream == nullptr) return;
  switch (in.below(3)) {
    case 0: return s.cancel({http::Kind::reset, http::Where::upstream, http::Detail::truncated, false});
    case 1:
      if (s.unconsumed != 0) s.consume(s.unconsumed / 2 + 1);
      return;
    default: return;
  }
}

size_t held(const http2::ServerBench& b) {
  size_t n = net::Chunk::live() * net::Chunk::usual_bytes + http2::Memory::live_bytes();
  for (const auto& sink : b.host.sinks) {
    if (sink->stream != nullptr) n += sink->stream->arena().bytes_held();
  }
  return n;
}

const std::vector<std::vector<fuzz::Line>> usual = {
    {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}},
    {{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/p?q"}, {"content-length", "5"}},
    {{":method", "POST"},
     {":scheme", "http"},
     {":authority", "a"},
     {":path", "/"},
     {"te", "trailers"},
     {"cookie", "a=b"},
     {"cookie", "c=d"}},
    {{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/w"}},
    {{":method", "CONNECT"}, {":authority", "a:1"}},
    {{":method", "PUT"},
     {":scheme", "http"},
     {":path", "/"},
     {"host", "a"},
     {"expect", "100-continue"},
     {"priority", "u=1, i"}},
};
const std::string long_value(9000, 'v');
const std::vector<fuzz::Line> odd = {
    {"x", "y"},
    {"X", "y"},
    {"", ""},
    {"a b", "c"},
    {"x", "a\r\nb: c"},
    {"x", " y"},
    {"x", long_value},
    {"cookie", "a"},
    {"content-length", "3"},
    {"content-length", "-1"},
    {"transfer-encoding", "chunked"},
    {"connection", "close"},
    {"te", "gzip"},
    {"host", "b"},
    {"upgrade", "h2c"},
    {":path", "/2"},
    {":status", "200"},
    {":x", "y"},
    {"a_b", "c"},
    {"priority", "u=9"},
    {"grpc-status", "0"},
    {"authorization", "x"},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  fuzz::Input in(data + 2, size - 2);
  const auto mode = static_cast<Mode>((data[1] & ~raw_bit) % modes);
  const size_t blocks = http2::Memory::live();
  {
    http::DownstreamOptions options;
    options.max_requests = 50;
    options.http2.stream_window = 65'535;
    http2::ServerBench b(options);
    fuzz::Output output;
    const size_t before = held(b);
    b.host.prepare = [&](support::ProbeSink& sink) { behave(sink, mode); };
    const bool raw = (data[1] & raw_bit) != 0;
    if (data[0] != 0) b.pair.peer->tear(data[0] == 1 && raw ? support::tear_every(1) : support::tear_randomly(data[0]));
    const auto settle = [&] {
      b.sim.settle();
      output.feed(b.pair.peer->take(), 0);
      CHECK(held(b) < before + memory_max);
    };
    if (raw) {
      b.pair.peer->send(in.bytes(size));
      settle();
    } else {
      b.pair.peer->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + fuzz::frame(4, 0, 0, ""));
      fuzz::Script script(in, 1, usual, odd);
      std::string last;
      for (size_t sent = 0; !in.empty() && sent < sent_max; sent += last.size() + 1) {
        const auto kind = static_cast<uint8_t>(in.byte() % (fuzz::Script::kinds + 4));
        if (kind < fuzz::Script::kinds) {
          last = script.step(kind);
          b.pair.peer->send(last);
        } else if (kind == fuzz::Script::kinds) {
          for (uint32_t n = in.below(64); n != 0 && sent < sent_max; --n, sent += last.size()) b.pair.peer->send(last);
        } else if (kind == fuzz::Script::kinds + 1) {
          settle();
        } else if (kind == fuzz::Script::kinds + 2) {
          b.sim.run_for(base::millis(100 * in.byte()));
        } else {
          act(b, in);
        }
      }
      settle();
    }
    b.sim.run_for(base::seconds(1));
    b.pair.peer->fin();
    settle();
    b.sim.run_for(base::minutes(3));
    settle();
    CHECK(b.contract.text().empty());
    CHECK(b.host.ended);
    for (auto& s : b.host.sinks) CHECK(s->stream == nullptr);
  }
  CHECK(http2::server_streams_live() == 0 && http2::server_sessions_live() == 0);
  CHECK(http2::Memory::live() == blocks);
  return 0;
}
