// A pool class: a slow route has its part of the pool, and the others have the rest, whatever happens to it.
#include "rig.h"

#include <fmt/format.h>

#include <algorithm>

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using sim::Rig;

namespace {

std::string toml(std::string_view limit, std::string_view more = "") {
  return fmt::format(R"(
[[listener]]
address = "127.0.0.1:8080"
[[upstream]]
name = "app"
endpoints = ["10.0.0.1:3000"]
[upstream.pool]
max_connections = 32
acquire_timeout = "3s"
{}
[[upstream.pool_class]]
name = "bulk"
max_connections = {}
routes = ["slow"]
[[route]]
name = "slow"
path_prefix = "/slow"
upstream = "app"
[[route]]
name = "fast"
upstream = "app"
)",
                     more, limit);
}

// /slow is answered after a second, all else at once. Counts what it has under way of /slow.
struct Bench {
  explicit Bench(std::string_view limit, std::string_view more = "") : rig(toml(limit, more)) {
    rig.network.serve(net::Address::ipv4(0x0A000001, 3000), [this](support::ScriptedPeer& peer) {
      peer.on_event = [this](support::ScriptedPeer& p) {
        const std::string got = p.take();
        if (!got.starts_with("GET ")) return;
        if (got.starts_with("GET /slow/socket "))
          return p.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        const bool is_slow = got.starts_with("GET /slow");
        if (is_slow) most = std::max(most, ++busy);
        rig.sim.post(is_slow ? base::millis(1'000) : base::millis(0), [this, &p, is_slow] {
          if (is_slow) --busy;
          if (p.ended()) return;
          const bool fails = is_slow && std::exchange(fail_next, false);
          p.send(fails ? "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
                       : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
      };
    });
  }
  support::ScriptedPeer& ask(const char* path, std::string_view more = "") {
    support::ScriptedPeer& client = rig.client(0, "127.0.0.1");
    client.send(fmt::format("GET {} HTTP/1.1\r\nHost: a.test\r\n{}\r\n", path, more));
    rig.sim.settle();
    return client;
  }
  upstream::PoolClass& bulk() { return *rig.generation->upstreams[0].shared->pool_class("bulk"); }
  uint32_t queue() { return rig.generation->upstreams[0].shared->waiting(); }
  Rig rig;
  uint32_t busy = 0;
  uint32_t most = 0;
  bool fail_next = false;  // of /slow
};

}  // namespace

TEST_CASE("pool class: a saturated slow route has 8 of 32 connections, and the other one never waits") {
  Bench b("8");
  std::vector<support::ScriptedPeer*> slow;
  for (int i = 0; i < 8; ++i) slow.push_back(&b.ask("/slow"));
  CHECK((b.bulk().in_flight() == 8 && b.bulk().waiting() == 0));
  slow.push_back(&b.ask("/slow"));  // one above
  CHECK((b.bulk().in_flight() == 8 && b.bulk().waiting() == 1));
  for (int i = 0; i < 51; ++i) slow.push_back(&b.ask("/slow"));
  for (int i = 0; i < 500; ++i) {
    support::ScriptedPeer& fast = b.ask("/fast");
    b.rig.sim.run_for(base::millis(1));
    CHECK(fast.received().ends_with("ok"));
    CHECK(b.queue() == 0);
    b.rig.sim.run_for(base::millis(9));
  }
  CHECK(b.most == 8);
  const auto served = std::ranges::count_if(slow, [](const auto* p) { return p->received().ends_with("ok"); });
  const auto refused = std::ranges::count_if(
      slow, [](const auto* p) { return p->received().contains("x-sluice-reason: pool_timeout"); });
  CHECK(served >= 24);  // three rounds within the three seconds that they wait
  CHECK(served + refused == 60);
  b.rig.sim.run_for(base::millis(2'000));
  CHECK((b.bulk().in_flight() == 0 && b.bulk().waiting() == 0));
}

TEST_CASE("pool class: a share of the pool") {
  Bench b("\"25%\"");
  for (int i = 0; i < 20; ++i) b.ask("/slow");
  CHECK(b.busy == 8);
  CHECK(b.bulk().limit() == 8);
}

TEST_CASE("pool class: above max_waiting it is full, and the upstream's queue is not") {
  Bench b("1", "max_waiting = 2");
  for (int i = 0; i < 3; ++i) b.ask("/slow");
  CHECK(b.ask("/slow").received().contains("x-sluice-reason: pool_full"));
  support::ScriptedPeer& fast = b.ask("/fast");
  b.rig.sim.run_for(base::millis(1));
  CHECK(fast.received().ends_with("ok"));
}

TEST_CASE("pool class: a client that leaves while it waits is forgotten, and the next has its turn") {
  Bench b("1");
  b.ask("/slow");
  support::ScriptedPeer& leaves = b.ask("/slow");
  support::ScriptedPeer& half = b.ask("/slow");
  support::ScriptedPeer& next = b.ask("/slow");
  leaves.reset();
  half.fin();  // it has most likely left, and costs others their turn
  b.rig.sim.settle();
  CHECK(b.bulk().waiting() == 1);
  b.rig.sim.run_for(base::millis(2100));
  CHECK(next.received().ends_with("ok"));
  CHECK(b.bulk().in_flight() == 0);
}

TEST_CASE("pool class: one that leaves during its answer gives its place to the next") {
  Bench b("1");
  support::ScriptedPeer& first = b.ask("/slow");
  b.ask("/slow");
  first.reset();
  b.rig.sim.run_for(base::millis(1));
  CHECK((b.bulk().in_flight() == 1 && b.bulk().waiting() == 0));
}

TEST_CASE("pool class: a reload that raises the limit wakes who waits; counts stay") {
  Bench b("2");
  for (int i = 0; i < 6; ++i) b.ask("/slow");
  CHECK(b.busy == 2);
  b.rig.reload(toml("5"));
  CHECK(b.busy == 5);
  CHECK((b.bulk().in_flight() == 5 && b.bulk().waiting() == 1));
  b.rig.reload(toml("3"));
  CHECK(b.bulk().in_flight() == 5);
  b.ask("/slow");
  CHECK(b.bulk().waiting() == 2);
}

TEST_CASE("pool class: a retry keeps its place, and nobody else gets it meanwhile") {
  Bench b("1", "[upstream.retry]\non = [\"503\"]\nbackoff = \"0ms\"");
  support::ScriptedPeer& first = b.ask("/slow");
  support::ScriptedPeer& second = b.ask("/slow");
  b.fail_next = true;
  b.rig.sim.run_for(base::millis(1'500));
  CHECK(first.received().empty());
  CHECK(second.received().empty());
  CHECK((b.bulk().in_flight() == 1 && b.bulk().waiting() == 1));
  b.rig.sim.run_for(base::millis(600));
  CHECK(first.received().ends_with("ok"));
  CHECK(b.most == 1);
  b.rig.sim.run_for(base::millis(1'000));
  CHECK(second.received().contains("200 OK"));
}

TEST_CASE("pool class: a tunnel leaves it, as it leaves max_connections") {
  Bench b("1");
  constexpr std::string_view upgrade =
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  CHECK(b.ask("/slow/socket", upgrade).received().starts_with("HTTP/1.1 101 "));
  CHECK(b.bulk().in_flight() == 0);
  b.ask("/slow");
  CHECK(b.busy == 1);
}
