// Handshakes between our client and our server: what is negotiated, what is refused, and in which words.
#include "rig.h"

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

using support::SimLoop;
using tls::HandshakeError;

TEST_CASE("client and server shake hands and exchange bytes") {
  SimLoop sim;
  Rig rig(sim);
  rig.client.send("ping");
  rig.server.send("pong");
  sim.settle();
  REQUIRE(rig.open());
  CHECK(rig.server.got == "ping");
  CHECK(rig.client.got == "pong");
  const net::Peer& seen = rig.server.transport->peer();
  CHECK(seen.tls);
  CHECK(seen.tls_version == 0x0304);
  CHECK(!seen.tls_resumed);
  CHECK(seen.sni == "localhost");
  CHECK(seen.alpn.empty());
  REQUIRE(bool(seen.certificate_covers != nullptr));
  CHECK(seen.certificate_covers(seen.certificate, "localhost"));
  CHECK(seen.certificate_covers(seen.certificate, "127.0.0.1"));
  CHECK(!seen.certificate_covers(seen.certificate, "other"));
  REQUIRE(rig.server_events.facts.size() == 1);
  CHECK(rig.server_events.facts[0].version == 0x0304);
  CHECK(rig.client_events.facts.size() == 1);
  CHECK(rig.server_events.errors.empty());
  CHECK(rig.server.drained == 1);
}
}  // namespace
}  // namespace sluice::test
