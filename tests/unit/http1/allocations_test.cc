// The keep-alive path touches no heap: counted over both sessions at once, on bytes that the test hands over itself.
#include "support/count_allocations.h"

#include "bench.h"
#include "support/fake_transport.h"
#include "support/relay.h"

#include <doctest/doctest.h>

using namespace sluice;

TEST_CASE("no allocation a request on the keep-alive path, with bodies, chunks and trailers") {
  support::SimLoop sim;
  net::Loop& loop = sim.loop();
  support::FakeTransport front(loop);
  support::FakeTransport back(loop);
  support::Relay relay;
  http::DownstreamOptions options;
  options.max_requests = 1'000'000;
  http::ServerSessionPtr server =
      http1::make_server_session(loop, net::TransportPtr(&front), options, http::Scheme::http, relay);
  http::ClientSessionPtr client = http1::make_client_session(loop, net::TransportPtr(&back), options.limits, relay);
  relay.client = client.get();
  const std::pair<std::string, std::string> exchanges[] = {
      {"GET /path?query HTTP/1.1\r\nHost: example.com\r\nUser-Agent: test/1.0\r\nAccept: */*\r\nX-A: b\r\n\r\n",
       "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Tue, 21 Nov 2023 09:01:19 GMT\r\nContent-Type: "
       "text/plain\r\nContent-Length: 5\r\n\r\nhello"},
      {"POST /p HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'x'),
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + std::string(1000, 'y') +
           "\r\n0\r\nT: 1\r\n\r\n"},
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
  CHECK_FALSE(relay.broken);
  server.reset();
  client.reset();
  loop.turn(base::Micros{0});
}
