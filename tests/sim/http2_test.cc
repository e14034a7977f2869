// HTTP/2 on both sides of a whole worker: frames torn at every place, and by seeds a crowd of requests over connections
// that are torn, stalled, cancelled, refused, left and cut. Held: every request ends; what looks whole is whole, at
// both ends; nobody breaks the protocol; nothing is left.
#include <algorithm>
#include <map>
#include <memory>

#include "peer.h"
#include "rig.h"
#include "support/random.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using http2::Lines;
using http2::Peer;
using http2::Seen;
using sim::Rig;

namespace {

constexpr const char* toml = R"(
[[listener]]
address = "127.0.0.1:8080"
[[upstream]]
name = "app"
protocol = "h2"
endpoints = ["10.0.0.1:3000", "10.0.0.2:3000"]
[[route]]
upstream = "app"
)";
const net::Address apps[] = {net::Address::ipv4(0x0A000001, 3000), net::Address::ipv4(0x0A000002, 3000)};

// The body that belongs to a path: "/7/5000" is 5,000 bytes made of 7.
std::string body_of(std::string_view path) {
  const size_t slash = path.find('/', 1);
  const auto mark = static_cast<char>('a' + std::stoul(std::string(path.substr(1, slash - 1))) % 26);
  return std::string(std::stoul(std::string(path.substr(slash + 1))), mark);
}

std::string path_in(const Seen& seen) {
  const size_t at = seen.heads.find("[:path: ") + 8;
  return seen.heads.substr(at, seen.heads.find(']', at) - at);
}

}  // namespace

TEST_CASE("torn at every place, on both sides, nothing changes") {
  for (uint64_t at = 0; at < 260; ++at) {
    CAPTURE(at);
    const auto tear = [at] { return at == 0 ? support::tear_every(1) : support::tear_at({at}); };
    Rig rig(toml);
    rig.network.set_tear(tear);
    std::vector<std::unique_ptr<Peer>> servers;
    std::string got;
    for (const net::Address& app : apps) {
      rig.network.serve(app, [&](support::ScriptedPeer& wire) {
        servers.push_back(std::make_unique<Peer>(Peer::Role::server, wire));
        Peer& server = *servers.back();
        server.flush();
        server.on_request = [&](int32_t id) {
          got += server.seen(id).heads.substr(0, 9) + server.seen(id).body;
          const std::string body = "hello";
          server.answer(id, {{":status", "200"}, {"content-length", "5"}}, &body, {{"t", "1"}});
        };
      });
    }
    support::ScriptedPeer& wire = rig.client();
    wire.tear(tear());
    Peer client(Peer::Role::client, wire);
    Lines post = http2::get_lines("/x");
    post[0].second = "POST";
    post.emplace_back("cookie", "a=b");
    post.emplace_back("cookie", "c=d");
    const std::string body(50, 'x');
    const int32_t one = client.ask(post, &body, {{"u", "2"}});
    const int32_t two = client.get("/y");
    rig.sim.settle();
    for (const int32_t id : {one, two}) {
      CHECK(client.seen(id).body == "hello");
      CHECK(client.seen(id).heads.ends_with("[t: 1]"));
      CHECK(client.seen(id).ended);
    }
    CHECK(got.find(body) != std::string::npos);
    CHECK(client.broken == "");
    for (const auto& server : servers) {
      CHECK(server->broken == "");
      for (const auto& [id, seen] : server->all()) {
        if (!seen.body.empty()) CHECK(seen.heads.find("[cookie: a=b; c=d]") != std::string::npos);
      }
    }
  }
}

namespace {

// One run of a seed.
class Crowd {
 public:
  explicit Crowd(uint64_t seed) : random_(seed), rig_(toml) {
    rig_.network.set_tear([this] { return support::tear_randomly(random_.next()); });
    for (const net::Address& app : apps) {
      rig_.network.serve(app, [this](support::ScriptedPeer& wire) { serve(wire); });
    }
  }

  void run() {
    for (int i = 0; i < 4; ++i) {
      support::ScriptedPeer& wire = rig_.client();
      wire.tear(support::tear_randomly(random_.next()));
      clients_.push_back({&wire, std::make_unique<Peer>(Peer::Role::client, wire), {}});
    }
    for (int step = 0; step < 60; ++step) {
      Client& c = clients_[random_.below(clients_.size())];
      if (c.wire->ended()) continue;
      act(c);
      rig_.sim.run_for(base::millis(static_cast<int64_t>(random_.below(40))));
    }
    for (Client& c : clients_) c.wire->resume();
    rig_.sim.run_for(base::minutes(5));
    check();
  }
  uint64_t whole = 0;
  uint64_t cut = 0;

 private:
  struct Client {
    support::ScriptedPeer* wire;
    std::unique_ptr<Peer> peer;
    std::map<int32_t, std::string> asked;  // stream -> path
  };

  void act(Client& c) {
    const uint64_t what = random_.below(20);
    const std::string path = "/" + std::to_string(random_.below(26)) + "/" +
                             std::to_string(random_.below(3) == 0 ? random_.below(200'000) : random_.below(100));
    if (what < 8) {
      c.asked[c.peer->get(path)] = path;
    } else if (what < 14) {
      c.asked[c.peer->post(path, body_of(path))] = path;
    } else if (what < 16 && !c.asked.empty()) {
      const int32_t id = c.asked.rbegin()->first;
      if (!c.peer->seen(id).closed) c.peer->reset(id);
    } else if (what == 16) {
      c.wire->hold();
    } else if (what == 17) {
      c.wire->resume();
    } else if (what == 18 && random_.one_in(4)) {
      c.wire->reset();
      c.asked.clear();
    }
  }

  // An origin that mostly answers.
  void serve(support::ScriptedPeer& wire) {
    servers_.push_back(std::make_unique<Peer>(Peer::Role::server, wire));
    Peer* const server = servers_.back().get();
    server->flush();
    server->on_request = [this, server, &wire](int32_t id) {
      const std::string path = path_in(server->seen(id));
      if (server->seen(id).heads.find("[:method: POST]") != std::string::npos)
        CHECK(server->seen(id).body == body_of(path));
      const std::string body = body_of(path);
      switch (random_.below(24)) {
        case 0: return server->reset(id, NGHTTP2_REFUSED_STREAM);
        case 1: return server->reset(id, NGHTTP2_INTERNAL_ERROR);
        case 2: return wire.reset();
        case 3: return wire.fin();
        case 4:
          nghttp2_submit_goaway(server->raw(), NGHTTP2_FLAG_NONE, std::max(id - 2, 0), NGHTTP2_NO_ERROR, nullptr, 0);
          return;
        case 5: {  // half of it, then a reset
          server->answer_begin(id, {{":status", "200"}});
          server->more(id, body.substr(0, body.size() / 2));
          return rig_.sim.post(base::Micros{5000}, [server, id] { server->reset(id, NGHTTP2_INTERNAL_ERROR); });
        }
        case 6: return;  // never
        case 7: {
          const nghttp2_settings_entry entries[] = {
              {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<uint32_t>(1 + random_.below(5))},
              {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(random_.below(100'000))}};
          nghttp2_submit_settings(server->raw(), NGHTTP2_FLAG_NONE, entries, 2);
          return server->answer(id, {{":status", "200"}}, &body);
        }
        default:
          return server->answer(id, {{":status", "200"}, {"content-length", std::to_string(body.size())}}, &body);
      }
    };
  }

  void check() {
    for (Client& c : clients_) {
      CHECK(c.peer->broken == "");
      for (const auto& [id, path] : c.asked) {
        const Seen& seen = c.peer->seen(id);
        CAPTURE(path);
        CAPTURE(seen.heads);
        CHECK((seen.closed || c.wire->ended()));
        if (!seen.ended) {
          ++cut;
          continue;
        }
        const size_t last = seen.heads.rfind("[:status: 200]");
        if (last == std::string::npos) continue;  // an answer of the proxy
        ++whole;
        CHECK(seen.body == body_of(path));
      }
    }
    for (const auto& server : servers_) CHECK(server->broken == "");
  }

  support::Random random_;
  Rig rig_;
  std::vector<std::unique_ptr<Peer>> servers_;  // behind the wires of rig_, which they take leave of
  std::vector<Client> clients_;
};

}  // namespace

TEST_CASE("a crowd of requests over bad connections, by seeds") {
  uint64_t whole = 0;
  uint64_t cut = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Crowd crowd(seed);
    crowd.run();
    whole += crowd.whole;
    cut += crowd.cut;
  }
  CHECK(whole > 600);  // the crowd does get something done
  CHECK(cut > 20);
}
