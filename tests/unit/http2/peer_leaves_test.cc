// A client that says GOAWAY: what it has under way is answered, then the connection ends.
#include "bench.h"

#include <doctest/doctest.h>

namespace sluice {

using http2::Peer;
using http2::ServerBench;

TEST_CASE("a client that is about to leave is answered, and let go of") {
  ServerBench b;
  b.host.prepare = nullptr;
  Peer client(Peer::Role::client, *b.pair.peer);
  const int32_t id = client.get("/");
  b.sim.settle();
  nghttp2_submit_goaway(client.raw(), NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  client.flush();
  b.sim.settle();
  b.sink().answer(200, "ok");
  b.sim.settle();
  CHECK(client.seen(id).body == "ok");
  CHECK(client.seen(id).code == 0);
  CHECK(client.pings == 1);
  CHECK(client.goaways == std::vector<std::pair<int32_t, uint32_t>>{{INT32_MAX, 0}, {id, 0}});
  CHECK(b.pair.peer->got_fin());
  CHECK(b.contract.text() == "");
}

}  // namespace sluice
