// The keep-alive path touches no heap: counted over both sessions at once, on bytes that the test hands over itself.
#include "support/count_allocations.h"

#include "bench.h"
#include "fake_transport.h"

#include <doctest/doctest.h>

using namespace sluice;

namespace {

// Relays a request to the client session and its answer back, as an exchange does.
class Relay final : public http::ServerHost, public http::ClientHost {
 public:
  struct Down final : http::Sink {
    explicit Down(Relay& r) : relay(r) {}
    void on_head(http::Head& head, http::End end) override {
      relay.up.stream = relay.client->open(relay.up);
      relay.up.stream->send_head(head, end);
    }
    void on_body(net::ByteQueue&& bytes, http::End end) override { relay.up.stream->send_body(std::move(bytes), end); }
    void on_trailers(http::Fields& t) override { relay.up.stream->send_trailers(t); }
    void on_sent(size_t n) override {
      if (relay.up.stream != nullptr) relay.up.stream->consume(n);
    }
    void on_malformed(http::Head&, const http::Failure&) override { REQUIRE(false); }
    void on_closed(const http::Failure& why) override { relay.done += why.clean() ? 1 : 0; }
    Relay& relay;
    http::Stream* stream = nullptr;
  };
  struct Up final : http::Sink {
    explicit Up(Relay& r) : relay(r) {}
    void on_head(http::Head& head, http::End end) override { relay.down.stream->send_head(head, end); }
    void on_body(net::ByteQueue&& bytes, http::End end) override { relay.down.stream->send_body(std::move(bytes), end); }
    void on_trailers(http::Fields& t) override { relay.down.stream->send_trailers(t); }
    void on_sent(size_t n) override { relay.down.stream->consume(n); }
    void on_malformed(http::Head&, const http::Failure&) override { REQUIRE(false); }
    void on_closed(const http::Failure& why) override {
      stream = nullptr;
      relay.done += why.clean() ? 1 : 0;
    }
    Relay& relay;
    http::Stream* stream = nullptr;
  };

  http::Sink& on_stream(http::ServerSession&, http::Stream& stream) override {
    down.stream = &stream;
    return down;
  }
  void on_session_end(http::ServerSession&, http::CloseCause) override { REQUIRE(false); }
  void on_slots(http::ClientSession&) override {}
  void on_session_end(http::ClientSession&, http::CloseCause) override { REQUIRE(false); }
  void on_protocol_error(http::Detail) override { REQUIRE(false); }

  http::ClientSession* client = nullptr;
  uint64_t done = 0;
  Down down{*this};
  Up up{*this};
};

}  // namespace

TEST_CASE("no allocation a request on the keep-alive path, with bodies, chunks and trailers") {
  support::SimLoop sim;
  net::Loop& loop = sim.loop();
  http1::FakeTransport front(loop);
  http1::FakeTransport back(loop);
  Relay relay;
  http::DownstreamOptions options;
  options.max_requests = 1'000'000;
  http::ServerSessionPtr server = http1::make_server_session(loop, net::TransportPtr(&front), options, http::Scheme::http, relay);
  http::ClientSessionPtr client = http1::make_client_session(loop, net::TransportPtr(&back), options.limits, relay);
  relay.client = client.get();
  const std::pair<std::string, std::string> exchanges[] = {
      {"GET /path?query HTTP/1.1\r\nHost: example.com\r\nUser-Agent: test/1.0\r\nAccept: */*\r\nX-A: b\r\n\r\n",
       "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Tue, 21 Nov 2023 09:01:19 GMT\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"},
      {"POST /p HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'x'),
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + std::string(1000, 'y') + "\r\n0\r\nT: 1\r\n\r\n"},
      {"POST /p HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
       "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n"},
  };
  const auto round = [&] {
    for (const auto& [request, answer] : exchanges) {
      front.give(request);
      loop.turn(base::Micros{0});
      back.give(answer);
      loop.turn(base::Micros{0});
    }
  };
  for (int i = 0; i < 100; ++i) round();
  const uint64_t before = support::allocations();
  const uint64_t done = relay.done;
  for (int i = 0; i < 10'000; ++i) round();
  CHECK(support::allocations() == before);
  CHECK(relay.done - done == 60'000);
  server.reset();
  client.reset();
  loop.turn(base::Micros{0});
}
