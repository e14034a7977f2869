// Origins that close a connection about when the next request is on its way: a GET never fails for it, a POST never
// goes twice.
#include <memory>
#include <string>
#include <vector>

#include "rig.h"
#include "support/random.h"
#include "wire.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
enum class Origin : uint8_t { http1, http2_fin, http2_goaway };

// Answers the first request of each connection, and closes up to 2 ms later; what comes after that was in vain.
class World {
 public:
  World(Origin origin, unsigned most) : origin_(origin), random_(7), rig(toml(origin, most)) {
    rig.network.set_latency(base::Micros{300});
    rig.network.serve(app, [this](support::ScriptedPeer& peer) { serve(peer); });
  }
  ~World() { rig.network.hush(); }

  int ask(const std::string& method) {
    support::ScriptedPeer& client = rig.client();
    const std::string body = method == "POST" ? "Content-Length: 1\r\n\r\nx" : "\r\n";
    client.send(method + " / HTTP/1.1\r\nHost: a.test\r\n" + body);
    std::string got;
    rig.sim.until([&] { return (got += client.take()).find("\r\n\r\n") != std::string::npos; }, base::seconds(5));
    return got.size() < 12 ? 0 : std::stoi(got.substr(9, 3));
  }
  size_t heads = 0;  // requests that the origin has read

 private:
  static std::string toml(Origin origin, unsigned most) {
    return "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nendpoints = "
           "[\"10.0.0.1:3000\"]\n" +
           std::string(origin == Origin::http1 ? "" : "protocol = \"h2\"\n") +
           "[upstream.pool]\nmax_waiting = 0\nmax_connections = " + std::to_string(most) +
           "\n[upstream.retry]\nattempts = 1\n[[route]]\nupstream = \"app\"\n";
  }
  void close_soon(support::ScriptedPeer& peer) {
    rig.sim.post(base::Micros{static_cast<int64_t>(random_.below(2'000))}, [this, &peer] {
      if (peer.ended()) return;
      if (origin_ == Origin::http2_goaway) peer.send(http2::goaway_frame(1));
      peer.fin();
    });
  }
  void serve(support::ScriptedPeer& peer) {
    if (origin_ == Origin::http1) {
      peer.on_event = [this, answered = false](support::ScriptedPeer& p) mutable {
        const std::string got = p.take();
        if (got.find("\r\n\r\n") == std::string::npos) return;
        ++heads;
        if (std::exchange(answered, true)) return;
        p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        close_soon(p);
      };
      return;
    }
    wires_.push_back(std::make_unique<http2::Wire>(peer));
    http2::Wire& wire = *wires_.back();
    wire.send(http2::settings_frame());
    peer.on_event = [this, &wire, read = peer.on_event, seen = uint32_t{1}](support::ScriptedPeer& p) mutable {
      read(p);
      for (; wire.stream(seen).find("END") != std::string::npos; seen += 2) {
        ++heads;
        if (seen != 1) continue;
        wire.send(http2::head_frame(1, {{":status", "200"}, {"content-length", "0"}}));
        close_soon(p);
      }
    };
  }

  Origin origin_;
  support::Random random_;

 public:
  Rig rig;

 private:
  std::vector<std::unique_ptr<http2::Wire>> wires_;  // on peers of the rig, so they go first
};

}  // namespace

TEST_CASE("300 requests in a row to an origin that closes each connection 0 to 2 ms after its answer: none is lost") {
  for (const Origin origin : {Origin::http1, Origin::http2_fin, Origin::http2_goaway}) {
    for (const unsigned most : {1U, 16U}) {  // at the cap, too, and with no place in the queue
      CAPTURE(static_cast<int>(origin));
      CAPTURE(most);
      World w(origin, most);
      const char* const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};
      for (int i = 0; i < 300; ++i) {
        CAPTURE(i);
        REQUIRE(w.ask(methods[i % 5]) == 200);
        w.rig.sim.run_for(base::millis(i % 3));
      }
      CHECK(w.heads >= 300);
      CHECK(w.rig.metric(metrics::Name::upstream_retries_refused_total, {"app"}) == 0);
    }
  }
}

TEST_CASE("a POST reaches such an origin once, or fails") {
  for (const Origin origin : {Origin::http1, Origin::http2_fin, Origin::http2_goaway}) {
    CAPTURE(static_cast<int>(origin));
    World w(origin, 16);
    for (int i = 0; i < 100; ++i) {
      const size_t before = w.heads;
      w.ask("POST");
      w.rig.sim.run_for(base::millis(i % 3));
      // What GOAWAY says was not processed may go again.
      if (origin != Origin::http2_goaway) CHECK(w.heads - before <= 1);
    }
  }
}

// ---- what is learned of an upstream's idle timeout ----------------------------------------------------------------

namespace {

constexpr const char* kept = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

// An origin that closes a connection when it has been idle for `after`, and says so nowhere.
support::SimNetwork::OnPeer closing_after(Rig& rig, base::Millis after) {
  return [&rig, after](support::ScriptedPeer& peer) {
    auto asked = std::make_shared<int>(0);
    peer.on_event = [&rig, after, asked](support::ScriptedPeer& p) {
      if (p.take().find("\r\n\r\n") == std::string::npos) return;
      p.send(kept);
      rig.sim.post(after, [&p, asked, mine = ++*asked] {
        if (mine == *asked && !p.ended()) p.fin();
      });
    };
  };
}

double closed(const Rig& rig, const char* cause) {
  return rig.metric(metrics::Name::upstream_connections_closed_total, {"app", cause});
}

void ask_and_wait(Rig& rig, base::Millis wait) {
  rig.client().send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
  rig.sim.run_for(wait);
}

}  // namespace

TEST_CASE("an upstream that closes idle connections at 5 s: after three closes ours come first, at 4 s") {
  Rig rig(
      "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nendpoints = "
      "[\"10.0.0.1:3000\"]\n[[route]]\nupstream = \"app\"\n");
  rig.network.serve(app, closing_after(rig, base::seconds(5)));
  for (int i = 0; i < 3; ++i) ask_and_wait(rig, base::seconds(10));
  CHECK(closed(rig, "peer_closed") == 3);
  for (int i = 0; i < 10; ++i) ask_and_wait(rig, base::seconds(10));
  CHECK(closed(rig, "peer_closed") == 3);
  CHECK(closed(rig, "idle_timeout") == 10);
  SUBCASE("a request within that time takes the connection that is there") {
    const double opened = rig.metric(metrics::Name::upstream_connections_opened_total, {"app"});
    for (int i = 0; i < 10; ++i) ask_and_wait(rig, base::millis(3'900));
    CHECK(rig.metric(metrics::Name::upstream_connections_opened_total, {"app"}) == opened + 1);
  }
  SUBCASE("it is forgotten in time, as the upstream may have changed") {
    rig.sim.run_for(base::minutes(11));
    ask_and_wait(rig, base::seconds(10));
    CHECK(closed(rig, "peer_closed") == 4);
  }
}
