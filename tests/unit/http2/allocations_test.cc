// A connection in steady state touches no heap, on both sides: counted over both sessions at once, on frames that the
// test hands over itself; what an idle one holds; and the memory under it (memory.h).
#include "support/count_allocations.h"

#include "base/pages.h"
#include "base/slab_sizes.h"
#include "bench.h"
#include "http2/memory.h"
#include "support/fake_transport.h"
#include "support/relay.h"
#include "wire.h"

#include <cstring>

#include <doctest/doctest.h>

using namespace sluice;
using http2::data_frame;
using http2::end_headers;
using http2::end_stream;
using http2::head_frame;
using http2::Lines;
using http2::Memory;

namespace {

// Frames of one stream, whose id is written anew each time.
class Frames {
 public:
  Frames(std::string text) : text_(std::move(text)) {  // NOLINT: reads well in the table
    for (size_t at = 0; at < text_.size();) {
      const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(text_[at + i])); };
      if (text_[at + 8] != 0) ids_.push_back(at + 5);
      at += 9 + (byte(0) << 16 | byte(1) << 8 | byte(2));
    }
  }
  std::string_view on(uint32_t id) {
    for (const size_t at : ids_) {
      for (unsigned i = 0; i < 4; ++i) text_[at + i] = static_cast<char>(id >> (24 - 8 * i));
    }
    return text_;
  }

 private:
  std::string text_;
  std::vector<size_t> ids_;
};

Lines request(const char* method, const Lines& more) {
  Lines lines = {{":method", method},
                 {":scheme", "http"},
                 {":authority", "example.com"},
                 {":path", "/path?query"},
                 {"user-agent", "test/1.0"}};
  lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

const std::string credit = http2::window_frame(0, 2000);

}  // namespace

TEST_CASE("no allocation a request on HTTP/2, with bodies, trailers, 1xx, cookies and a cancel") {
  support::SimLoop sim;
  net::Loop& loop = sim.loop();
  support::FakeTransport front(loop);
  support::FakeTransport back(loop);
  support::Relay relay;
  http::DownstreamOptions options;
  options.max_requests = 1'000'000;
  http::ServerSessionPtr server =
      http2::make_server_session(loop, net::TransportPtr(&front), options, http::Scheme::http, relay);
  http::ClientSessionPtr client = http2::make_client_session(loop, net::TransportPtr(&back), options.limits, relay);
  relay.client = client.get();
  front.give(http2::client_preface + http2::frame(4, http2::ack, 0, ""));
  back.give(http2::settings_frame() + http2::frame(4, http2::ack, 0, ""));
  loop.turn(base::Micros{0});
  struct Exchange {
    Frames request;
    Frames answer;
  };
  const std::string large(1000, 'x');
  Exchange exchanges[] = {
      {head_frame(1, request("GET", {{"accept", "*/*"}, {"cookie", "a=b"}, {"cookie", "c=d"}, {"priority", "u=1"}})) +
           credit,
       head_frame(1, {{":status", "200"}, {"server", "x"}, {"content-length", "5"}}, end_headers) +
           data_frame(1, "hello", end_stream) + credit},
      {head_frame(1, request("POST", {{"content-length", "1000"}}), end_headers) + data_frame(1, large, end_stream) +
           credit,
       head_frame(1, {{":status", "200"}}, end_headers) + data_frame(1, large) + head_frame(1, {{"grpc-status", "0"}}) +
           credit},
      {head_frame(1, request("POST", {}), end_headers) + data_frame(1, "hello") + head_frame(1, {{"t", "1"}}),
       head_frame(1, {{":status", "103"}, {"link", "x"}}, end_headers) +
           head_frame(1, {{":status", "304"}, {"etag", "a"}})},
  };
  uint32_t id = 1;
  const auto round = [&] {
    for (Exchange& e : exchanges) {
      front.give(e.request.on(id));
      loop.turn(base::Micros{0});
      back.give(e.answer.on(id));
      loop.turn(base::Micros{0});
      id += 2;
    }
  };
  for (int i = 0; i < 100; ++i) round();
  REQUIRE_FALSE(relay.broken);
  const uint64_t before = support::allocations();
  const uint64_t done = relay.done;
  for (int i = 0; i < 10'000; ++i) round();
  CHECK(support::allocations() == before);
  CHECK(relay.done - done == 60'000);
  CHECK_FALSE(relay.broken);
  server.reset();
  client.reset();
  loop.turn(base::Micros{0});
}

TEST_CASE("an idle connection rests: a request's memory goes back, the peer's table stays, and both go on") {
  const size_t before = Memory::live_bytes();
  http2::ServerBench server;
  std::string seen;
  server.host.prepare = [&](support::ProbeSink& sink) {
    http2::answer_ok(sink);
    sink.when_head = [&](support::ProbeSink& s) {
      seen += std::string(s.head->authority) + " " + std::string(s.head->fields.find("x")->value()) + ";";
    };
  };
  http2::Wire wire(*server.pair.peer);
  wire.send(http2::client_preface + http2::frame(4, http2::ack, 0, ""));
  server.sim.settle();
  CHECK(Memory::live_bytes() == before);  // nothing is taken before there is a request
  // The second block only names what the first has put into the table (RFC 7541 6.1), so the table must be as it was.
  wire.send(http2::frame(1, end_headers | end_stream, 1, "\x82\x86\x84\x41\x01z\x40\x01x\x03one"));
  server.sim.settle();
  CHECK(Memory::live_bytes() - before > 3000);
  server.sim.run_for(base::millis(499));
  CHECK(Memory::live_bytes() - before > 3000);
  server.sim.run_for(base::millis(2));
  CHECK(Memory::live_bytes() - before < 200);
  wire.send(http2::frame(1, end_headers | end_stream, 3, "\x82\x86\x84\xbf\xbe"));
  server.sim.settle();
  CHECK(seen == "z one;z one;");
  CHECK(wire.stream(3) == wire.stream(1));  // and the client can read our answer
}

TEST_CASE("memory: blocks are kept and given again, by size; large ones are not; what is kept is bounded") {
  const size_t live = Memory::live();
  const size_t bytes = Memory::live_bytes();
  std::vector<void*> blocks;
  for (size_t n = 1; n <= 2 * base::SlabSizes::largest_bytes; n = n * 5 / 4 + 1) {
    auto* const block = static_cast<char*>(Memory::take(n));
    REQUIRE(block != nullptr);
    std::memset(block, 7, n);  // all of it is ours (asan looks)
    blocks.push_back(block);
  }
  CHECK(Memory::live() == live + blocks.size());
  for (void* block : blocks) Memory::give(block);
  CHECK(Memory::live() == live);
  CHECK(Memory::live_bytes() == bytes);
  const uint64_t before = support::allocations();
  for (size_t n = 1; n <= base::SlabSizes::largest_bytes; n = n * 5 / 4 + 1) Memory::give(Memory::take(n));
  CHECK(support::allocations() == before);
  const size_t held = base::Pages::held();
  void* const large = Memory::take(base::SlabSizes::largest_bytes + 1);
  CHECK(base::Pages::held() > held);
  Memory::give(large);
  CHECK(base::Pages::held() == held);

  auto* const zeroed = static_cast<unsigned char*>(Memory::take_zeroed(10, 30));
  for (size_t i = 0; i < 300; ++i) REQUIRE(zeroed[i] == 0);
  std::memset(zeroed, 9, 300);
  auto* const grown = static_cast<unsigned char*>(Memory::resize(zeroed, 5000));
  for (size_t i = 0; i < 300; ++i) REQUIRE(grown[i] == 9);
  CHECK(Memory::resize(grown, 100) == grown);
  Memory::give(grown);
  Memory::give(nullptr);
  CHECK(Memory::take_zeroed(SIZE_MAX / 2, 3) == nullptr);
  CHECK(Memory::take(size_t{UINT32_MAX} + 1) == nullptr);
  CHECK(Memory::live() == live);
}
