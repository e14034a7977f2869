// The server session against an nghttp2 client: requests, bodies, windows, resets, leaving.
#include "bench.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::Lines;
using http2::Peer;
using http2::ServerBench;
using support::ProbeSink;

namespace {

struct Bench : ServerBench {
  explicit Bench(const http::DownstreamOptions& o = {}, const Peer::Options& p = {})
      : ServerBench(o), client(Peer::Role::client, *pair.peer, p) {
    client.flush();
    sim.settle();
  }
  ~Bench() { CHECK(contract.text() == ""); }
  Peer client;
};

}  // namespace

TEST_CASE("a request and its answer") {
  Bench b;
  const int32_t id = b.client.get("/a?b", {{"x-y", "z"}});
  b.sim.settle();
  CHECK(b.sink().trace == "request GET http://example.com /a?b [x-y: z]\nend\nclosed clean\n");
  CHECK(b.client.seen(id).heads == "[:status: 200][content-length: 2]");
  CHECK(b.client.seen(id).body == "ok");
  CHECK(b.client.seen(id).code == 0);
  CHECK_FALSE(b.client.seen(id).reset);
  CHECK(b.client.broken == "");
  CHECK(b.host.session->open_streams() == 0);
}

// RFC 9110 6.6.1. What the upstream dated goes on as it is; 1xx have none. Upgrade has no place here, on a 426 neither
// (RFC 9113 8.2.2).
TEST_CASE("every final answer has one Date") {
  Bench b;
  const auto answer = [&](auto how, const Lines& more = {}) {
    b.host.prepare = [how](ProbeSink& s) { s.when_ended = s.when_malformed = how; };
    const int32_t id = b.client.get("/", more);
    b.sim.settle();
    return b.client.seen(id).blocks;
  };
  const std::pair<std::string, std::string> ours("date", "Tue, 14 Nov 2023 23:13:20 GMT");
  CHECK(answer([](ProbeSink& p) { p.answer(200, ""); }) ==
        std::vector<Lines>{{{":status", "200"}, ours, {"content-length", "0"}}});
  CHECK(answer([](ProbeSink& p) { p.answer(400, ""); }, {{"te", "gzip"}})[0][1] == ours);
  CHECK(answer([](ProbeSink& p) { p.answer(204, "", {{"Date", "yesterday"}}); }) ==
        std::vector<Lines>{{{":status", "204"}, {"date", "yesterday"}}});
  const auto hints = answer([](ProbeSink& p) {
    http::Head head(p.stream->arena());
    head.status = 103;
    p.send_head(head, http::End::no);
    head.status = 426;
    head.upgrade = "foo";
    p.send_head(head, http::End::yes);
  });
  CHECK(hints == std::vector<Lines>{{{":status", "103"}}, {{":status", "426"}, ours}});
}

TEST_CASE("torn at every position the same is heard") {
  std::string whole;
  for (size_t at = 0; at < 400; ++at) {
    ServerBench b;
    Peer client(Peer::Role::client, *b.pair.peer);
    b.pair.peer->tear(at == 0 ? support::tear_every(1) : support::tear_at({at}));
    const std::string body(100, 'x');
    const int32_t one = client.ask({{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}},
                                   &body, {{"t", "1"}});
    const int32_t two = client.get("/2");
    b.sim.settle();
    CHECK(client.seen(one).body == "ok");
    CHECK(client.seen(two).body == "ok");
    if (whole.empty()) whole = b.host.trace();
    CHECK(b.host.trace() == whole);
    CHECK(b.contract.text() == "");
  }
}
