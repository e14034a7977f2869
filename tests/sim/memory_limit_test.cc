// What may be held for traffic (`max_memory`), and what happens above it.
#include "base/pages.h"
#include "peer.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::MemoryLimit;
using base::Pages;
using metrics::Name;
using sim::Rig;

namespace {

// One listener of these protocols, one upstream.
std::string speaking(const std::string& protocols) {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [" + protocols +
         "]\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[[route]]\nupstream = \"app\"\n";
}
const std::string h1 = speaking("\"http/1.1\"");
const std::string h2 = speaking("\"h2\"");
const std::string both = speaking("\"h2\", \"http/1.1\"");
const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
constexpr const char* get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr size_t kibibyte = 1024;
constexpr size_t mebibyte = 1024 * kibibyte;
constexpr size_t page = 4 * kibibyte;

// So much more is held, by somebody else.
class Taken {
 public:
  explicit Taken(size_t bytes) : bytes_(bytes), page_(Pages::take(size_t{1} << 30, bytes)) {}
  ~Taken() { Pages::give(page_, size_t{1} << 30, bytes_); }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;

 private:
  size_t bytes_;
  void* page_;
};

struct Limit {
  explicit Limit(size_t bytes) { MemoryLimit::set(bytes); }
  ~Limit() { MemoryLimit::set(before); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;
  size_t before = MemoryLimit::bytes();
};

std::string ask(Rig& rig, support::ScriptedPeer& peer) {
  peer.send(get);
  rig.sim.settle();
  return peer.take();
}

}  // namespace

TEST_CASE("the limit, 5/4 of it, and the streams that are offered: at each bound and one page above") {
  const size_t held = Pages::held();
  const Limit limit(held + 400 * page);
  const size_t most = MemoryLimit::bytes();
  const auto fill_to = [&](size_t bytes) { return bytes - held; };
  const auto up = [](size_t bytes) { return (bytes + page - 1) / page * page; };
  {
    const Taken all(fill_to(most));
    CHECK(!MemoryLimit::above());
    CHECK(MemoryLimit::streams(128) == 16);
    const Taken one(page);
    CHECK(MemoryLimit::above());
    CHECK(MemoryLimit::streams(128) == 1);
    CHECK(!MemoryLimit::far_above());
  }
  for (const size_t eighths : {7U, 8U, 9U}) {
    const Taken all(fill_to(most / 8 * eighths) / page * page);
    CHECK(!MemoryLimit::above(eighths));
    const Taken one(page);
    CHECK(MemoryLimit::above(eighths));
    CHECK(!MemoryLimit::above(eighths + 1));
  }
  {
    const Taken all(up(most + most / 4 - held) - page);
    CHECK(!MemoryLimit::far_above());
    const Taken one(2 * page);
    CHECK(MemoryLimit::far_above());
  }
  const Taken half(400 * page);                    // so that something is held, whatever ran before
  MemoryLimit::set(2 * Pages::held());
  CHECK(MemoryLimit::streams(128) == 128);
  {
    const Taken one(page);
    CHECK(MemoryLimit::streams(128) == 64);
    CHECK(MemoryLimit::streams(1) == 1);
  }
}

TEST_CASE("above max_memory new requests get 503, above 5/4 of it new connections are closed; what is open goes on") {
  Rig rig(h1);
  rig.network.serve(app, sim::answering(ok));
  support::ScriptedPeer& early = rig.client();
  CHECK(ask(rig, early).ends_with("hello"));
  const Limit limit(64 * mebibyte);
  REQUIRE(Pages::held() < 8 * mebibyte);
  {
    const Taken most(64 * mebibyte);
    const std::string answer = ask(rig, early);
    CHECK(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
    CHECK(answer.find("\r\nretry-after: 1\r\n") != std::string::npos);
    CHECK(ask(rig, rig.client()).starts_with("HTTP/1.1 503"));       // a new connection is still taken
    support::ScriptedPeer& slow = rig.client();
    slow.send("GET / HTTP/1.1\r\n");                                // a head that is not whole is a request, too
    rig.sim.settle();
    CHECK(slow.take().starts_with("HTTP/1.1 503"));
    CHECK(slow.ended());
    const Taken more(16 * mebibyte);
    support::ScriptedPeer& refused = rig.client();
    rig.sim.settle();
    CHECK(refused.ended());
    CHECK(rig.metric(Name::downstream_connections_rejected_total, {"max_memory"}) == 1);
    CHECK(ask(rig, early).starts_with("HTTP/1.1 503"));
  }
  CHECK(ask(rig, early).ends_with("hello"));
  CHECK(ask(rig, rig.client()).ends_with("hello"));
  CHECK(rig.metric(Name::local_replies_total, {"overloaded"}) == 4);
}

TEST_CASE("as memory fills up requests of low priority are refused first, those of high last: around each bound") {
  const std::string app_too = "upstream = \"app\"\npriority = ";
  Rig rig(h1.substr(0, h1.find("[[route]]")) + "[[route]]\npath = \"/low\"\n" + app_too + "\"low\"\n" +
          "[[route]]\npath = \"/high\"\n" + app_too + "\"high\"\n[[route]]\nupstream = \"app\"\n");
  rig.network.serve(app, sim::answering(ok));
  support::ScriptedPeer& peer = rig.client();
  const auto served = [&](const char* path) {
    peer.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.sim.settle();
    return peer.take().starts_with("HTTP/1.1 200");
  };
  for (const char* path : {"/low", "/", "/high"}) CHECK(served(path));  // what a connection and a pool need is there
  const Limit limit(800 * mebibyte);
  const auto holds = [&](size_t eighths) { return (eighths * 100 - 1) * mebibyte - Pages::held(); };
  {
    const Taken some(holds(7));
    CHECK(served("/low"));
    const Taken more(2 * mebibyte);
    CHECK(!served("/low"));
    CHECK(served("/"));
  }
  {
    const Taken some(holds(8));
    CHECK(served("/"));
    const Taken more(2 * mebibyte);
    CHECK(!served("/"));
    CHECK(served("/high"));
  }
  const Taken some(holds(9));
  CHECK(served("/high"));
  const Taken more(2 * mebibyte);
  CHECK(!served("/high"));
  for (const char* priority : {"low", "normal", "high"})
    CHECK(rig.metric(Name::requests_shed_total, {"max_memory", priority}) == 1);
}

TEST_CASE("as memory fills up a connection of HTTP/2 is offered fewer streams, and all again when it is free") {
  Rig rig(h2);
  rig.network.serve(app, sim::answering(ok));
  const Limit limit(64 * mebibyte);
  http2::Peer client(http2::Peer::Role::client, rig.client());
  const auto offered = [&] {
    const int32_t id = client.get("/");
    rig.sim.settle();
    CHECK(client.seen(id).body == "hello");
    return nghttp2_session_get_remote_settings(client.raw(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  };
  CHECK(offered() == 128);
  {
    const Taken half(32 * mebibyte);
    CHECK(offered() == 64);
    const Taken more(16 * mebibyte);
    CHECK(offered() == 16);
  }
  CHECK(offered() == 128);
  {
    const Taken all(81 * mebibyte);
    const int32_t refused = client.get("/");
    rig.sim.settle();
    CHECK(client.seen(refused).reset_code == NGHTTP2_REFUSED_STREAM);
  }
  CHECK(offered() == 128);
  CHECK(client.broken == "");
}

TEST_CASE("above 5/4 of max_memory a connection that has not asked for anything yet gets no session") {
  Rig rig(both);
  rig.network.serve(app, sim::answering(ok));
  support::ScriptedPeer& early = rig.client();
  support::ScriptedPeer& later = rig.client();
  rig.sim.settle();
  const Limit limit(64 * mebibyte);
  {
    const Taken all(81 * mebibyte);
    early.send(get);
    rig.sim.settle();
    CHECK(early.got_reset());
    CHECK(rig.metric(Name::downstream_connections_closed_total, {"shed"}) == 1);
  }
  CHECK(ask(rig, later).ends_with("hello"));
}

TEST_CASE(
    "above half of max_memory the bodies of requests that were let in are bounded, and arrive whole when there is "
    "room") {
  constexpr size_t clients = 8;
  constexpr size_t streams = 8;
  constexpr size_t body = 400 * kibibyte;
  Rig rig(h2);
  std::vector<support::ScriptedPeer*> origins;
  const auto answer = sim::answering(ok);
  rig.network.serve(app, [&](support::ScriptedPeer& peer) {
    answer(peer);
    peer.window(16 * kibibyte);
    peer.hold();
    origins.push_back(&peer);
  });
  const Limit limit(256 * mebibyte);
  std::vector<std::unique_ptr<http2::Peer>> peers;
  std::vector<std::vector<int32_t>> ids(clients);
  for (size_t i = 0; i < clients; ++i) {
    support::ScriptedPeer& client = rig.client();
    client.tear(support::tear_every(16 * kibibyte));
    peers.push_back(std::make_unique<http2::Peer>(http2::Peer::Role::client, client));
    for (size_t k = 0; k < streams; ++k) {
      ids[i].push_back(peers[i]->begin({{":method", "POST"},
                                        {":scheme", "http"},
                                        {":authority", "a"},
                                        {":path", "/"},
                                        {"content-length", std::to_string(body)}}));
    }
    rig.sim.settle();
  }
  const size_t before = Pages::held();
  {
    const Taken half(128 * mebibyte);
    for (size_t i = 0; i < clients; ++i) {
      for (const int32_t id : ids[i]) peers[i]->more(id, std::string(body, 'b'));
      peers[i]->flush();
    }
    rig.sim.settle();
    rig.sim.run_for(base::seconds(3));
    CHECK(Pages::held() - before - 128 * mebibyte <
          clients * 256 * kibibyte);          // 64 KiB each, and what is under way upstream
  }
  rig.sim.run_for(base::seconds(2));
  CHECK(Pages::held() - before > clients * mebibyte);                // there is room: they were heard again
  for (size_t i = 0; i < clients; ++i) {
    for (const int32_t id : ids[i]) peers[i]->end(id);
    peers[i]->flush();
  }
  rig.sim.settle();
  for (size_t i = 0; i < origins.size(); ++i) origins[i]->resume();
  rig.sim.settle();
  for (size_t i = 0; i < clients; ++i) {
    for (const int32_t id : ids[i]) CHECK(peers[i]->seen(id).body == "hello");
    CHECK(peers[i]->broken == "");
  }
}
