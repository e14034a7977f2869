// Row 36: one connection holds at most 1 MiB of decoded heads, whatever its streams; who is above it is refused, the others go on, and
// what has gone where it goes is held no more.
#include "http2/held_heads.h"
#include "bench.h"

#include <doctest/doctest.h>

#include <vector>

using namespace sluice;
using http2::HeldHeads;
using http2::Lines;
using http2::Peer;
using http2::ServerBench;
using support::ProbeSink;

namespace {

constexpr size_t references = 15;
const Lines heavy(references, {"x", std::string(3900, 'v')});   // a byte each on the wire, once the field is in the table
constexpr size_t heavy_fit = 17;                                 // heads of 58,515 bytes and a few more

struct Bench : ServerBench {
  Bench() : client(Peer::Role::client, *pair.peer) {
    host.prepare = [](ProbeSink& sink) { sink.when_malformed = [](ProbeSink& s) { s.answer(http::status_of(s.why.kind), ""); }; };
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
  constexpr size_t line_bytes = 48;                                // of the pseudo fields of a GET
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
  b.ask(heavy_fit, heavy);                                   // all of it is free again
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
