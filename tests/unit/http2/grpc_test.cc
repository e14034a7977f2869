// A gRPC call may be silent: limits for slow uploads do not rule its messages.
#include "bench.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::Peer;
using http2::ServerBench;

namespace {

// Two minutes of silence within a request of this type.
std::string silence(const std::string& type) {
  http::DownstreamOptions options;
  ServerBench b(options);
  Peer client(Peer::Role::client, *b.pair.peer);
  const int32_t id = client.begin({{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"content-type", type}});
  client.more(id, "x");
  b.sim.settle();
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

TEST_CASE("a silent gRPC call lives on, a silent upload does not") {
  CHECK(silence("application/grpc") == "xy");
  CHECK(silence("application/grpc+proto") == "xy");
  CHECK(silence("application/grpc-web").starts_with("malformed request_timeout slow_body\n"));
  CHECK(silence("text/plain").starts_with("malformed request_timeout slow_body\n"));
}
