// Row 36: one connection holds at most 1 MiB of decoded heads, whatever its streams; who is above it is refused, the
// others go on, and what has gone where it goes is held no more.
#include "http2/held_heads.h"
#include "bench.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

using namespace sluice;
using http2::ClientBench;
using http2::HeldHeads;
using http2::Lines;
using http2::Peer;
using http2::ServerBench;
using support::ProbeSink;

namespace {

constexpr size_t references = 15;
const Lines heavy(references,
                  {"x", std::string(3900, 'v')});  // a byte each on the wire, once the field is in the table
constexpr size_t heavy_fit = 17;  // heads of 58,515 bytes and a few more

struct Bench : ServerBench {
  Bench() : client(Peer::Role::client, *pair.peer) {
    host.prepare = [](ProbeSink& sink) {
      sink.when_malformed = [](ProbeSink& s) { s.answer(http::status_of(s.why.kind), ""); };
    };
    client.flush();
    sim.settle();
  }
  ~Bench() {
    for (auto& s : host.sinks) {
      if (s->stream != nullptr) s->cancel({});
    }
    sim.settle();
    CHECK(contract.text() == "");
  }
  std::vector<int32_t> ask(size_t n, const Lines& lines) {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < n; ++i) ids.push_back(client.get("/", lines));
    sim.settle();
    return ids;
  }
  size_t malformed() const {
    size_t n = 0;
    for (const auto& s : host.sinks) n += s->malformed ? 1 : 0;
    return n;
  }
  Peer client;
};

}  // namespace

TEST_CASE("a head that fills the connection, and one byte more") {
  constexpr size_t line_bytes = 48;  // of the pseudo fields of a GET
  for (const size_t more : {size_t{0}, size_t{1}}) {
    Bench b;
    b.ask(16, heavy);
    size_t left = HeldHeads::bytes_max - 16 * (references * 3901 + line_bytes) - (60'001 + line_bytes);
    b.ask(1, {{"y", std::string(60'000, 'y')}});
    CHECK(b.malformed() == 0);
    left -= line_bytes + 1;
    b.ask(1, {{"z", std::string(left + more, 'z')}});
    CHECK(b.malformed() == more);
    CHECK(b.client.goaways.empty());
  }
}

TEST_CASE("100 requests of 15 references each: those above 1 MiB are answered 431, the others are none the worse") {
  Bench b;
  const auto ids = b.ask(100, heavy);
  REQUIRE(b.host.sinks.size() == 100);
  CHECK(b.malformed() == 100 - heavy_fit);
  size_t held = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const ProbeSink& sink = b.sink(i);
    CHECK(sink.malformed == (i >= heavy_fit));
    if (sink.malformed) CHECK(b.client.seen(ids[i]).heads.starts_with("[:status: 431]"));
    if (sink.stream != nullptr) held += sink.stream->arena().bytes_held();
  }
  CHECK(held < 2 * HeldHeads::bytes_max);
  for (size_t i = 0; i < heavy_fit; ++i) b.sink(i).answer(200, "ok");
  b.sim.settle();
  for (size_t i = 0; i < heavy_fit; ++i) CHECK(b.client.seen(ids[i]).body == "ok");
  CHECK(b.client.goaways.empty());
  b.ask(heavy_fit, heavy);  // all of it is free again
  CHECK(b.malformed() == 100 - heavy_fit);
}

TEST_CASE("a browser's hundred requests with 8 KB of cookies each pass together") {
  Bench b;
  Lines lines(95, {"cookie", "name=" + std::string(81, 'v')});
  lines.emplace_back("user-agent", std::string(120, 'a'));
  lines.emplace_back("accept", std::string(140, 'a'));
  b.ask(100, lines);
  CHECK(b.host.sinks.size() == 100);
  CHECK(b.malformed() == 0);
}

TEST_CASE("a head that was let go is held no more; body and trailers of both directions go on") {
  Bench b;
  Lines post = http2::get_lines("/");
  post[0].second = "POST";
  post.insert(post.end(), heavy.begin(), heavy.end());
  std::vector<int32_t> ids;
  for (size_t i = 0; i < heavy_fit; ++i) ids.push_back(b.client.begin(post));
  b.sim.settle();
  for (size_t i = 0; i < heavy_fit; ++i) {
    ProbeSink& sink = b.sink(i);
    http::Head head(sink.stream->arena());
    head.status = 200;
    sink.send_head(head, http::End::no);
    base::Arena kept;
    (void)kept.allocate(3900);
    REQUIRE(sink.stream->release_head(kept));
    CHECK(kept.bytes_held() > 50'000);  // is ours to free
    CHECK(sink.stream->arena().bytes_held() < 4000);
  }
  b.ask(heavy_fit - 1, heavy);  // what was kept is charged still
  CHECK(b.malformed() == 0);
  b.ask(1, heavy);
  CHECK(b.malformed() == 1);
  for (size_t i = 0; i < heavy_fit; ++i) {
    b.client.more(ids[i], "question");
    b.client.end(ids[i], {{"u", "2"}});
  }
  b.sim.settle();
  for (size_t i = 0; i < heavy_fit; ++i) {
    ProbeSink& sink = b.sink(i);
    CHECK(sink.body == "question");
    CHECK(sink.trace.find("trailers [u: 2]") != std::string::npos);
    sink.send_body("body", http::End::no);
    http::Fields trailers(sink.stream->arena());
    trailers.add("t", "1");
    sink.send_trailers(trailers);
  }
  b.sim.settle();
  for (size_t i = 0; i < heavy_fit; ++i) {
    CHECK(b.client.seen(ids[i]).body == "body");
    CHECK(b.client.seen(ids[i]).heads.ends_with("[t: 1]"));
  }
}

TEST_CASE("a head is not let go while trailers of its stream stand in the same memory") {
  Bench b;
  nghttp2_submit_settings(b.client.raw(), NGHTTP2_FLAG_NONE, nullptr, 0);
  Lines post = http2::get_lines("/");
  post[0].second = "POST";
  const int32_t id = b.client.begin(post);
  b.client.flush();
  b.client.raw_bytes(
      http2::frame(1, 1, static_cast<uint32_t>(id), http2::block({{"t", "1"}})));  // END_STREAM, not END_HEADERS
  b.sim.settle();
  base::Arena kept;
  CHECK(!b.sink().stream->release_head(kept));
  CHECK(kept.bytes_held() == 0);
  b.client.raw_bytes(http2::frame(9, 4, static_cast<uint32_t>(id), http2::block({{"u", "2"}})));
  b.sim.settle();
  CHECK(b.sink().trace.find("trailers [t: 1] [u: 2]") != std::string::npos);
}

TEST_CASE(
    "answers of one upstream connection: above 1 MiB they are bad, the others pass; what was passed on is held no "
    "more") {
  for (const bool release : {false, true}) {
    CAPTURE(release);
    ClientBench b;
    Peer server(Peer::Role::server, *b.pair.peer);
    server.flush();
    server.on_request = [&](int32_t id) {
      Lines lines{{":status", "200"}};
      lines.insert(lines.end(), heavy.begin(), heavy.end());
      server.answer_begin(id, lines);
    };
    std::vector<std::unique_ptr<ProbeSink>> sinks;
    for (size_t i = 0; i < heavy_fit + 3; ++i) {
      sinks.push_back(std::make_unique<ProbeSink>(b.contract));
      if (release) {
        sinks.back()->when_head = [](ProbeSink& s) {
          base::Arena none;
          CHECK(s.stream->release_head(none));
        };
      }
      REQUIRE(b.ask(*sinks.back()));
      b.sim.settle();
    }
    for (size_t i = 0; i < sinks.size(); ++i) {
      CHECK(sinks[i]->closed == (!release && i >= heavy_fit));
      if (sinks[i]->closed) CHECK(support::text_of(sinks[i]->why) == "bad_response head_size");
    }
    ProbeSink last(b.contract);  // the connection lives, and what its streams held goes back with them
    for (auto& s : sinks) {
      if (s->stream != nullptr) s->cancel({});
    }
    b.sim.settle();
    REQUIRE(b.ask(last));
    b.sim.settle();
    CHECK(!last.closed);
    if (last.stream != nullptr) last.cancel({});
    b.sim.settle();
    CHECK(b.contract.text() == "");
  }
}

TEST_CASE("answers that fill an upstream's connection, and one byte more") {
  for (const size_t more : {size_t{0}, size_t{1}}) {
    ClientBench b;
    Peer server(Peer::Role::server, *b.pair.peer);
    server.flush();
    size_t left = HeldHeads::bytes_max;
    server.on_request = [&](int32_t id) {
      constexpr size_t status_bytes = 10;
      const size_t value = left > 120'000 ? 60'000 : (left > 60'000 ? 30'000 : left - status_bytes - 1 + more);
      left -= std::min(left, value + status_bytes + 1);
      server.answer_begin(id, {{":status", "200"}, {"x", std::string(value, 'v')}});
    };
    std::vector<std::unique_ptr<ProbeSink>> sinks;
    while (left != 0) {
      sinks.push_back(std::make_unique<ProbeSink>(b.contract));
      REQUIRE(b.ask(*sinks.back()));
      b.sim.settle();
      CHECK(sinks.back()->closed == (left == 0 && more == 1));
    }
    for (auto& s : sinks) {
      if (s->stream != nullptr) s->cancel({});
    }
    b.sim.settle();
    CHECK(b.contract.text() == "");
  }
}
