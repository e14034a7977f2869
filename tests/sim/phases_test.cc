// Whose time a request took: each phase where it is owed, and the worker's own lateness nowhere else. That phases sum
// to the total is checked at the end of every request of every simulation (Exchange::finish, debug builds).
#include <string>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Micros;
using doctest::Approx;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
constexpr const char* get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::string toml(const std::string& pool = "") {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n"
         "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n"
         "[upstream.retry]\nattempts = 1\n[upstream.pool]\n" +
         pool + "[[route]]\nname = \"r\"\nupstream = \"app\"\n";
}

// Answers so long after each request.
void serve(Rig& rig, base::Millis after, const char* answer = ok) {
  rig.network.serve(app, [&rig, after, answer](support::ScriptedPeer& peer) {
    peer.on_event = [&rig, after, answer](support::ScriptedPeer& p) {
      if (p.take().find("\r\n\r\n") == std::string::npos) return;
      rig.sim.post(after, [&p, answer] { p.send(answer); });
    };
  });
}

double phase(const Rig& rig, const char* word) { return rig.metric(Name::request_phase_seconds_total, {"r", word}); }
double all_phases(const Rig& rig) { return rig.metric(Name::request_phase_seconds_total, {"r"}); }
double slow(const Rig& rig, const char* side) { return rig.metric(Name::requests_slow_total, {"r", side}); }

void ask(Rig& rig, base::Millis patience = base::seconds(10)) {
  rig.client().send(get);
  rig.sim.run_for(patience);
}

}  // namespace

TEST_CASE("making a connection is connect, what the origin takes is upstream_head; the next one has no connect") {
  Rig rig(toml());
  rig.network.set_latency(Micros{10'000});
  serve(rig, base::millis(50));
  ask(rig);
  CHECK(phase(rig, "connect") == Approx(0.010));
  CHECK(phase(rig, "queue") == 0);
  CHECK(phase(rig, "upstream_head") == Approx(0.070));
  CHECK(all_phases(rig) == Approx(0.080));
  ask(rig);
  CHECK(phase(rig, "connect") == Approx(0.010));
  CHECK(phase(rig, "upstream_head") == Approx(0.140));
  CHECK(rig.metric(Name::requests_slow_total) == 0);
}

TEST_CASE("who waits for a place at the cap is in the queue, however long the one before it takes") {
  Rig rig(toml("max_connections = 1\n"));
  serve(rig, base::millis(700));
  rig.client().send(get);
  ask(rig);
  CHECK(phase(rig, "queue") == Approx(0.7));
  CHECK(phase(rig, "upstream_head") == Approx(1.4));
  CHECK(slow(rig, "queue") == 1);                        // the earlier of two that are equal
}

TEST_CASE("a connect that nobody answers is connect, and never the queue") {
  Rig rig(toml("max_connections = 1\nconnect_timeout = \"3s\"\n"));
  rig.network.black_hole(app);
  ask(rig);
  CHECK(phase(rig, "connect") == Approx(3.0));
  CHECK(phase(rig, "queue") == 0);
  CHECK(slow(rig, "upstream") == 1);
}

TEST_CASE("a body that comes slowly is the client's, and so is an answer that it does not read") {
  Rig rig(toml());
  const std::string large = "HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + std::string(400'000, 'x');
  serve(rig, base::millis(20), large.c_str());
  support::ScriptedPeer& client = rig.client();
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
  rig.sim.run_for(base::millis(1'200));
  client.hold();
  client.send("cd");
  rig.sim.run_for(base::millis(1'020));
  client.resume();
  rig.sim.run_for(base::seconds(1));
  CHECK(phase(rig, "client_request") == Approx(1.2));
  CHECK(phase(rig, "upstream_head") == Approx(0.02));
  CHECK(phase(rig, "client_write") == Approx(1.0));
  CHECK(slow(rig, "client") == 1);
}

TEST_CASE("an origin that pauses within its answer is upstream_body") {
  Rig rig(toml());
  serve(rig, base::millis(20), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  rig.client().send(get);
  rig.sim.run_for(base::millis(1'520));
  rig.network.last_peer().send("lo");
  rig.sim.run_for(base::millis(10));
  CHECK(phase(rig, "upstream_head") == Approx(0.02));
  CHECK(phase(rig, "upstream_body") == Approx(1.5));
  CHECK(slow(rig, "upstream") == 1);
}

TEST_CASE("a worker with 2 % of a CPU in front of an origin that answers at once: the time is the proxy's") {
  Rig rig(toml());
  serve(rig, base::millis(0));
  rig.client().send(get);
  for (int i = 0; i < 40; ++i) {
    rig.sim.post(Micros{2'000}, [] {});                  // something to wake up for
    rig.sim.starve(Micros{98'000});
    rig.sim.turn(base::millis(2));
  }
  rig.sim.run_for(base::seconds(1));
  REQUIRE(rig.metric(Name::requests_total, {}) == 1);
  CHECK(phase(rig, "proxy") > 0.9 * all_phases(rig));
  CHECK(phase(rig, "upstream_head") + phase(rig, "connect") < 0.1 * all_phases(rig));
  CHECK(rig.metric(Name::worker_run_delay_seconds_total) == Approx(40 * 0.098));
}

TEST_CASE("a worker that is busy with others does not make a slow origin its own, nor its own turns the origin's") {
  Rig rig(toml());
  serve(rig, base::millis(800));
  rig.client().send(get);
  for (int i = 0; i < 200; ++i) {                        // turn upon turn of 10 ms: it never sleeps
    rig.sim.post({}, [&] { rig.sim.burn(Micros{10'000}); });
    rig.sim.turn(base::millis(0));
  }
  REQUIRE(rig.metric(Name::requests_total, {}) == 1);
  CHECK(phase(rig, "upstream_head") >= 0.78);
  CHECK(phase(rig, "proxy") >= 0.01);
  CHECK(phase(rig, "proxy") <= 0.06);
}

TEST_CASE("answers that broke off are counted by side and reason, whatever their status") {
  Rig rig(toml());
  serve(rig, base::millis(0), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  const auto cut = [&](const char* by, const char* reason) {
    return rig.metric(Name::responses_cut_total, {"r", by, reason});
  };
  ask(rig, base::millis(10));
  rig.network.last_peer().reset();
  rig.sim.run_for(base::millis(10));
  CHECK(cut("upstream", "reset") == 1);
  support::ScriptedPeer& left = rig.client();
  left.send(get);
  rig.sim.run_for(base::millis(10));
  left.reset();
  rig.sim.run_for(base::millis(10));
  CHECK(cut("client", "client_closed") == 1);
  ask(rig, base::millis(10));
  rig.worker->abort_all();
  rig.sim.run_for(base::millis(10));
  CHECK(cut("proxy", "drain") == 1);
  CHECK(rig.metric(Name::responses_cut_total) == 3);
  CHECK(rig.metric(Name::requests_total) == 3);
}
