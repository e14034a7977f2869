// The cap on clients: it holds to the connection whatever they do, over several workers; who never made a request goes
// first, good keep-alive clients last, busy ones never (threats.md row 58). TLS and real descriptors:
// tests/e2e/test_admission.py.
#include <algorithm>
#include <memory>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "config/load.h"
#include "config/source.h"
#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using support::ScriptedPeer;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
const net::Address silent = net::Address::ipv4(0x0A000002, 3000);

constexpr const char* toml = R"(
[[listener]]
name = "web"
address = "127.0.0.1:8080"
protocols = ["h2", "http/1.1"]
[[listener]]
name = "proxied"
address = "127.0.0.1:8081"
proxy_protocol = "required"
[[upstream]]
name = "app"
endpoints = ["10.0.0.1:3000"]
[[upstream]]
name = "silent"
endpoints = ["10.0.0.2:3000"]
[upstream.pool]
max_connections = 1000
[[route]]
path_prefix = "/silent"
upstream = "silent"
[[route]]
upstream = "app"
upgrade = ["websocket"]
)";

constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
constexpr std::string_view get_silent = "GET /silent HTTP/1.1\r\nHost: a.test\r\n\r\n";
constexpr std::string_view ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr uint32_t web = 0, proxied = 1;

// Several workers on one loop, each message an event of its own.
class Workers final : private runtime::Peers {
 public:
  Workers(uint32_t count, uint32_t most) : registry(count) {
    shared.places.most = most;
    for (uint32_t i = 0; i < count; ++i) {
      workers.push_back(std::make_unique<runtime::Worker>(
          runtime::Worker::Setup{i, count, sim.loop(), network, shared, static_cast<runtime::Peers&>(*this)}));
    }
    network.serve(app, sim::answering(std::string(ok)));
    network.serve(silent, [](ScriptedPeer&) {});
    apply(toml);
  }
  ~Workers() {
    network.hush();
    for (auto& worker : workers) {
      worker->leave([] {});
      worker->abort_all();
      sim.settle();
    }
    for (auto& worker : workers) worker.reset();
    sim.settle();
  }

  void apply(const std::string& text) {
    auto loaded = config::load(*config::Source::of("sim.toml", text));
    if (!loaded) FAIL(base::to_text(loaded.error().front()));
    config::Problems warnings;
    const auto count = static_cast<uint32_t>(workers.size());
    auto built = runtime::build_generation(*loaded, generation.get(), count, sim.loop().wall(), warnings,
                                           runtime::Sockets::none);
    if (!built) FAIL(base::to_text(built.error().front()));
    generation = *built;
    auto sets = std::make_shared<runtime::EndpointSets>();
    for (size_t i = 0; i < generation->upstreams.size(); ++i) {
      const auto& options = generation->snapshot->upstreams[i];
      sets->push_back(generation->upstreams[i].shared->set_endpoints(options.endpoints, options.panic_threshold));
    }
    for (auto& worker : workers) worker->apply(generation, sets, ++epoch);
    sim.settle();
  }

  // A client that says this; what it does goes on to the end of what can happen now.
  ScriptedPeer& client(std::string_view says = {}, uint32_t worker = 0, uint32_t listener = web) {
    ScriptedPeer& peer = newcomer(worker, listener);
    if (!says.empty()) peer.send(says);
    sim.settle();
    return peer;
  }
  ScriptedPeer& newcomer(uint32_t worker = 0, uint32_t listener = web) {
    support::PipeAddresses addresses;
    addresses.far = *net::Address::parse_ip("192.0.2.7", 5000);
    auto pair = support::scripted_pair(sim, addresses);
    peers.push_back(std::move(pair.peer));
    workers[worker]->bring(listener, std::move(pair.transport));
    return *peers.back();
  }
  void later() { sim.run_for(base::Millis{runtime::Fronts::early_grace.count + 1}); }
  uint32_t open() const {
    uint32_t n = 0;
    for (const auto& peer : peers) n += peer->ended() ? 0 : 1;
    return n;
  }
  double metric(Name name, const std::vector<std::string>& labels) const {
    double sum = 0;
    for (const metrics::Sample& sample : registry.collect(name))
      sum += std::ranges::equal(labels, sample.labels | std::views::take(labels.size())) ? sample.value : 0;
    return sum;
  }
  double refused() const { return metric(Name::downstream_connections_rejected_total, {"max_connections"}); }
  double shed() const { return metric(Name::downstream_connections_closed_total, {"shed", "us"}); }

  support::SimLoop sim;
  support::SimNetwork network{sim};
  metrics::Registry registry;
  runtime::Shared shared{registry, nullptr, "sim"};
  std::vector<std::unique_ptr<runtime::Worker>> workers;
  runtime::GenerationPtr generation;
  std::vector<std::unique_ptr<ScriptedPeer>> peers;
  runtime::Epoch epoch = 0;

 private:
  void post(uint32_t worker, Message message) override {
    sim.post(base::Micros{0}, [this, worker, message = std::move(message)] { message(*workers[worker]); });
  }
};

bool answered(ScriptedPeer& peer) { return peer.take().starts_with("HTTP/1.1 200"); }

struct Kind {
  const char* name;
  std::string says;
  uint32_t listener = web;
};

std::vector<Kind> who_make_no_request() {
  return {
      {"silent", ""},
      {"one byte", "P"},
      {"half a request head", "GET / HTTP/1.1\r\nHo"},
      {"HTTP/2 without a stream", http2::client_preface},
      {"HTTP/2, half a head", http2::client_preface + http2::frame(1, 0, 1, http2::block(http2::get_lines()))},
      {"an awaited PROXY header", "", proxied},
      {"half a PROXY header", "PROXY TCP4 192.0.2.9", proxied},
      {"silent behind a PROXY header", "PROXY TCP4 192.0.2.9 192.0.2.1 5000 80\r\n", proxied},
  };
}

}  // namespace

TEST_CASE("clients that make no request give their places to those that do, after a second; the cap holds") {
  for (const Kind& kind : who_make_no_request()) {
    INFO(kind.name);
    Workers w(1, 4);
    for (int i = 0; i < 4; ++i) w.client(kind.says, 0, kind.listener);
    CHECK(w.open() == 4);
    w.client(get);
    CHECK(w.open() == 4);
    CHECK(w.refused() == 1);  // none of them had its second yet
    w.later();
    for (int i = 0; i < 4; ++i) {
      CHECK(answered(w.client(get)));
      CHECK(w.open() == 4);
      CHECK(w.shared.places.taken.load() == 4);
    }
    CHECK(w.refused() == 1);
    CHECK(w.shed() == 4);
  }
}

TEST_CASE("the newcomer's request is served in the turn that ends the other: no promise, no wait") {
  Workers w(1, 1);
  ScriptedPeer& old = w.client(get);
  CHECK(answered(old));
  w.newcomer();  // nothing has turned yet
  CHECK(w.shared.places.taken.load() == 1);
  CHECK(w.workers[0]->clients().placed() == 1);
  w.sim.settle();
  CHECK(old.ended());
  CHECK(w.open() == 1);
}

TEST_CASE("who is idle goes in the order of its last request, behind all who made none; busy ones and tunnels never") {
  Workers w(1, 5);
  w.network.serve(app, [](ScriptedPeer& peer) {
    peer.on_event = [](ScriptedPeer& p) {
      const std::string head = p.take();
      if (head.empty()) return;
      p.send(head.contains("pgrade")
                 ? "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                 : ok);
    };
  });
  ScriptedPeer& tunnel =
      w.client("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  ScriptedPeer& busy = w.client(get_silent);
  ScriptedPeer& first = w.client(get);
  ScriptedPeer& second = w.client(get);
  ScriptedPeer& mute = w.client();
  CHECK(answered(first));
  CHECK(answered(second));
  w.later();
  first.send(get);  // now `second` is idle for longer
  w.sim.settle();
  for (ScriptedPeer* const next : {&mute, &second, &first}) {
    CHECK_FALSE(next->ended());
    ScriptedPeer& newcomer = w.client(get_silent);  // busy itself
    CHECK(next->ended());
    CHECK_FALSE(newcomer.ended());
    CHECK(w.open() == 5);
  }
  CHECK(w.client(get).ended());
  CHECK(w.refused() == 1);
  CHECK_FALSE(tunnel.ended());
  CHECK_FALSE(busy.ended());
}

TEST_CASE("a hundred busy clients in front hide no idle one") {
  Workers w(1, 101);
  for (int i = 0; i < 100; ++i) w.client(get_silent);
  ScriptedPeer& idle = w.client(get);
  CHECK(answered(w.client(get)));
  CHECK(idle.ended());
  CHECK(w.open() == 101);
  CHECK(w.refused() == 0);
}

TEST_CASE("a client that lingers behind its last answer makes room before those that are idle") {
  Workers w(1, 2);
  ScriptedPeer& idle = w.client(get);
  ScriptedPeer& lingers = w.client("BAD\r\n\r\n");  // 400, Connection: close; it never closes
  CHECK_FALSE(lingers.got_reset());
  CHECK(w.shared.places.taken.load() == 2);
  CHECK(answered(w.client(get)));
  CHECK(w.shared.places.taken.load() == 2);
  CHECK_FALSE(idle.ended());
}

TEST_CASE("an answer that the client has not read yet is not cut: it is busy until the kernel has all of it") {
  Workers w(1, 1);
  w.network.serve(app, sim::answering("HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + std::string(30'000, 'x')));
  ScriptedPeer& slow = w.newcomer();
  slow.window(1'000);
  slow.hold();
  slow.send(get);
  w.sim.settle();
  CHECK(w.client(get).ended());
  CHECK_FALSE(slow.ended());
  slow.window(SIZE_MAX);
  slow.resume();
  w.sim.settle();
  CHECK(slow.take().size() > 30'000);
  CHECK_FALSE(w.client(get).ended());
  CHECK(slow.ended());
}

TEST_CASE("HTTP/2: with a stream open it is busy, without one idle, whoever ended the stream") {
  Workers w(1, 1);
  const std::string ask = http2::frame(1, 5, 1, http2::block(http2::get_lines("/silent")));
  ScriptedPeer& client = w.client(http2::client_preface + ask);
  CHECK(w.client(get).ended());
  client.send(http2::frame(3, 0, 1, http2::number(8)));  // RST_STREAM, CANCEL: nothing is written for it
  w.sim.settle();
  CHECK_FALSE(client.ended());
  CHECK(answered(w.client(get)));
  CHECK(client.ended());
}

TEST_CASE("several workers: whoever has to go first goes, whichever worker has it") {
  for (const uint32_t others : {1U, 2U}) {
    Workers w(1 + others, 3);
    ScriptedPeer& idle = w.client(get, others);
    w.later();
    ScriptedPeer& own = w.client(get, 0);
    w.later();
    ScriptedPeer& mute = w.client({}, others);
    w.later();
    for (ScriptedPeer* const next : {&mute, &idle, &own}) {
      CHECK_FALSE(next->ended());
      CHECK_FALSE(w.client(get_silent, 0).ended());
      CHECK(next->ended());
      CHECK(w.open() == 3);
      CHECK(w.shared.places.taken.load() == 3);
    }
    CHECK(w.client(get, 0).ended());
    CHECK(w.refused() == 1);
  }
}

TEST_CASE(
    "a crowd on one worker: as many get in as others can make room for, the rest is refused; nobody comes on top") {
  Workers w(2, 100);
  for (int i = 0; i < 50; ++i) w.client(get, 1);
  for (int i = 0; i < 50; ++i) w.client(get_silent, 1);
  for (uint32_t i = 0; i < runtime::Clients::waiting_max; ++i) w.newcomer(0).send(get_silent);
  CHECK(w.shared.places.taken.load() == 100);
  ScriptedPeer& beyond = w.newcomer(0);  // as many as may wait do: one above
  CHECK(w.refused() == 1);
  w.sim.settle();
  CHECK(beyond.ended());
  CHECK(w.open() == 100);
  CHECK(w.workers[0]->clients().placed() == 50);
  CHECK(w.workers[1]->clients().placed() == 50);
  CHECK(w.refused() == 1 + runtime::Clients::waiting_max - 50);
}

TEST_CASE("one that waits for another worker may leave, or its listener may, and the place is not lost") {
  for (const bool listener_goes : {false, true}) {
    Workers w(2, 1);
    w.client(get, 1);
    w.newcomer(0, proxied);
    CHECK(w.workers[0]->clients().placed() == 0);
    if (listener_goes) {
      std::string text = toml;
      const size_t from = text.find("[[listener]]\nname = \"proxied\"");
      w.apply(text.erase(from, text.find("[[upstream]]") - from));
      CHECK(w.open() == 0);
    } else {
      w.peers.back()->reset();
    }
    w.sim.settle();
    w.later();
    CHECK(answered(w.client(get, 0)));
    CHECK(w.shared.places.taken.load() == 1);
  }
}

TEST_CASE(
    "a lower cap: idle ones go at once, over all workers and in their order; busy ones as they end; nobody comes on "
    "top") {
  Workers w(3, 6);
  std::vector<ScriptedPeer*> idle;
  for (uint32_t i = 0; i < 3; ++i) {
    idle.push_back(&w.client(get, i));
    w.later();
  }
  std::vector<ScriptedPeer*> busy;
  for (uint32_t i = 0; i < 3; ++i) busy.push_back(&w.client(get_silent, i));
  w.shared.places.most = 4;
  for (auto& worker : w.workers) worker->clients().shed();
  w.sim.settle();
  CHECK(w.open() == 4);
  CHECK(idle[0]->ended());
  CHECK(idle[1]->ended());
  CHECK_FALSE(idle[2]->ended());
  w.shared.places.most = 1;
  w.workers[1]->clients().shed();  // one is enough
  w.sim.settle();
  CHECK(w.open() == 3);
  CHECK(w.client(get, 2).ended());
  CHECK(w.open() == 3);
  for (const auto& peer : w.network.peers()) peer->send(ok);
  w.sim.settle();
  CHECK(w.open() == 1);
  CHECK(w.shared.places.taken.load() == 1);
}
