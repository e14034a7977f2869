// What an outage costs: tries a request, counted where they arrive, while every endpoint fails in one of the ways in
// which endpoints do; and what a single dead endpoint of several costs, which is nothing.
#include <functional>
#include <string>
#include <vector>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address endpoints[] = {net::Address::ipv4(0x0A000001, 3000), net::Address::ipv4(0x0A000002, 3000),
                                  net::Address::ipv4(0x0A000003, 3000)};
const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const std::string get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

std::string three(std::string_view retry = "") {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n"
         "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\", \"10.0.0.2:3000\", \"10.0.0.3:3000\"]\n"
         "[upstream.retry]\n" +
         std::string(retry) + "\n[[route]]\nupstream = \"app\"\n";
}

struct Outage {
  Rig rig{three()};
  uint64_t requests = 0;
  uint64_t failed = 0;

  Outage() { rig.network.set_latency(base::Micros{200}); }
  uint64_t dials() const {
    uint64_t sum = 0;
    for (const net::Address& at : endpoints) sum += rig.network.dials(at);
    return sum;
  }
  // A request every 5 ms, each on a connection of its own, after `before`.
  void load(int count, const std::function<void()>& before = [] {}) {
    for (int i = 0; i < count; ++i) {
      before();
      support::ScriptedPeer& client = rig.client();
      client.send(get);
      rig.sim.run_for(base::millis(5));
      ++requests;
      waiting_.push_back(&client);
    }
    rig.sim.run_for(base::seconds(1));
    for (support::ScriptedPeer* const client : waiting_)
      failed += client->received().starts_with("HTTP/1.1 200 ") ? 0 : 1;
    waiting_.clear();
  }

 private:
  std::vector<support::ScriptedPeer*> waiting_;
};

void reset_at_once(support::ScriptedPeer& peer) { peer.reset(); }
void reset_when_asked(support::ScriptedPeer& peer) {
  peer.on_event = [](support::ScriptedPeer& p) { p.reset(); };
}

}  // namespace

TEST_CASE("all refuse: at most 1.25 tries a request, from the first second on") {
  Outage outage;
  for (const net::Address& at : endpoints) outage.rig.network.fail(at, net::EndReason::refused);
  outage.load(1'000);
  CHECK(outage.failed == outage.requests);
  CHECK(outage.dials() <= outage.requests * 5 / 4);
  CHECK(outage.rig.metric(Name::upstream_retries_refused_total, {"app", "budget"}) > 0);
}

TEST_CASE("all accept and reset, at once or when they are asked, or every other connect fails: likewise") {
  for (const int way : {0, 1, 2}) {
    CAPTURE(way);
    Outage outage;
    const auto accept = [&outage, way] {
      for (const net::Address& at : endpoints) {
        outage.rig.network.serve(at, [&outage, &at, way](support::ScriptedPeer& peer) {
          if (way == 1) return reset_when_asked(peer);
          reset_at_once(peer);
          if (way == 2) outage.rig.network.fail(at, net::EndReason::reset);
        });
      }
    };
    outage.load(1'000, accept);
    CHECK(outage.failed == outage.requests);
    CHECK(outage.dials() <= outage.requests * 5 / 4);
  }
}

TEST_CASE(
    "one of three dies under a burst out of a calm: each of the requests that meet it is tried again, for nothing") {
  Outage outage;
  for (const net::Address& at : endpoints) outage.rig.network.serve(at, sim::answering(ok));
  outage.rig.network.fail(endpoints[0], net::EndReason::refused);
  std::vector<support::ScriptedPeer*> clients;
  for (int i = 0; i < 150; ++i) clients.push_back(&outage.rig.client());
  for (support::ScriptedPeer* const client : clients) client->send(get);  // more meet it than the budget's floor of 30
  outage.rig.sim.run_for(base::seconds(1));
  for (support::ScriptedPeer* const client : clients) CHECK(client->received().ends_with("hello"));
  CHECK(outage.rig.network.dials(endpoints[0]) > 35);
  CHECK(outage.rig.metric(Name::upstream_retries_refused_total, {"app", "budget"}) == 0);
}

TEST_CASE("an endpoint that answered may die again, and its first failures are free again") {
  Outage outage;
  for (const net::Address& at : endpoints) outage.rig.network.serve(at, sim::answering(ok));
  for (int round = 0; round < 3; ++round) {
    outage.rig.network.fail(endpoints[0], net::EndReason::refused);
    for (const auto& peer : outage.rig.network.peers()) {
      if (!peer->ended()) peer->fin();  // every connection is made anew
    }
    outage.rig.sim.run_for(base::seconds(1));
    std::vector<support::ScriptedPeer*> clients;
    for (int i = 0; i < 150; ++i) clients.push_back(&outage.rig.client());
    for (support::ScriptedPeer* const client : clients) client->send(get);
    outage.rig.sim.run_for(base::seconds(1));
    for (support::ScriptedPeer* const client : clients) CHECK(client->received().ends_with("hello"));
    outage.rig.network.serve(endpoints[0], sim::answering(ok));
    outage.rig.sim.run_for(base::seconds(20));
    outage.load(100);
    CHECK(outage.failed == 0);
  }
}

TEST_CASE("tries that failed together come back at times of their own") {
  Rig rig(three("backoff = \"40ms\""));
  std::vector<int64_t> at;
  bool dying = true;
  for (const net::Address& where : endpoints) {
    rig.network.serve(where, [&](support::ScriptedPeer& peer) {
      peer.on_event = [&](support::ScriptedPeer& p) {
        if (p.take().empty()) return;
        if (dying) return p.reset();
        at.push_back(rig.sim.loop().now().count);
        p.send(ok);
      };
    });
  }
  std::vector<support::ScriptedPeer*> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(&rig.client());
  for (support::ScriptedPeer* const client : clients) client->send(get);
  const int64_t began = rig.sim.loop().now().count;
  rig.sim.settle();
  dying = false;
  rig.sim.run_for(base::millis(41));
  for (support::ScriptedPeer* const client : clients) CHECK(client->received().ends_with("hello"));
  REQUIRE(at.size() == 20);
  int late = 0;
  for (const int64_t one : at) {
    CHECK(one - began <= 41'000);
    late += one - began >= 10'000 ? 1 : 0;
  }
  CHECK(late >= 5);  // of 15 that are to be expected
}

TEST_CASE("gateway_error: 502, 503 and 504 of an upstream are asked again, other statuses are not") {
  for (const int status : {500, 502, 503, 504, 501}) {
    CAPTURE(status);
    Rig rig(three("on = [\"gateway_error\"]"));
    int asked = 0;
    for (const net::Address& where : endpoints) {
      rig.network.serve(where, [&, status](support::ScriptedPeer& peer) {
        peer.on_event = [&, status](support::ScriptedPeer& p) {
          if (p.take().empty()) return;
          p.send(++asked == 1 ? "HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Length: 0\r\n\r\n" : ok);
        };
      });
    }
    support::ScriptedPeer& client = rig.client();
    client.send(get);
    rig.sim.run_for(base::seconds(1));
    const bool again = status >= 502;
    CHECK(asked == (again ? 2 : 1));
    CHECK(client.received().starts_with(again ? "HTTP/1.1 200 " : "HTTP/1.1 " + std::to_string(status)));
  }
}

TEST_CASE(
    "of three endpoints two fail: three tries always find the third, in whatever way the two fail and are picked") {
  struct Case {
    const char* what;
    const char* keys;
    support::SimNetwork::OnPeer peer;
  };
  const auto answers = [](const char* answer) { return sim::answering(answer); };
  const Case cases[] = {{"reset when asked", "", reset_when_asked},
                        {"reset at once", "", reset_at_once},
                        {"502", "on = [\"gateway_error\"]", answers("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")},
                        {"503, and no connection is kept", "on = [\"503\"]",
                         answers("HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")},
                        {"silence", "per_try_timeout = \"50ms\"", [](support::ScriptedPeer&) {}}};
  for (const Case& way : cases) {
    for (const char* balance : {"p2c", "p2c_ewma", "round_robin", "least_requests", "ring_hash"}) {
      CAPTURE(way.what);
      CAPTURE(balance);
      // Nothing is ejected or paused, and no budget runs out: the list alone finds the third.
      std::string text =
          three("attempts = 3\nbudget = 1.0\n" + std::string(way.keys) + "\n[upstream.outlier]\nenabled = false");
      text.insert(text.find("[upstream.retry]"), "balance = \"" + std::string(balance) + "\"\n");
      Rig rig(text);
      rig.network.serve(endpoints[0], way.peer);
      rig.network.serve(endpoints[1], way.peer);
      rig.network.serve(endpoints[2], sim::answering(ok));
      for (int i = 0; i < 40; ++i) {
        support::ScriptedPeer& client = rig.client();
        client.send(get);
        rig.sim.run_for(base::seconds(1));
        CHECK(client.take().ends_with("hello"));
      }
    }
  }
}

TEST_CASE("all have failed: the fourth try goes to the endpoint that was tried first, and gets through there") {
  Rig rig(three("attempts = 4\nbudget = 1.0\n[upstream.outlier]\nenabled = false"));
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) {
    rig.network.serve(endpoints[i], [&order, i](support::ScriptedPeer& peer) {
      peer.on_event = [&order, i](support::ScriptedPeer& p) {
        if (p.take().empty()) return;
        order.push_back(i);
        if (order.size() % 4 != 0) return p.reset();
        p.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");  // no idle one dies
      };
    });
  }
  for (int n = 0; n < 20; ++n) {
    order.clear();
    support::ScriptedPeer& client = rig.client();
    client.send(get);
    rig.sim.run_for(base::seconds(1));
    CHECK(client.take().ends_with("hello"));
    REQUIRE(order.size() == 4);
    CHECK(order[0] + order[1] + order[2] == 3);
    CHECK(order[3] == order[0]);
  }
}

TEST_CASE("retries are told by what they were made for and whether they helped; what had none, by why") {
  Outage outage;
  const auto& rig = outage.rig;
  const auto retries = [&](const char* reason, const char* outcome) {
    return rig.metric(Name::upstream_retries_total, {"app", reason, outcome});
  };
  for (const net::Address& at : endpoints) outage.rig.network.serve(at, sim::answering(ok));
  outage.rig.network.serve(endpoints[0], reset_when_asked);
  outage.load(30);
  CHECK(outage.failed == 0);
  CHECK(retries("reset", "success") > 0);
  CHECK(retries("reset", "failed") == 0);
  CHECK(rig.metric(Name::upstream_tries_total, {"app", "first"}) == 30);
  CHECK(rig.metric(Name::upstream_tries_total, {"app", "retry"}) == retries("reset", "success"));
}

TEST_CASE("retries that fail, and failures that had no further try, by why") {
  Outage outage;
  const auto refused = [&](const char* why) {
    return outage.rig.metric(Name::upstream_retries_refused_total, {"app", why});
  };
  for (const net::Address& at : endpoints) outage.rig.network.serve(at, reset_when_asked);
  support::ScriptedPeer& client = outage.rig.client();
  client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx");
  outage.rig.sim.run_for(base::seconds(1));
  CHECK(client.received().starts_with("HTTP/1.1 502 "));
  CHECK(refused("unsafe") == 1);
  CHECK(refused("attempts") == 0);
  outage.load(1);
  CHECK(outage.failed == 1);
  CHECK(outage.rig.metric(Name::upstream_retries_total, {"app", "reset", "failed"}) == 1);
  CHECK(refused("attempts") == 1);
  CHECK(refused("budget") == 0);
}
