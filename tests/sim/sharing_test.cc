// What one worker's traffic leaves alone: counts that all workers share.
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using sim::Rig;

namespace {

const char* const toml =
    "[[listener]]\naddress = \"127.0.0.1:0\"\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n"
    "[[route]]\nupstream = \"app\"\n";

}  // namespace

TEST_CASE("connections and requests count references to the configuration on their own worker only") {
  Rig rig(toml);
  rig.network.serve(net::Address::ipv4(0x0A000001, 3000),
                    sim::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  CHECK(rig.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").ends_with("ok"));  // the first one makes the cluster
  const long generation = rig.generation.use_count();
  const long listening = rig.generation->listeners[0].use_count();
  const long endpoint = rig.generation->upstreams[0].shared->endpoints()->entries[0].endpoint.use_count();
  for (int i = 0; i < 3; ++i) {
    CHECK(rig.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").ends_with("ok"));   // and stays open
  }
  CHECK(rig.generation.use_count() == generation);
  CHECK(rig.generation->listeners[0].use_count() == listening);
  CHECK(rig.generation->upstreams[0].shared->endpoints()->entries[0].endpoint.use_count() == endpoint);
}
