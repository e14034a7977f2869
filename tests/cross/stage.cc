#include "stage.h"

#include "exchange/exchange.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

namespace sluice::cross {
namespace {

const net::Address origin_address = net::Address::ipv4(0x0A000001, 3000);

std::string configuration(const Pair& pair, const Options& options) {
  const auto word = [](Version v) { return v == Version::http1 ? "http/1.1" : "h2"; };
  return std::string("[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"") + word(pair.client) + "\"]\n" +
         options.listener + "\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\nprotocol = \"" +
         word(pair.origin) + "\"\n" + options.upstream + "\n[[route]]\nupstream = \"app\"\n" + options.route + "\n" +
         options.extra;
}

constexpr Pair pairs[] = {{Version::http1, Version::http1},
                          {Version::http2, Version::http1},
                          {Version::http1, Version::http2},
                          {Version::http2, Version::http2}};

}  // namespace

std::string Pair::text() const {
  const auto word = [](Version v) { return std::string(v == Version::http1 ? "h1" : "h2"); };
  return word(client) + " to " + word(origin);
}

Stage::Stage(const Pair& p, const Options& options) : pair(p), rig(configuration(p, options)) {
  rig.network.serve(origin_address, [this](support::ScriptedPeer& peer) {
    links_.push_back(pair.origin == Version::http1 ? http1_link(peer) : http2_link(peer, enable_connect));
  });
}

Stage::~Stage() {
  for (const auto& client : clients_) CHECK(client->broken() == "");
  for (const auto& link : links_) CHECK(link->broken() == "");
}

Client& Stage::client() {
  support::ScriptedPeer& wire = rig.client();
  clients_.push_back(pair.client == Version::http1 ? http1_client(wire) : http2_client(wire));
  rig.sim.settle();
  return *clients_.back();
}

std::vector<Turn*> Stage::all_turns() {
  rig.sim.settle();
  std::vector<Turn*> all;
  for (const auto& link : links_) {
    for (Turn* const turn : link->turns()) all.push_back(turn);
  }
  return all;
}

Turn& Stage::turn(size_t i) {
  auto all = all_turns();
  if (i >= all.size()) {                     // held back until its body pauses
    rig.sim.run_for(exchange::Exchange::pause_max);
    all = all_turns();
  }
  REQUIRE(i < all.size());
  return *all[i];
}

size_t Stage::turns() { return all_turns().size(); }

uint64_t Stage::dials() const { return rig.network.dials(origin_address); }

void for_all_pairs(std::string_view expected, const std::function<std::string(Stage&)>& script,
                   const Options& options) {
  for (const Pair& pair : pairs) {
    const std::string which = pair.text();
    CAPTURE(which);
    Stage stage(pair, options);
    CHECK(script(stage) == expected);
  }
}

void for_all_pairs(const std::function<void(Stage&)>& script, const Options& options) {
  for (const Pair& pair : pairs) {
    const std::string which = pair.text();
    CAPTURE(which);
    Stage stage(pair, options);
    script(stage);
  }
}

}  // namespace sluice::cross
