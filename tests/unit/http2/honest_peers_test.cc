// The busiest honest clients, by what their libraries send, on a clock that stands still: nothing comes back by time,
// all has to be earned (threats.md row 56; the table in lib/http2/README.md). 500 MB, and 100,000 small messages, over
// one connection each.
#include <algorithm>
#include <functional>

#include "bench.h"
#include "http2/flood_guard.h"
#include "wire.h"

#include <doctest/doctest.h>

using namespace sluice;
using http::Detail;
using http2::FloodGuard;
using http2::Frame;
using http2::FrameType;

namespace {

constexpr base::Micros now{1'000'000};
constexpr uint64_t much = 500'000'000;
constexpr uint32_t our_frame = 16'375;  // Engine::data_bytes_max
constexpr uint32_t messages = 100'000;

class Client {
 public:
  bool calm() const { return calm_; }
  void request(bool with_body = false) {
    other(FrameType::headers, with_body ? Frame::end_headers : Frame::end_headers | Frame::end_stream);
  }
  void other(FrameType type, int flags = 0) {
    note(guard_.frame({8, 1, static_cast<uint8_t>(type), static_cast<uint8_t>(flags)}, now));
  }
  void data(size_t content) { note(guard_.data(content, true, now)); }
  void credit(uint32_t more) { note(guard_.window_update(more, now)); }
  void gets(size_t bytes) { guard_.data_sent(bytes); }

 private:
  void note(Detail detail) { calm_ = calm_ && detail == Detail::none; }
  FloodGuard guard_{200, 64 * 1024, now};
  bool calm_ = true;
};

// Go's net/http: credit is counted at each read of the body and told from 4 KiB on (net/http2, inflow.add).
class GoInflow {
 public:
  uint32_t add(uint32_t n) {
    unsent_ += n;
    if (unsent_ < 4096) return 0;
    return std::exchange(unsent_, 0);
  }

 private:
  uint32_t unsent_ = 0;
};

// nghttp2 (curl, Node, h2load, httpd), python3-h2, Chromium, Netty, hyper, OkHttp: a part of the window at a time.
class Threshold {
 public:
  Threshold(uint32_t window, uint32_t parts) : least_(window / parts) {}
  uint32_t add(uint32_t n) {
    unsent_ += n;
    return unsent_ >= least_ ? std::exchange(unsent_, 0) : 0;
  }

 private:
  uint32_t least_;
  uint32_t unsent_ = 0;
};

// `ahead` bytes come before the client reads the first of them, then as many as it reads.
template <class Inflow>
void download(Client& client, Inflow stream, Inflow connection, uint32_t read, uint64_t ahead = 0) {
  client.request();
  uint64_t came = 0;
  for (uint64_t at = 0; at < much; at += read) {
    for (; came < std::min(much, at + read + ahead); came += our_frame) client.gets(our_frame);
    for (Inflow* const inflow : {&stream, &connection}) {
      if (const uint32_t more = inflow->add(read); more != 0) client.credit(more);
    }
  }
}

}  // namespace

TEST_CASE("Go's net/http, whatever reads the body: bufio, gzip, io.Copy, all of it late") {
  for (const uint32_t read : {512U, 1000U, 4096U, 4097U, 8192U, 32'768U}) {
    for (const uint64_t ahead : {uint64_t{0}, uint64_t{4} << 20, much}) {
      CAPTURE(read);
      CAPTURE(ahead);
      Client client;
      client.credit(1 << 30);  // of the connection, at its start
      download(client, GoInflow(), GoInflow(), read, ahead);
      CHECK(client.calm());
    }
  }
}

TEST_CASE("clients that give a half, a quarter or an eighth of a window back") {
  for (const uint32_t window : {65'535U, 256U * 1024, 6U << 20}) {
    for (const uint32_t parts : {2U, 4U, 8U}) {
      Client client;
      client.credit(15 << 20);  // Chromium's
      download(client, Threshold(window, parts), Threshold(window, parts), 16'384);
      CHECK(client.calm());
    }
  }
}

TEST_CASE("clients that answer each DATA with two WINDOW_UPDATEs, however small it was") {
  for (const uint32_t message : {1U, 15U, 100U, 1000U}) {
    Client client;
    for (uint32_t i = 0; i < messages; ++i) {
      client.request();
      client.gets(message);
      client.credit(message);
      client.credit(message);
    }
    CHECK(client.calm());
  }
}

// grpc-go, and the C and Java cores: a PING with the first DATA behind the last one's answer, to measure the path; a
// WINDOW_UPDATE for the connection with it; SETTINGS as the estimate grows.
TEST_CASE("gRPC clients: a PING for each message of a stream, and calls of one message") {
  Client stream;
  stream.request(true);
  for (uint32_t i = 0; i < messages; ++i) {
    stream.data(20);
    stream.gets(20);
    stream.other(FrameType::ping);
    stream.credit(20);
    if (i % 10'000 == 0) stream.other(FrameType::settings);
  }
  CHECK(stream.calm());
  Client calls;
  for (uint32_t i = 0; i < messages; ++i) {
    calls.request(true);
    calls.data(20);
    calls.data(0);  // the end, for itself
    calls.gets(20);
    calls.other(FrameType::ping);
  }
  CHECK(calls.calm());
}

// Go cancels with a PING behind the RST_STREAM (net/http2, 2025), Firefox and Safari place each stream, Chromium says a
// priority again and greases with frames of no known kind, Java's HttpClient ends an upload by an empty DATA.
TEST_CASE("what clients put beside each request") {
  Client go;
  for (uint32_t i = 0; i < messages; ++i) {
    go.request();
    go.other(FrameType::rst_stream);
    go.other(FrameType::ping);
  }
  CHECK(go.calm());
  Client browser;
  for (int i = 0; i < 6; ++i) browser.other(FrameType::priority);
  for (uint32_t i = 0; i < messages; ++i) {
    browser.request();
    browser.other(FrameType::priority_update);
    browser.other(FrameType::priority_update);
    browser.other(static_cast<FrameType>(0xba));
    browser.other(FrameType::rst_stream);
  }
  CHECK(browser.calm());
  Client java;
  for (uint32_t i = 0; i < messages; ++i) {
    java.request(true);
    java.data(100);
    java.data(0);
  }
  CHECK(java.calm());
}

TEST_CASE("uploads: in small pieces, in padded ones, and one that was cut while its bytes are on their way") {
  Client client;
  client.request(true);
  for (uint32_t i = 0; i < messages; ++i) client.data(1 + i % 200);
  CHECK(client.calm());
  FloodGuard cut(200, 64 * 1024, now);
  bool calm = true;
  for (uint32_t stream = 0; stream < 1000; ++stream) {
    calm = calm && cut.frame({20, 1, 1, Frame::end_headers}, now) == Detail::none;
    for (uint32_t sent = 0; sent < 256 * 1024; sent += 4096) calm = calm && cut.data(4096, false, now) == Detail::none;
  }
  CHECK(calm);
}

// The same through a whole session: that bytes are counted where they leave, and credit where it comes.
TEST_CASE("64 MiB to Go's net/http, read through bufio, over one connection") {
  constexpr uint32_t whole = 64U << 20;
  constexpr uint32_t piece = 1U << 20;
  constexpr uint32_t read = 4096;
  http2::ServerBench b;
  b.host.prepare = [](support::ProbeSink& sink) {
    sink.when_head = [](support::ProbeSink& s) {
      http::Head head(s.stream->arena());
      head.status = 200;
      s.send_head(head, http::End::no);
    };
  };
  http2::Wire wire(*b.pair.peer);
  wire.send(http2::client_preface + http2::settings_frame({{4, 4U << 20}}) + http2::window_frame(0, 1U << 30) +
            http2::head_frame(1, http2::get_lines()));
  b.sim.settle();
  GoInflow stream;
  GoInflow connection;
  uint32_t seen = 0;
  for (uint32_t sent = 0; sent < whole && !b.sink().closed; sent += piece) {
    b.sink().send_body(std::string(piece, 'x'), sent + piece == whole ? http::End::yes : http::End::no);
    b.sim.settle();
    std::string frames;
    for (; seen + read <= wire.data_bytes(); seen += read) {
      if (const uint32_t more = stream.add(read); more != 0) frames += http2::window_frame(1, more);
      if (const uint32_t more = connection.add(read); more != 0) frames += http2::window_frame(0, more);
    }
    wire.send(frames);
    b.sim.settle();
  }
  CHECK(wire.data_bytes() == whole);
  CHECK(wire.goaway() == "");
}
