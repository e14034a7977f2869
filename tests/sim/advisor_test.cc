// The advisor in a whole worker: a pool that is too small and an upstream that is slow are told apart.
#include <string>

#include "rig.h"
#include "upstream/metrics.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

class World {
 public:
  explicit World(base::Millis think)
      : rig("[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nendpoints = "
            "[\"10.0.0.1:3000\"]\n[upstream.pool]\nmax_connections = 8\nacquire_timeout = \"5s\"\n[[route]]\nupstream "
            "= "
            "\"app\"\n"),
        think_(think) {
    const auto& shared = rig.generation->upstreams[0].shared;
    upstream::export_shared(rig.registry, shared, {}, *rig.generation->upstreams[0].options, rig.sim.clock());
    rig.network.serve(app, [this](support::ScriptedPeer& peer) {
      peer.on_event = [this](support::ScriptedPeer& p) {
        if (p.take().find("\r\n\r\n") == std::string::npos) return;
        rig.sim.post(think_, [&p] {
          if (!p.ended()) p.send(ok);
        });
      };
    });
  }
  ~World() { rig.network.hush(); }
  void load(int per_second, int seconds) {
    for (int i = 0; i < per_second * seconds; ++i) {
      rig.client().send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
      rig.sim.run_for(base::millis(1'000 / per_second));
    }
  }
  void think(base::Millis time) { think_ = time; }
  double value(Name name) const { return rig.metric(name, {"app"}); }
  Rig rig;

 private:
  base::Millis think_;
};

}  // namespace

TEST_CASE("the load of a pool stands in the scrape beside what it may have, from the first second") {
  World w(base::millis(100));
  w.load(20, 2);
  CHECK(w.value(Name::upstream_pool_offered_load) == doctest::Approx(2).epsilon(0.2));
  CHECK(w.value(Name::upstream_pool_recommended_connections) == 5);
  CHECK(w.value(Name::upstream_pool_limit_connections) == 8);
  CHECK(w.value(Name::upstream_service_seconds) == doctest::Approx(0.1).epsilon(0.1));
}

TEST_CASE("the same load, of more requests or of slower ones: only the second is the upstream's") {
  World w(base::millis(20));
  w.load(20, 20);
  CHECK(w.value(Name::upstream_pool_recommended_connections) <= 3);
  const double usual = w.value(Name::upstream_service_seconds_usual);
  SUBCASE("slower ones") {
    w.think(base::millis(500));
    w.load(20, 8);
    CHECK(w.value(Name::upstream_service_seconds) > 2 * w.value(Name::upstream_service_seconds_usual));
  }
  SUBCASE("more requests") {
    w.load(500, 8);
    CHECK(w.value(Name::upstream_service_seconds) < 1.2 * usual);
  }
  CHECK(w.value(Name::upstream_pool_recommended_connections) > w.value(Name::upstream_pool_limit_connections));
}
