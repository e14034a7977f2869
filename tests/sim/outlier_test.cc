// Endpoints that do wrong, beside others that do well: how many requests they get, and when they are back.
#include <array>
#include <string>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;
using support::ScriptedPeer;

namespace {

enum class How : std::uint8_t {
  well,
  every_other,
  slowly,
  error_500,
  gateway_502,
  gateway_503,
  reset,
  black_hole,
  refuse
};

// `n` endpoints, each of which does as `how` says, whatever connection the request comes on.
class Origins {
 public:
  explicit Origins(unsigned n, const std::string& outlier = "", const std::string& more = "")
      : rig(toml(n, outlier, more)) {
    for (unsigned i = 0; i < n; ++i) set(i, How::well);
  }
  ~Origins() { rig.network.hush(); }

  static std::string toml(unsigned n, const std::string& outlier, const std::string& more) {
    std::string endpoints;
    for (unsigned i = 0; i < n; ++i) {
      endpoints += (i == 0 ? "\"" : ", \"") + address(i).text() + "\"";
    }
    return "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nbalance = \"round_robin\"\n"
           "endpoints = [" +
           endpoints + "]\n[upstream.retry]\nattempts = 1\n[upstream.outlier]\n" + outlier +
           "\n[[route]]\nupstream = \"app\"\ntimeout = \"2s\"\n" + more;
  }
  static net::Address address(unsigned i) { return net::Address::ipv4(0x0A000001 + i, 3000); }

  void set(unsigned i, How how) {
    how_[i] = how;
    if (how == How::refuse) return rig.network.fail(address(i), net::EndReason::refused);
    rig.network.serve(address(i),
                      [this, i](ScriptedPeer& peer) { peer.on_event = [this, i](ScriptedPeer& p) { answer(i, p); }; });
  }
  // `n` requests, `every` apart; how many were answered with `status`?
  int ask(int n, std::string_view status = "200", base::Millis every = base::Millis{10}) {
    int found = 0;
    for (int k = 0; k < n; ++k) {
      ScriptedPeer& client = rig.client();
      client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
      std::string got;
      rig.sim.until([&] { return !(got += client.take()).empty(); }, base::seconds(10));
      found += got.starts_with("HTTP/1.1 " + std::string(status)) ? 1 : 0;
      rig.sim.run_for(every);
    }
    return found;
  }
  bool ejected(unsigned i) const {
    return rig.metric(Name::upstream_endpoint_ejected, {"app", address(i).text()}) == 1;
  }
  double ejections(const char* cause) const { return rig.metric(Name::upstream_ejections_total, {"app", cause}); }

 private:
  void answer(unsigned i, ScriptedPeer& p) {
    if (p.take().find("\r\n\r\n") == std::string::npos) return;
    ++met[i];
    switch (how_[i]) {
      case How::every_other:
        if (met[i] % 2 == 0) return p.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        [[fallthrough]];
      case How::well: return p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      case How::slowly:
        rig.sim.post(base::Millis{200}, [&p] {
          if (!p.ended()) p.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        return;
      case How::error_500: return p.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
      case How::gateway_502: return p.send("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n");
      case How::gateway_503: return p.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
      case How::reset: return p.reset();
      case How::black_hole:
      case How::refuse: return;
    }
  }

  std::array<How, 8> how_{};

 public:
  std::array<int, 8> met{};  // requests that each of them has read
  Rig rig;
};

void export_series(Origins& o) {
  const runtime::Backing& backing = o.rig.generation->upstreams[0];
  upstream::export_shared(o.rig.registry, backing.shared, upstream::EndpointSet{}, *backing.options, o.rig.sim.clock());
}

}  // namespace

TEST_CASE("a storm of 502, 503, resets or silence at one of three: five requests meet it, then the others serve all") {
  const struct {
    How how;
    const char* cause;
  } kinds[] = {{How::gateway_502, "gateway"},
               {How::gateway_503, "gateway"},
               {How::reset, "reset"},
               {How::black_hole, "timeout"}};
  for (const auto& kind : kinds) {
    CAPTURE(kind.cause);
    Origins o(3);
    export_series(o);
    REQUIRE(o.ask(30) == 30);
    o.set(1, kind.how);
    o.met = {};
    o.ask(45, "200", base::Millis{1});
    CHECK(o.met[1] >= 5);
    CHECK(o.met[1] <= 6);  // one met the end of an idle connection and went again
    CHECK(o.ejected(1));
    CHECK(o.ejections(kind.cause) == 1);
    CHECK(o.ask(60) == 60);
    o.set(1, How::well);
    o.rig.sim.run_for(base::seconds(30));
    o.met = {};
    CHECK(o.ask(60) == 60);
    CHECK(o.met[1] >= 19);
    CHECK_FALSE(o.ejected(1));
  }
}

TEST_CASE("one request is the price of each look at an endpoint that stays bad, and the looks become rarer") {
  Origins o(3);
  o.set(2, How::reset);
  o.ask(30);
  REQUIRE(o.met[2] == 5);
  for (const std::int64_t away : {30, 60, 120, 240, 300, 300}) {
    CAPTURE(away);
    o.met = {};
    o.rig.sim.run_for(base::Millis{away * 1'000 - 2'000});
    CHECK(o.ask(60) == 60);
    o.rig.sim.run_for(base::Millis{2'000});
    CHECK(o.ask(9) == 8);
    CHECK(o.met[2] == 1);
  }
}

TEST_CASE("a plain 500 speaks of the request: nobody is ejected for it") {
  Origins o(3);
  export_series(o);
  o.set(0, How::error_500);
  CHECK(o.ask(90, "500") == 30);
  CHECK_FALSE(o.ejected(0));
}

TEST_CASE("one that is alone is never ejected") {
  for (const How how : {How::gateway_502, How::reset}) {
    Origins o(1);
    o.set(0, how);
    CHECK(o.ask(50, "502") == 50);
    CHECK(o.met[0] == 50);
    o.set(0, How::well);
    CHECK(o.ask(10) == 10);
  }
}

TEST_CASE("half of four may be away, not one more; the worst is that they share what there is") {
  Origins o(4);
  export_series(o);
  for (const unsigned i : {0, 1, 2}) o.set(i, How::gateway_502);
  o.ask(100);
  CHECK(int{o.ejected(0)} + int{o.ejected(1)} + int{o.ejected(2)} == 2);
  CHECK(o.ask(100) == doctest::Approx(50).epsilon(0.1));
}

TEST_CASE("all down and all back: served at once again") {
  for (const How how : {How::gateway_502, How::reset, How::refuse}) {
    CAPTURE(static_cast<int>(how));
    Origins o(4, "max_ejected_percent = 100");
    for (unsigned i = 0; i < 4; ++i) o.set(i, how);
    CHECK(o.ask(100) == 0);
    for (unsigned i = 0; i < 4; ++i) o.set(i, How::well);
    if (how == How::refuse) o.rig.sim.run_for(base::seconds(10));
    CHECK(o.ask(40) == 40);
  }
}

TEST_CASE("one that fails every other second is ejected, and comes back") {
  Origins o(3);
  export_series(o);
  int lost = 0;
  for (int second = 0; second < 100; ++second) {
    o.set(0, second % 2 == 0 ? How::reset : How::well);
    lost += 20 - o.ask(20, "200", base::Millis{50});
  }
  CHECK(lost <= 25);  // 330 without it: five at first, then one or five each time it is looked at
  CHECK(o.ejections("reset") >= 2);
}

TEST_CASE("a reload reaches who is ejected: off frees it, and nobody is ejected any more") {
  Origins o(3);
  export_series(o);
  o.set(0, How::gateway_502);
  o.ask(30);
  REQUIRE(o.ejected(0));
  o.rig.reload(Origins::toml(3, "enabled = false", ""));
  CHECK_FALSE(o.ejected(0));
  CHECK(o.ask(60, "502") == 20);
  CHECK_FALSE(o.ejected(0));
  o.rig.reload(Origins::toml(3, "consecutive_failures = 2", ""));
  CHECK(o.ask(60, "502") <= 2);
  CHECK(o.ejected(0));
}

TEST_CASE("what clients do is not held against an endpoint") {
  Origins o(2);
  export_series(o);
  o.set(0, How::black_hole);
  o.set(1, How::black_hole);
  for (int i = 0; i < 40; ++i) {  // they leave before the route's timeout
    ScriptedPeer& client = o.rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    o.rig.sim.run_for(base::Millis{50});
    client.reset();
    o.rig.sim.run_for(base::Millis{50});
  }
  CHECK_FALSE(o.ejected(0));
  CHECK_FALSE(o.ejected(1));
}

TEST_CASE("by comparison: who fails every other request, or is slow, beside two that do well; only if asked for") {
  const struct {
    How how;
    const char* cause;
  } kinds[] = {{How::every_other, "error_share"}, {How::slowly, "slow"}};
  for (const auto& kind : kinds) {
    for (const bool on : {true, false}) {
      CAPTURE(kind.cause);
      Origins o(3, on ? "success_rate = true" : "");
      export_series(o);
      o.set(1, kind.how);
      o.ask(300, "200", base::Millis{50});
      CHECK(o.ejected(1) == on);
      CHECK(o.ejections(kind.cause) == (on ? 1 : 0));
      CHECK_FALSE(o.ejected(0));
      CHECK_FALSE(o.ejected(2));
    }
  }
}
