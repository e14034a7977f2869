// Upstreams of HTTP/2 that say odd things, by hand, behind a whole worker: limits that fall in the read in which
// streams are refused, GOAWAY in it, servers of different limits behind one address.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "peer.h"
#include "rig.h"
#include "wire.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using http2::Wire;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr uint16_t max_streams = 3;  // SETTINGS_MAX_CONCURRENT_STREAMS
constexpr uint32_t refused = 7;  // REFUSED_STREAM

std::string toml(const std::string& pool) {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nprotocol = \"h2\"\nendpoints = "
         "[\"10.0.0.1:3000\"]\n"
         "[upstream.pool]\n" +
         pool + "[[route]]\nupstream = \"app\"\n";
}

// A connection as the origin sees it: what it says is up to the test, stream by stream.
struct Far {
  Far(support::ScriptedPeer& peer, size_t n) : wire(peer), number(n) {}
  bool asked(uint32_t id) const { return wire.stream(id).find("END") != std::string::npos; }
  void answer(uint32_t id) { wire.send(http2::head_frame(id, {{":status", "200"}, {"content-length", "0"}})); }
  Wire wire;
  size_t number;
  uint32_t next = 1;  // stream that is to be looked at
};

// One worker and an origin whose connections do as the script says; clients of HTTP/1, one request each.
class World {
 public:
  using Script = std::function<void(Far&)>;
  World(const std::string& pool, Script script) : rig(toml(pool)), script_(std::move(script)) {
    rig.network.serve(app, [this](support::ScriptedPeer& peer) {
      fars.push_back(std::make_unique<Far>(peer, fars.size()));
      Far& far = *fars.back();
      far.wire.send(http2::settings_frame());
      const auto read = peer.on_event;  // Wire's
      peer.on_event = [this, read, &far](support::ScriptedPeer& p) {
        read(p);
        script_(far);
      };
    });
  }
  ~World() { rig.network.hush(); }

  support::ScriptedPeer& get() {
    support::ScriptedPeer& client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    clients.push_back(&client);
    return client;
  }
  // Status lines of all clients, in order: "200 200 502".
  std::string statuses() {
    std::string all;
    for (support::ScriptedPeer* client : clients) {
      const std::string got = client->take();
      all += (all.empty() ? "" : " ") + (got.size() > 12 ? got.substr(9, 3) : "none");
    }
    clients.clear();
    return all;
  }
  Rig rig;
  std::vector<std::unique_ptr<Far>> fars;
  std::vector<support::ScriptedPeer*> clients;

 private:
  Script script_;
};

std::string times(size_t n, const std::string& word) {
  std::string all;
  for (size_t i = 0; i < n; ++i) all += (i == 0 ? "" : " ") + word;
  return all;
}

}  // namespace

TEST_CASE("100 streams, then SETTINGS with fewer and REFUSED_STREAM in one read: calls go elsewhere or wait") {
  for (const uint32_t limit : {0U, 1U}) {
    for (const bool goaway : {false, true}) {
      CAPTURE(limit);
      CAPTURE(goaway);
      World w("max_connections = 2\n", [&](Far& far) {
        if (far.next == 1 && far.asked(1)) {  // the first one is answered, and 100 are announced
          far.wire.send(http2::settings_frame({{max_streams, 100}}));
          far.answer(1);
          far.next = 3;
        }
        if (far.number != 0 || far.next > 9) {
          for (; far.asked(far.next); far.next += 2) far.answer(far.next);
          return;
        }
        if (!far.asked(9)) return;  // four are there
        std::string all = http2::settings_frame({{max_streams, limit}});
        for (const uint32_t id : {5U, 7U, 9U}) all += http2::reset_frame(id, refused);
        if (goaway) all += http2::goaway_frame(9);
        all += http2::head_frame(3, {{":status", "200"}, {"content-length", "0"}});
        far.next = 11;
        far.wire.send(all);
      });
      w.get();
      w.rig.sim.settle();
      REQUIRE(w.statuses() == "200");
      for (int i = 0; i < 4; ++i) w.get();
      w.rig.sim.run_for(base::seconds(1));
      CHECK(w.statuses() == times(4, "200"));
      w.get();  // and the proxy goes on
      w.rig.sim.run_for(base::seconds(1));
      CHECK(w.statuses() == "200");
    }
  }
}

TEST_CASE("at a cap of one: requests wait for the limit to rise again, and none waits in vain") {
  World w("max_connections = 1\nacquire_timeout = \"5s\"\n", [&](Far& far) {
    for (; far.asked(far.next); far.next += 2) far.answer(far.next);
  });
  w.get();
  w.rig.sim.settle();
  REQUIRE(w.statuses() == "200");
  w.fars[0]->wire.send(http2::settings_frame({{max_streams, 0}}));
  w.rig.sim.settle();
  for (int i = 0; i < 3; ++i) w.get();
  w.rig.sim.run_for(base::seconds(1));
  CHECK(w.fars.size() == 1);
  CHECK(w.rig.metric(metrics::Name::upstream_pool_waiting) == 3);
  w.fars[0]->wire.send(http2::settings_frame({{max_streams, 1}}));
  w.rig.sim.settle();
  CHECK(w.statuses() == times(3, "200"));
}

TEST_CASE("servers of limits 1 and 100 behind one address") {
  World w("max_connections = 64\n", [&](Far& far) {
    if (far.next == 1 && far.asked(1))
      far.wire.send(http2::settings_frame({{max_streams, far.number % 2 == 0 ? 100U : 1U}}));
    for (const uint32_t first = far.next; far.asked(far.next); far.next += 2) {
      if (far.number % 2 == 1 && far.next != first) {
        far.wire.send(http2::reset_frame(far.next, refused));  // the second one at a time
      } else {
        far.answer(far.next);
      }
    }
  });
  w.rig.network.set_latency(base::Micros{500});
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 1 + round % 7; ++i) w.get();
    w.rig.sim.run_for(base::millis(round % 3));
    for (int i = 0; i < round % 3; ++i) w.get();
    w.rig.sim.run_for(base::seconds(1));
    const size_t n = w.clients.size();
    CHECK(w.statuses() == times(n, "200"));
    if (round % 5 == 4) w.fars.back()->wire.send(http2::goaway_frame(1U << 30));  // a new one is needed now and then
    w.rig.sim.settle();
  }
}

TEST_CASE("a connection that dies without a word loses one request's timeout, whatever comes after") {
  World w("max_connections = 4\n", [](Far& far) {
    const bool dead = far.number == 0 && far.next > 1;
    for (; !dead && far.asked(far.next); far.next += 2) far.answer(far.next);
  });
  w.rig.reload(toml("max_connections = 4\n") + "timeout = \"1s\"\n");
  w.get();
  w.rig.sim.settle();
  REQUIRE(w.statuses() == "200");
  size_t lost = 0;
  for (int i = 0; i < 32; ++i) {
    w.get();
    w.rig.sim.run_for(base::millis(1'050));
    lost += w.statuses() == "200" ? 0 : 1;
  }
  CHECK(lost == 1);
}

TEST_CASE(
    "a connection whose packets are dropped: found before any request's time is up, and what waits on it goes again") {
  for (const int warm : {0, 1, 5}) {
    World w("max_connections = 4\n", [](Far& far) {
      for (; far.asked(far.next); far.next += 2) far.answer(far.next);
    });
    w.rig.reload(toml("max_connections = 4\nconnect_timeout = \"500ms\"\n") + "timeout = \"60s\"\n");
    for (int i = 0; i <= warm; ++i) w.get();
    w.rig.sim.settle();
    REQUIRE(w.statuses() == times(static_cast<size_t>(warm) + 1, "200"));
    for (const auto& peer : w.rig.network.peers()) peer->lose();
    for (int i = 0; i < 32; ++i) {
      w.get();
      w.rig.sim.run_for(base::millis(200));
    }
    w.rig.sim.run_for(base::seconds(2));
    CHECK(w.statuses() == times(32, "200"));
  }
}

TEST_CASE("nor does its death draw on the retry budget when it was busy: each of its requests goes again") {
  World w("max_connections = 1\n", [](Far& far) {
    if (far.number == 0 && far.next == 1 && far.asked(1))
      far.next = 3;  // the first one waits for its answer all the while
    for (; far.asked(far.next); far.next += 2) far.answer(far.next);
  });
  w.rig.reload(toml("max_connections = 1\nconnect_timeout = \"500ms\"\n") + "timeout = \"60s\"\n");
  for (int i = 0; i < 3; ++i) w.get();
  w.rig.sim.settle();
  REQUIRE(w.statuses() == "none 200 200");
  for (const auto& peer : w.rig.network.peers()) peer->lose();
  for (int i = 0; i < 90; ++i) w.get();
  w.rig.sim.run_for(base::seconds(10));
  CHECK(w.statuses() == times(90, "200"));
  CHECK(w.rig.metric(metrics::Name::upstream_retries_refused_total, {"app"}) == 0);
}

TEST_CASE("an origin that does not read for long is not taken for dead: its answers come when it goes on") {
  World w("max_connections = 1\n", [](Far& far) {
    for (; far.asked(far.next); far.next += 2) far.answer(far.next);
  });
  w.rig.reload(toml("max_connections = 1\n") + "timeout = \"60s\"\n");
  w.get();
  w.rig.sim.settle();
  REQUIRE(w.statuses() == "200");
  w.rig.network.last_peer().hold();
  for (int i = 0; i < 5; ++i) w.get();
  w.rig.sim.run_for(base::seconds(30));
  w.rig.network.last_peer().resume();
  w.rig.sim.run_for(base::seconds(1));
  CHECK(w.statuses() == times(5, "200"));
  CHECK(w.fars.size() == 1);
}

TEST_CASE("DATA for HEAD, 204 and 304: a client of HTTP/1 gets its clean answer, and the connections go on") {
  for (const char* status : {"200", "204", "304"}) {
    CAPTURE(status);
    World w("max_connections = 1\n", [&](Far& far) {
      for (; far.asked(far.next); far.next += 2) {
        far.wire.send(http2::head_frame(far.next, {{":status", status}}, http2::end_headers) +
                      http2::data_frame(far.next, "surplus", far.next % 4 == 1 ? http2::end_stream : uint8_t{0}));
      }
    });
    support::ScriptedPeer& client = w.rig.client();
    for (int i = 0; i < 4; ++i) {
      client.send(std::string(*status == '2' && status[2] == '0' ? "HEAD" : "GET") +
                  " / HTTP/1.1\r\nHost: a.test\r\n\r\n");
      w.rig.sim.run_for(base::millis(10));
      const std::string got = client.take();
      CHECK(got.substr(9, 3) == status);
      CHECK(got.ends_with("\r\n\r\n"));
      CHECK(got.find("close") == std::string::npos);
    }
    CHECK(w.fars.size() == 1);
  }
}

TEST_CASE("... and a client of HTTP/2, whose stream ends clean beside others") {
  for (const char* status : {"200", "204", "304"}) {
    CAPTURE(status);
    World w("max_connections = 1\n", [&](Far& far) {
      for (; far.asked(far.next); far.next += 2) {
        far.wire.send(http2::head_frame(far.next, {{":status", status}}, http2::end_headers) +
                      http2::data_frame(far.next, "surplus", far.next % 4 == 1 ? http2::end_stream : uint8_t{0}));
      }
    });
    http2::Peer client(http2::Peer::Role::client, w.rig.client());
    http2::Lines lines = http2::get_lines("/");
    if (std::string(status) == "200") lines[0].second = "HEAD";
    std::vector<int32_t> ids;
    for (int i = 0; i < 20; ++i) {
      ids.push_back(client.ask(lines));
      if (i % 5 == 4) w.rig.sim.run_for(base::millis(10));
    }
    for (const int32_t id : ids) {
      CHECK(client.seen(id).heads.starts_with("[:status: " + std::string(status)));
      CHECK(client.seen(id).body.empty());
      CHECK(client.seen(id).ended);
      CHECK_FALSE(client.seen(id).reset);
    }
    CHECK(client.goaways.empty());
    CHECK(client.broken == "");
    CHECK(w.fars.size() == 1);
  }
}

TEST_CASE("a head above the peer's MAX_HEADER_LIST_SIZE: 431 here, and others on that connection live") {
  constexpr uint16_t header_list = 6;
  World w("max_connections = 1\n", [&](Far& far) {
    if (far.next == 1 && far.asked(1)) far.wire.send(http2::settings_frame({{header_list, 1'000}}));
    for (; far.asked(far.next); far.next += 2) far.answer(far.next);
  });
  w.get();
  w.rig.sim.settle();
  REQUIRE(w.statuses() == "200");
  const std::string got =
      w.rig.ask("GET / HTTP/1.1\r\nHost: a.test\r\nX-Large: " + std::string(1'000, 'x') + "\r\n\r\n");
  CHECK(got.substr(9, 3) == "431");
  w.get();
  w.rig.sim.settle();
  CHECK(w.statuses() == "200");
  CHECK(w.fars.size() == 1);
}
