// The HTTP/2 client session against any frames, and any bytes, of its upstream. The first byte seeds the tearing, the
// second says how sinks behave and whether the rest is raw. Held: the contract of upcalls; an answer that ends is as
// long as it says, one that does not end is never clean; what we write is frames; memory is bounded; everything ends
// and nothing is left.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../unit/http2/bench.h"
#include "base/check.h"
#include "http/validate.h"
#include "http2/memory.h"
#include "http2_frames.h"
#include "net/chunk.h"

using namespace sluice;

namespace {

enum class Mode : uint8_t { take, hold, cancel_at_head, cancel_at_body };
constexpr uint8_t modes = 4;
constexpr uint8_t raw_bit = 0x80;
constexpr size_t sent_max = 200'000;  // by the peer in one run, so that a run stays short
constexpr size_t memory_max = 16 * 1024 * 1024;
constexpr size_t streams_max = 200;
const std::string large(100'000, 'a');

struct Asked {
  explicit Asked(support::Contract& contract) : sink(contract) {}
  support::ProbeSink sink;
  bool bodiless = false;
  bool sending = false;
};

struct Side {
  http2::ClientBench bench;
  std::vector<std::unique_ptr<Asked>> asked;
  Mode mode = Mode::take;

  void ask(fuzz::Input& in) {
    if (asked.size() == streams_max) return;
    asked.push_back(std::make_unique<Asked>(bench.contract));
    Asked& a = *asked.back();
    support::ProbeSink& sink = a.sink;
    sink.hold = mode == Mode::hold;
    sink.when_head = [this, &a](support::ProbeSink& s) {
      CHECK(s.head->status >= 100 && s.head->status <= 599);
      for (const http::Field& f : s.head->fields) CHECK(http::is_token(f.name()) && http::is_field_value(f.value()));
      if (s.head->status == 204 || s.head->status == 304) a.bodiless = true;
      if (mode == Mode::cancel_at_head) s.cancel({});
    };
    if (mode == Mode::cancel_at_body) sink.when_body = [](support::ProbeSink& s) { s.cancel({}); };
    sink.when_ended = [&a](support::ProbeSink& s) {
      if (!a.bodiless && s.head->content_length) CHECK(s.body.size() == *s.head->content_length);
      if (a.bodiless) CHECK(s.body.empty());
    };
    // Clean means whole; what is whole ends clean, but for a tunnel, which has another end.
    sink.when_closed = [](support::ProbeSink& s) {
      if (s.why.clean()) CHECK(s.ended);
      if (s.ended && s.head->status != 101) CHECK(s.why.clean());
    };
    const uint32_t kind = in.below(4);
    a.bodiless = kind == 1;
    a.sending = kind >= 2;
    const bool open = kind == 3
                          ? bench.ask(sink, "GET", http::End::no, "websocket")
                          : bench.ask(sink, kind == 1 ? "HEAD" : "POST", kind == 2 ? http::End::no : http::End::yes);
    if (!open) asked.pop_back();
  }

  // What our side does of its own accord.
  void act(fuzz::Input& in) {
    const uint8_t what = in.byte();
    http::ClientSession* const session = bench.host.session.get();
    if (session == nullptr) return;
    if (what == 255) return session->retire_when_idle(http::CloseCause::max_lifetime);
    if (what == 254) return session->abort(http::CloseCause::drain);
    if (what == 253) {
      static_cast<void>(session->validate(http::Borrow::surely));
      return;
    }
    if (what < 100 || asked.empty()) return ask(in);
    Asked& a = *asked[asked.size() - 1 - what % std::min<size_t>(asked.size(), 8)];
    if (a.sink.stream == nullptr) return;
    switch (in.below(4)) {
      case 0: return a.sink.cancel({});
      case 1:
        if (a.sink.unconsumed != 0) a.sink.consume(a.sink.unconsumed / 2 + 1);
        return;
      case 2:
        if (a.sending) a.sink.send_body(large, http::End::no);
        return;
      default:
        if (std::exchange(a.sending, false)) a.sink.send_body("end", http::End::yes);
        return;
    }
  }

  size_t held() const {
    size_t n = net::Chunk::live() * net::Chunk::usual_bytes + http2::Memory::live_bytes();
    for (const auto& a : asked) {
      if (a->sink.stream != nullptr) n += a->sink.stream->arena().bytes_held();
    }
    return n;
  }
};

const std::string long_value(9000, 'v');
const std::vector<std::vector<fuzz::Line>> usual = {
    {{":status", "200"}, {"server", "x"}},
    {{":status", "200"}, {"content-length", "5"}},
    {{":status", "103"}, {"link", "x"}},
    {{":status", "100"}},
    {{":status", "204"}},
    {{":status", "304"}, {"content-length", "5"}},
    {{":status", "503"}, {"retry-after", "1"}},
    {{":status", "200"}, {"grpc-status", "0"}},
};
const std::vector<fuzz::Line> odd = {
    {"x", "y"},
    {"X", "y"},
    {"", ""},
    {"x", "a\r\nb: c"},
    {"x", " y"},
    {"x", long_value},
    {"set-cookie", "a"},
    {"content-length", "3"},
    {"content-length", "-1"},
    {"transfer-encoding", "chunked"},
    {"connection", "close"},
    {"te", "trailers"},
    {":path", "/"},
    {":status", "101"},
    {":status", "20"},
    {"grpc-status", "0"},
    {"upgrade", "h2c"},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  fuzz::Input in(data + 2, size - 2);
  const size_t blocks = http2::Memory::live();
  {
    Side side;
    http2::ClientBench& b = side.bench;
    side.mode = static_cast<Mode>((data[1] & ~raw_bit) % modes);
    fuzz::Output output;
    const size_t before = side.held();
    const bool raw = (data[1] & raw_bit) != 0;
    if (data[0] != 0) b.pair.peer->tear(data[0] == 1 && raw ? support::tear_every(1) : support::tear_randomly(data[0]));
    const auto settle = [&] {
      b.sim.settle();
      output.feed(b.pair.peer->take(), 24);
      CHECK(side.held() < before + memory_max + streams_max * large.size());  // what sinks gave us to send is theirs
    };
    side.ask(in);
    if (raw) {
      settle();
      b.pair.peer->send(in.bytes(size));
      settle();
    } else {
      b.pair.peer->send(
          fuzz::frame(4, 0, 0, fuzz::number(0x80000) + std::string("\0\1", 2)));  // ENABLE_CONNECT_PROTOCOL
      settle();
      fuzz::Script script(in, 1, usual, odd);
      std::string last;
      for (size_t sent = 0; !in.empty() && sent < sent_max; sent += last.size() + 1) {
        script.answers(static_cast<uint32_t>(2 * side.asked.size() + 1));
        const auto kind = static_cast<uint8_t>(in.byte() % (fuzz::Script::kinds + 6));
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
          side.act(in);
        }
      }
      settle();
    }
    b.sim.run_for(base::seconds(1));
    b.pair.peer->fin();
    settle();
    b.sim.run_for(base::minutes(3));
    CHECK(b.contract.text().empty());
    CHECK(b.host.ended);
    for (auto& a : side.asked) CHECK(a->sink.stream == nullptr);
  }
  CHECK(http2::client_streams_live() == 0 && http2::client_sessions_live() == 0);
  CHECK(http2::Memory::live() == blocks);
  return 0;
}
