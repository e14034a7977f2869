// What a burst took goes back to the system.
#include "base/pages.h"
#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using base::Pages;
using sim::Rig;

namespace {

constexpr const char* plain = R"(
[[listener]]
address = "127.0.0.1:8080"
[[upstream]]
name = "app"
endpoints = ["10.0.0.1:3000"]
[[route]]
upstream = "app"
)";
const net::Address app = net::Address::ipv4(0x0A000001, 3000);
constexpr const char* ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
constexpr const char* get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr size_t mebibyte = size_t{1} << 20;

}  // namespace

TEST_CASE("what a burst took goes back to the system within ten seconds, with connections open and without") {
  Rig rig(plain);
  rig.network.serve(app, sim::answering(ok));
  rig.ask(get);
  rig.sim.run_for(base::seconds(10));
  const size_t before = Pages::held();
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(60'000, 'x') + "\r\n";
  std::vector<support::ScriptedPeer*> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(&rig.client());
    clients.back()->send(head);
  }
  rig.sim.settle();
  CHECK(Pages::held() - before > 200 * 60'000);
  for (support::ScriptedPeer* client : clients) client->send("\r\n");
  rig.sim.settle();
  for (support::ScriptedPeer* client : clients) CHECK(client->take().ends_with("hello"));
  rig.sim.run_for(base::seconds(10));
  CHECK(Pages::held() - before < 2 * mebibyte);                      // of 200 idle connections
  for (support::ScriptedPeer* client : clients) client->fin();
  rig.sim.run_for(base::seconds(10));
  CHECK(Pages::held() - before < mebibyte / 2);
}
