// A gRPC call may be silent where HTTP/2 carries it: limits for slow uploads do not rule its messages.
#include <string>
#include <vector>

#include "bench.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::Peer;
using http2::ServerBench;

namespace {

// Two minutes of silence within a request of this type, whose sink allows it or not.
std::string silence(const std::string& type, bool allowed) {
  http::DownstreamOptions options;
  ServerBench b(options);
  Peer client(Peer::Role::client, *b.pair.peer);
  const int32_t id = client.begin(
      {{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"content-type", type}});
  client.more(id, "x");
  b.sim.settle();
  b.sink().stream->allow_silence(allowed);
  b.sim.run_for(base::minutes(2));
  const std::string at_first = b.sink().trace;
  client.more(id, "y");
  client.end(id);
  b.sim.settle();
  CHECK(client.broken == "");
  CHECK(b.contract.text() == "");
  return b.sink().malformed ? at_first.substr(at_first.find("malformed")) : b.sink().body;
}

}  // namespace

TEST_CASE("a body may be silent where its sink allows it; what it calls itself does not matter") {
  for (const char* type : {"application/grpc", "application/grpc+proto", "text/plain"}) {
    CHECK(silence(type, true) == "xy");
    CHECK(silence(type, false).starts_with("malformed request_timeout slow_body\n"));
  }
}

TEST_CASE("silence that is allowed no longer has body_timeout from then on") {
  ServerBench b;
  Peer client(Peer::Role::client, *b.pair.peer);
  client.more(client.begin({{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}), "x");
  b.sim.settle();
  b.sink().stream->allow_silence(true);
  b.sim.run_for(base::minutes(10));
  b.sink().stream->allow_silence(false);
  b.sim.run_for(base::seconds(29));
  CHECK_FALSE(b.sink().malformed);
  b.sim.run_for(base::seconds(2));
  CHECK(b.sink().malformed);
}

namespace {

// Codes of the GOAWAYs after 400 calls with this deadline, 100 at a time, each cancelled when it has lived so long.
std::vector<uint32_t> cancelled(const http2::Lines& deadline, base::Millis lived) {
  ServerBench b;
  b.host.prepare = [](support::ProbeSink&) {};
  Peer client(Peer::Role::client, *b.pair.peer);
  http2::Lines lines{{":method", "POST"},
                     {":scheme", "http"},
                     {":authority", "a"},
                     {":path", "/"},
                     {"content-type", "application/grpc"}};
  lines.insert(lines.end(), deadline.begin(), deadline.end());
  for (int batch = 0; batch < 4; ++batch) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 100; ++i) ids.push_back(client.ask(lines));
    b.sim.settle();
    b.sim.run_for(lived);
    for (const int32_t id : ids) client.reset(id);
    client.flush();
    b.sim.settle();
  }
  std::vector<uint32_t> codes;
  for (const auto& [last, code] : client.goaways) codes.push_back(code);
  return codes;
}
const std::vector<uint32_t> calm{NGHTTP2_ENHANCE_YOUR_CALM};

}  // namespace

TEST_CASE(
    "row 33: calls cancelled at their deadline are no flood, other cancellations are, whatever deadline they name") {
  CHECK(cancelled({{"grpc-timeout", "300m"}}, base::Millis{300}).empty());
  CHECK(cancelled({{"grpc-timeout", "300m"}}, base::Millis{260}).empty());      // within the slack
  CHECK(cancelled({{"grpc-timeout", "100m"}}, base::Millis{100}).empty());      // the shortest one that is believed
  CHECK(cancelled({{"grpc-timeout", "99m"}}, base::Millis{99}) == calm);
  CHECK(cancelled({{"grpc-timeout", "300m"}}, base::Millis{200}) == calm);
  CHECK(cancelled({{"grpc-timeout", "1n"}}, base::Millis{5}) == calm);
  CHECK(cancelled({}, base::Millis{300}) == calm);
}
