// A worker that is offered more than it can do: what it admits, what it refuses, and how long who is admitted waits.
// Reads and writes cost CPU time here: a request that is served costs 1 ms in all, one that is refused 0.3 ms.
#include <algorithm>
#include <string>
#include <vector>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Micros;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
constexpr double capacity = 1000;  // requests a second
constexpr int64_t origin_takes = 40'000;

std::string toml(const std::string& max_lateness, bool lanes = false) {
  std::string text = "[runtime]\nmax_lateness = \"" + max_lateness +
                     "\"\n[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n"
                     "health_path = \"/up\"\n"
                     "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[upstream.pool]\n"
                     "max_connections = 10000\n";
  for (const char* lane : {"high", "low"}) {
    if (lanes)
      text += std::string("[[route]]\npath = \"/") + lane + "\"\nupstream = \"app\"\npriority = \"" + lane + "\"\n";
  }
  return text + "[[route]]\nname = \"all\"\nupstream = \"app\"\n";
}

// An origin that answers after origin_takes, whatever the worker is doing.
void serve(Rig& rig) {
  rig.network.serve(app, [&rig](support::ScriptedPeer& peer) {
    peer.on_event = [&rig](support::ScriptedPeer& p) {
      const std::string got = p.take();
      for (size_t at = got.find("\r\n\r\n"); at != std::string::npos; at = got.find("\r\n\r\n", at + 4)) {
        rig.sim.post(Micros{origin_takes}, [&p] { p.send(ok); });
      }
    };
  });
}

struct Asked {
  support::ScriptedPair pair;
  Micros at;
  std::string lane;
  Micros took{-1};
  bool admitted = false;
};

class Offered {
 public:
  explicit Offered(Rig& rig) : rig_(rig) {
    rig.shared.places.most = 100'000;
    rig.network.set_costs({Micros{300}, Micros{400}});
    began_ = rig.sim.now();
  }
  // So many a second, evenly, from `from` on for a second; each on a connection of its own, at its time.
  void second(double rate, base::Millis from, std::string_view path = "/") {
    for (int i = 0; i < static_cast<int>(rate); ++i) {
      const Micros after = Micros{from} + Micros{static_cast<int64_t>(i * 1e6 / rate)};
      auto asked = std::make_unique<Asked>();
      asked->pair = support::scripted_pair(rig_.sim);
      asked->pair.wire->costs = {Micros{200}, Micros{100}};
      asked->at = began_ + after;
      asked->lane = path;
      asked->pair.peer->on_event = [a = asked.get()](support::ScriptedPeer& peer) {
        if (a->took.count >= 0) return;
        a->took = a->pair.wire->sent_at(support::Wire::From::a) - a->at;
        a->admitted = peer.received().starts_with("HTTP/1.1 200");
      };
      rig_.worker->bring(0, std::move(asked->pair.transport));
      asked->pair.wire->set_latency(after);
      asked->pair.peer->send("GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n");
      asked->pair.wire->set_latency({});
      all_.push_back(std::move(asked));
    }
  }
  void run(base::Millis span) { rig_.sim.run_for(span); }

  struct Seen {
    size_t admitted = 0, refused = 0;
    double p99 = 0;  // milliseconds, of the admitted
  };
  // Of those that came from `from` on, within `span`.
  Seen seen(base::Millis from, base::Millis span, std::string_view path = "/") const {
    Seen all;
    std::vector<int64_t> took;
    for (const auto& a : all_) {
      const Micros after = a->at - began_;
      if (a->lane != path || after < Micros{from} || after >= Micros{from} + Micros{span}) continue;
      a->admitted ? ++all.admitted : ++all.refused;
      if (a->admitted) took.push_back(a->took.count);
    }
    std::ranges::sort(took);
    if (!took.empty()) all.p99 = static_cast<double>(took[took.size() * 99 / 100]) / 1e3;
    return all;
  }

 private:
  Rig& rig_;
  Micros began_;
  std::vector<std::unique_ptr<Asked>> all_;
};

// The second second of two at that load.
Offered::Seen steady(const std::string& max_lateness, double load) {
  Rig rig(toml(max_lateness));
  serve(rig);
  Offered offered(rig);
  for (int i = 0; i < 3; ++i) offered.second(load * capacity, base::seconds(i));
  offered.run(base::seconds(20));
  return offered.seen(base::seconds(2), base::seconds(1));
}

}  // namespace

TEST_CASE("up to its capacity nobody is refused; up to three times it who is admitted waits twice as long at most") {
  const auto calm = steady("5ms", 0.9);
  CHECK(calm.admitted == 900);
  for (const double load : {0.5, 0.9, 1.0}) CHECK(steady("100ms", load).refused == 0);
  const double least[] = {780, 520, 90};               // of 1,000: what refusing the others leaves room for
  const double loads[] = {1.5, 2.0, 3.0};
  for (size_t i = 0; i < 3; ++i) {
    const auto seen = steady("5ms", loads[i]);
    CAPTURE(loads[i]);
    CHECK(seen.p99 <= 2 * calm.p99);
    CHECK(static_cast<double>(seen.admitted) >= least[i]);
    CHECK(seen.admitted + seen.refused == static_cast<size_t>(loads[i] * capacity));
  }
  const auto off = steady("0s", 1.5);
  CHECK(off.refused == 0);
  CHECK(off.p99 > 20 * calm.p99);
}

TEST_CASE("a burst is served, however late; when an overload is over nobody is refused any more") {
  Rig rig(toml("20ms"));
  serve(rig);
  Offered offered(rig);
  offered.second(500, base::millis(0));
  for (int i = 0; i < 90; ++i) offered.second(1, base::millis(300));  // 90 ms of work at once
  for (int i = 1; i < 3; ++i) offered.second(2'500, base::seconds(i));
  for (int i = 3; i < 6; ++i) offered.second(700, base::seconds(i));
  offered.run(base::seconds(10));
  CHECK(offered.seen(base::millis(0), base::seconds(1)).refused == 0);
  CHECK(offered.seen(base::seconds(1), base::seconds(2)).refused > 2'000);
  CHECK(offered.seen(base::millis(4'500), base::millis(1'500)).refused == 0);
  CHECK(rig.metric(Name::requests_shed_total, {"late", "normal"}) == rig.metric(Name::requests_shed_total));
  CHECK(rig.metric(Name::local_replies_total, {"overloaded"}) == rig.metric(Name::requests_shed_total));
}

TEST_CASE("low lanes go first, high ones last, a balancer's question never") {
  Rig rig(toml("20ms", true));
  rig.shared.standing = exchange::Standing::ready;
  serve(rig);
  Offered offered(rig);
  for (int i = 0; i < 3; ++i) {
    offered.second(800, base::seconds(i), "/low");
    offered.second(400, base::seconds(i), "/");
    offered.second(300, base::seconds(i), "/high");
    offered.second(20, base::seconds(i), "/up");
  }
  offered.run(base::seconds(10));
  const auto of = [&](std::string_view path) { return offered.seen(base::seconds(1), base::seconds(2), path); };
  CHECK(of("/low").refused > 500);
  CHECK(of("/").refused <= 20);  // while the first turns are still long
  CHECK(of("/high").refused == 0);
  CHECK(of("/up").admitted == 40);
  CHECK(rig.metric(Name::requests_shed_total, {"late", "low"}) > 0.9 * rig.metric(Name::requests_shed_total));
}

TEST_CASE("a closed loop of 200 clients, as benchmarks are, is not refused anything by default") {
  Rig rig(toml("250ms"));
  rig.network.serve(app, sim::answering(ok));
  rig.network.set_costs({Micros{15}, Micros{20}});       // 50 us a request in all
  size_t answers = 0;
  size_t refused = 0;
  std::vector<support::ScriptedPair> clients;
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (int i = 0; i < 200; ++i) {
    clients.push_back(support::scripted_pair(rig.sim));
    clients.back().wire->costs = {Micros{10}, Micros{5}};
    clients.back().peer->on_event = [&](support::ScriptedPeer& peer) {
      ++answers;
      if (!peer.take().starts_with("HTTP/1.1 200")) ++refused;
      peer.send(get);
    };
    rig.worker->bring(0, std::move(clients.back().transport));
    clients.back().peer->send(get);
  }
  const Micros end = rig.sim.now() + Micros{1'000'000};  // there is always work: it never settles
  rig.sim.until([&] { return rig.sim.now() >= end; });
  CHECK(answers > 15'000);
  CHECK(refused == 0);
  for (auto& client : clients) client.peer->on_event = nullptr;
}

TEST_CASE("who is refused is told when to come again, and keeps the connection") {
  Rig rig(toml("20ms"));
  serve(rig);
  const auto late_turns = [&](int turns) {
    for (int i = 0; i < turns; ++i) {
      rig.sim.post({}, [&] { rig.sim.burn(Micros{60'000}); });
      rig.sim.turn(base::millis(0));
    }
  };
  support::ScriptedPeer& first = rig.client();
  support::ScriptedPeer& second = rig.client();
  rig.sim.settle();
  late_turns(4);
  for (support::ScriptedPeer* peer : {&first, &second}) peer->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.sim.settle();
  rig.sim.run_for(base::millis(100));
  CHECK(first.take().starts_with("HTTP/1.1 200"));       // the first of its turn
  const std::string refused = second.take();
  CHECK(refused.starts_with("HTTP/1.1 503 "));
  CHECK(refused.find("\r\nretry-after: 1\r\n") != std::string::npos);
  second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  rig.sim.run_for(base::millis(100));
  CHECK(second.take().starts_with("HTTP/1.1 200"));
}
