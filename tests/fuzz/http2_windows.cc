// Flow control of the HTTP/2 server session (RFC 9113 5.2, 6.9) against a model of its windows: SETTINGS, WINDOW_UPDATE
// and DATA, some at the edges of what a window can be, with bodies in both directions. After each frame, held: nothing
// is sent beyond the peer's windows and nothing waits that they let go; what breaks them is answered by the code that
// the RFC names, and nothing else is; our own credit is never 0, never too much, and never lets more be held than
// connection_buffer.
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "../unit/http2/bench.h"
#include "base/check.h"
#include "http2_frames.h"

using namespace sluice;

namespace {

constexpr int64_t most = 0x7fffffff;
constexpr int64_t initial = 65'535;
constexpr uint32_t streams_max = 6;
constexpr int steps_max = 400;  // fewer than any flood
constexpr size_t answer_max = 300'000;  // of one stream
constexpr uint32_t stream_window = 100'000;
constexpr uint64_t connection_buffer = 200'000;
constexpr uint32_t protocol_error = 1;
constexpr uint32_t flow_control_error = 3;

struct Stream {
  support::ProbeSink* sink = nullptr;
  int64_t in = 0;  // what we, the peer, may send
  int64_t out = 0;  // what the session may send
  size_t waiting = 0;  // of the answer, not seen yet
  size_t given = 0;
  bool request_ended = false;
  bool answer_ending = false;
  bool closed = false;
};

class Model {
 public:
  explicit Model(uint8_t tear) {
    options.http2.stream_window = stream_window;
    options.http2.connection_buffer = connection_buffer;
    bench.emplace(options);
    bench->host.prepare = [](support::ProbeSink& sink) {
      sink.when_head = [](support::ProbeSink& s) {
        http::Head head(s.stream->arena());
        head.status = 200;
        s.send_head(head, http::End::no);
      };
    };
    if (tear != 0) bench->pair.peer->tear(support::tear_randomly(tear));
    give("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + fuzz::frame(4, 0, 0, ""));
  }
  ~Model() { CHECK(bench->contract.text().empty()); }
  bool over() const { return over_; }
  void step(fuzz::Input& in) {
    switch (in.below(10)) {
      case 0: return open();
      case 1:
      case 2: return settings(in);
      case 3:
      case 4: return window_update(in);
      case 5:
      case 6: return data(in);
      case 7: return answer(in);
      case 8: return take(in);
      default: return rare(in);
    }
  }

 private:
  // ---- what is done ----
  void open() {
    if (next_ > 2 * streams_max) return;
    std::string block;
    constexpr std::array<fuzz::Line, 4> lines{
        {{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}};
    for (const auto& [name, value] : lines) fuzz::add_line(block, name, value, false);
    const uint32_t id = next_;
    next_ += 2;
    Stream& s = streams_[id];
    s.in = acknowledged_ ? stream_window : initial;
    s.out = peer_initial_;
    give(fuzz::frame(1, 4, id, block));
    if (!over_) s.sink = bench->host.sinks.back().get();
  }

  void settings(fuzz::Input& in) {
    constexpr std::array<uint32_t, 9> values{0,          1,          100,        65'535,    1U << 20,
                                             0x7fff0000, 0x7ffffffe, 0x7fffffff, 0x80000000};
    const uint32_t value = values[in.byte() % values.size()];
    bool broken = value > most;
    for (auto& [id, s] : streams_) {
      if (s.closed) continue;
      s.out += value - peer_initial_;
      broken = broken || s.out > most;
    }
    peer_initial_ = value;
    if (broken) goaway_ = flow_control_error;
    give(fuzz::frame(4, 0, 0, fuzz::number(4).substr(2) + fuzz::number(value)));
  }

  void window_update(fuzz::Input& in) {
    constexpr std::array<uint32_t, 9> values{0, 1, 100, 16'384, 65'535, 1U << 20, 0x7fff0000, 0x7ffffffe, 0x7fffffff};
    const uint32_t more = values[in.byte() % values.size()];
    const uint32_t id = in.below(3) == 0 ? 0 : pick(in);
    if (more == 0) {
      goaway_ = protocol_error;
    } else if (id == 0) {
      out_ += more;
      if (out_ > most) goaway_ = flow_control_error;
    } else if (Stream& s = streams_[id]; !s.closed) {
      s.out += more;
      if (s.out > most) reset_ = id;
    }
    give(fuzz::frame(8, 0, id, fuzz::number(more)));
  }

  void data(fuzz::Input& in) {
    constexpr std::array<size_t, 6> sizes{0, 1, 100, 5000, 16'000, 16'384};
    const uint32_t id = pick(in);
    const size_t size = sizes[in.byte() % sizes.size()];
    const uint8_t how = in.byte();
    if (id == 0 || streams_[id].request_ended) return;
    Stream& s = streams_[id];
    const bool padded = size > 50 && (how & 8) != 0;
    const bool last = (how & 7) == 1;
    if (static_cast<int64_t>(size) > in_) {
      goaway_ = flow_control_error;
    } else if (!s.closed && static_cast<int64_t>(size) > s.in) {
      reset_ = id;
    }
    in_ -= static_cast<int64_t>(size);
    s.in -= static_cast<int64_t>(size);
    s.request_ended = last;
    std::string payload = padded ? std::string(1, '\x20') + std::string(size - 1, '\0') : std::string(size, 'd');
    give(fuzz::frame(0, static_cast<uint8_t>((padded ? 8 : 0) | (last ? 1 : 0)), id, payload));
  }

  void answer(fuzz::Input& in) {
    constexpr std::array<size_t, 6> sizes{0, 1, 100, 5000, 70'000, 200'000};
    const uint32_t id = pick(in);
    const size_t size = sizes[in.byte() % sizes.size()];
    const bool last = in.below(8) == 0;
    if (id == 0) return;
    Stream& s = streams_[id];
    if (s.closed || s.answer_ending || s.given + size > answer_max || (size == 0 && !last)) return;
    s.given += size;
    s.waiting += size;
    s.answer_ending = last;
    s.sink->send_body(std::string(size, 'a'), last ? http::End::yes : http::End::no);
    settle();
  }

  // The other side of the proxy takes what came, or holds it from now on.
  void take(fuzz::Input& in) {
    const uint32_t id = pick(in);
    if (id == 0) return;
    Stream& s = streams_[id];
    s.sink->hold = in.below(2) == 0;
    if (s.sink->stream != nullptr && s.sink->unconsumed != 0) s.sink->consume(s.sink->unconsumed);
    settle();
  }

  void rare(fuzz::Input& in) {
    if (in.below(2) == 0 && !acknowledged_) {
      acknowledged_ = true;
      for (auto& [id, s] : streams_) s.in += int64_t{stream_window} - initial;
      return give(fuzz::frame(4, 1, 0, ""));
    }
    const uint32_t id = pick(in);
    if (id == 0 || streams_[id].closed) return;
    streams_[id].closed = streams_[id].request_ended = true;
    give(fuzz::frame(3, 0, id, fuzz::number(8)));
  }

  uint32_t pick(fuzz::Input& in) const {
    return next_ == 1 ? in.below(1) : 1 + 2 * in.below(static_cast<uint8_t>(next_ / 2));
  }

  // ---- what has to follow ----
  void give(const std::string& frame) {
    bench->pair.peer->send(frame);
    settle();
  }

  void settle() {
    bench->sim.settle();
    pending_ += bench->pair.peer->take();
    while (pending_.size() >= 9) {
      const size_t length = byte(0) << 16 | byte(1) << 8 | byte(2);
      if (pending_.size() < 9 + length) break;
      heard(static_cast<uint8_t>(byte(3)), static_cast<uint8_t>(byte(4)), word(5), length);
      pending_.erase(0, 9 + length);
    }
    if (over_) return;
    CHECK(!goaway_ && !reset_);  // they were heard
    size_t held = 0;
    for (const auto& [id, s] : streams_) {
      if (s.sink != nullptr && s.sink->stream != nullptr) held += s.sink->unconsumed;
      if (!s.closed) CHECK(s.waiting == 0 || s.out <= 0 || out_ <= 0);
    }
    CHECK(held <= connection_buffer);
  }

  void heard(uint8_t type, uint8_t flags, uint32_t id, size_t length) {
    switch (type) {
      case 0: {
        Stream& s = streams_.at(id);
        CHECK(!s.closed && length <= s.waiting);
        if (length != 0) CHECK(static_cast<int64_t>(length) <= std::min(s.out, out_));
        s.waiting -= length;
        s.out -= static_cast<int64_t>(length);
        out_ -= static_cast<int64_t>(length);
        if ((flags & 1) == 0) return;
        CHECK(s.waiting == 0 && s.answer_ending);
        s.closed = true;  // RST_STREAM NO_ERROR follows if the request goes on
        return;
      }
      case 3:
        CHECK(word(9) == 0 ? streams_.at(id).closed : reset_ == id && word(9) == flow_control_error);
        if (word(9) == 0) return;
        reset_.reset();
        streams_.at(id).closed = true;
        return;
      case 7:
        CHECK(goaway_ && word(13) == *goaway_);
        over_ = true;
        return;
      case 8: {
        CHECK(word(9) != 0);
        int64_t& window = id == 0 ? in_ : streams_.at(id).in;
        window += word(9);
        CHECK(window <= most);
        return;
      }
      default: return;
    }
  }
  uint32_t byte(size_t i) const { return static_cast<unsigned char>(pending_[i]); }
  uint32_t word(size_t i) const { return byte(i) << 24 | byte(i + 1) << 16 | byte(i + 2) << 8 | byte(i + 3); }

  http::DownstreamOptions options;
  std::optional<http2::ServerBench> bench;
  std::map<uint32_t, Stream> streams_;
  std::string pending_;
  int64_t in_ = initial;
  int64_t out_ = initial;
  int64_t peer_initial_ = initial;
  uint32_t next_ = 1;
  std::optional<uint32_t> goaway_;  // has to come
  std::optional<uint32_t> reset_;
  bool acknowledged_ = false;
  bool over_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  fuzz::Input in(data + 1, size - 1);
  {
    Model model(data[0]);
    for (int i = 0; i < steps_max && !in.empty() && !model.over(); ++i) model.step(in);
  }
  CHECK(http2::server_streams_live() == 0 && http2::server_sessions_live() == 0);
  return 0;
}
