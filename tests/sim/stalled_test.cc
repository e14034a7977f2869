// What one that does not read takes from the others: not a microsecond. Wires have a rate, so simulated time tells the
// throughput; who shares a connection, towards the client or the upstream, shares its rate. A run with the one that has
// come to a stop and a run without it must take the same time.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using http2::Peer;
using sim::Rig;

namespace {

enum class Version : uint8_t { http1, http2 };
enum class Slow : uint8_t { clients, upstreams };  // whose wires limit the rate
enum class Beside : uint8_t { nobody, stalled_stream, silent_client };

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr size_t body_bytes = 512 * 1024;
constexpr size_t first_window = 65535;  // of a stream whose client says nothing
constexpr int32_t wide = 1 << 30;
constexpr size_t piece = 16 * 1024;  // leaves a wire each
constexpr base::Micros slow_piece{1000};
constexpr base::Micros fast_piece{100};

std::string toml(Version up) {
  const std::string app_table = up == Version::http2 ? "protocol = \"h2\"\n[upstream.pool]\nmax_connections = 1\n"
                                                     : "[upstream.pool]\nmax_connections = 400\n";
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n" +
         app_table + "[[route]]\nupstream = \"app\"\n";
}

// A worker, its upstream and clients whose wires have a rate.
class Stage {
 public:
  Stage(Version up, Slow slow) : rig_(toml(up)), client_piece_(slow == Slow::clients ? slow_piece : fast_piece) {
    rig_.network.set_latency(slow == Slow::upstreams ? slow_piece : fast_piece);
    rig_.network.set_tear([] { return support::tear_every(piece); });
    if (up == Version::http1) {
      rig_.network.serve(
          app, sim::answering("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body_bytes) + "\r\n\r\n" + body_));
    } else {
      rig_.network.serve(app, [this](support::ScriptedPeer& wire) { serve_http2(wire); });
    }
  }

  support::ScriptedPeer& wire() {
    auto pair = support::scripted_pair(rig_.sim);
    pair.wire->set_latency(client_piece_);
    wires_.push_back(std::move(pair.peer));
    pair.wire->set_tear(support::Wire::From::a, support::tear_every(piece));
    rig_.worker->bring(0, std::move(pair.transport));
    return *wires_.back();
  }
  void settle(base::Millis span = base::seconds(1)) { rig_.sim.run_for(span); }
  template <class Done>
  base::Micros time_until(Done done) {
    const base::Micros began = rig_.sim.now();
    CHECK(rig_.sim.until(done, base::seconds(20)));
    return rig_.sim.now() - began;
  }

 private:
  void serve_http2(support::ScriptedPeer& wire) {
    servers_.push_back(std::make_unique<Peer>(Peer::Role::server, wire,
                                              Peer::Options{{{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000}}}));
    Peer* const server = servers_.back().get();
    server->flush();
    server->on_request = [this, server](int32_t id) {
      server->answer(id, {{":status", "200"}, {"content-length", std::to_string(body_bytes)}}, &body_);
    };
  }

  const std::string body_ = std::string(body_bytes, 'x');
  Rig rig_;
  base::Micros client_piece_;
  std::vector<std::unique_ptr<support::ScriptedPeer>> wires_;
  std::vector<std::unique_ptr<Peer>> servers_;
};

// A client of HTTP/2 that opens windows at once, but for those it is told not to.
class Streams {
 public:
  explicit Streams(Stage& stage) : wire_(stage.wire()), peer_(Peer::Role::client, wire_, Peer::Options{{}, true}) {
    nghttp2_session_set_local_window_size(peer_.raw(), NGHTTP2_FLAG_NONE, 0, wide);
    peer_.flush();
  }
  int32_t narrow() { return peer_.get(); }
  int32_t open() {
    const int32_t id = peer_.get();
    widen(id);
    return id;
  }
  void widen(int32_t id) {
    nghttp2_session_set_local_window_size(peer_.raw(), NGHTTP2_FLAG_NONE, id, wide);
    peer_.flush();
  }
  bool whole(int32_t id) { return peer_.seen(id).ended && peer_.seen(id).body.size() == body_bytes; }
  bool whole(const std::vector<int32_t>& ids) {
    return std::ranges::all_of(ids, [this](int32_t id) { return whole(id); });
  }
  support::ScriptedPeer& wire() { return wire_; }
  size_t got(int32_t id) { return peer_.seen(id).body.size(); }

 private:
  support::ScriptedPeer& wire_;
  Peer peer_;
};

std::vector<int32_t> open_many(Streams& client, int count) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back(client.open());
  return ids;
}

void ask(support::ScriptedPeer& wire) { wire.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"); }
bool whole(const support::ScriptedPeer& wire) {
  const std::string& all = wire.received();
  return all.size() > body_bytes && all.size() == all.find("\r\n\r\n") + 4 + body_bytes;
}

// A client that asks for forty downloads and does not read a byte.
class Silent {
 public:
  explicit Silent(Stage& stage) : client_(stage) {
    stage.settle();
    client_.wire().hold();
    asked_ = open_many(client_, 40);
  }
  bool nothing_came() {
    return std::ranges::all_of(asked_, [this](int32_t id) { return client_.got(id) == 0; });
  }
  void read(Stage& stage) {
    client_.wire().resume();
    stage.settle(base::seconds(5));
    CHECK(client_.whole(asked_));
  }

 private:
  Streams client_;
  std::vector<int32_t> asked_;
};

// How long nine downloads on one connection take. Who is beside them has come to a stop, and nine were had before, so
// that connections are there.
base::Micros nine_streams(Version up, Slow slow, Beside beside) {
  Stage stage(up, slow);
  Streams client(stage);
  const int32_t stalled = beside == Beside::stalled_stream ? client.narrow() : 0;
  std::optional<Silent> silent;
  if (beside == Beside::silent_client) silent.emplace(stage);
  stage.settle();
  const auto before = open_many(client, 9);
  stage.settle();
  CHECK(client.whole(before));
  const auto nine = open_many(client, 9);
  const base::Micros took = stage.time_until([&] { return client.whole(nine); });
  if (stalled != 0) {  // it stood all the time, and goes on when it may
    CHECK(client.got(stalled) == first_window);
    client.widen(stalled);
    stage.settle();
    CHECK(client.whole(stalled));
  }
  if (silent) {
    CHECK(silent->nothing_came());
    silent->read(stage);
  }
  return took;
}

// The same on ten connections of HTTP/1, of which one is not read: any of them is a client of its own.
base::Micros nine_connections(Version up, Slow slow, Beside beside) {
  Stage stage(up, slow);
  std::vector<support::ScriptedPeer*> wires;
  for (int i = 0; i < 10; ++i) wires.push_back(&stage.wire());
  for (auto* wire : wires) ask(*wire);
  stage.settle();
  for (auto* wire : wires) {
    CHECK(whole(*wire));
    wire->take();
  }
  support::ScriptedPeer& tenth = *wires.back();
  wires.pop_back();
  tenth.hold();
  if (beside == Beside::silent_client) ask(tenth);
  stage.settle();
  for (auto* wire : wires) ask(*wire);
  const base::Micros took =
      stage.time_until([&] { return std::ranges::all_of(wires, [](const auto* w) { return whole(*w); }); });
  CHECK(tenth.received().empty());
  tenth.resume();
  stage.settle();
  CHECK(whole(tenth) == (beside == Beside::silent_client));
  return took;
}

template <class Nine>
void check_same(Nine nine, Beside beside) {
  for (const Version up : {Version::http1, Version::http2}) {
    for (const Slow slow : {Slow::clients, Slow::upstreams}) {
      CAPTURE(static_cast<int>(up));
      CAPTURE(static_cast<int>(slow));
      CHECK(nine(up, slow, beside).count == nine(up, slow, Beside::nobody).count);
    }
  }
}

}  // namespace

TEST_CASE("nine streams end at the same time with and without a tenth that gets no credit") {
  check_same(nine_streams, Beside::stalled_stream);
}

TEST_CASE("streams end at the same time with and without another client that asks for forty and reads nothing") {
  check_same(nine_streams, Beside::silent_client);
}

TEST_CASE("nine connections of HTTP/1 end at the same time with and without a tenth that is not read") {
  check_same(nine_connections, Beside::silent_client);
}
