// What concerns thousands of clients at once is done in turns of a few hundred: requests of others wait for none of it.
#include <functional>
#include <string>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

constexpr uint32_t crowd = 2'000;
constexpr uint32_t most_a_turn = 256;
static_assert(runtime::Acceptor::told_a_turn == most_a_turn && runtime::Clients::shed_a_turn == most_a_turn);

std::string toml(std::string_view name, std::string_view line = "") {
  return "[[listener]]\nname = \"" + std::string(name) +
         "\"\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n" + std::string(line) +
         "\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[[route]]\nupstream = \"app\"\n";
}

// Of a crowd of idle clients `goers` go with that cause, once `what` was done, and in no turn more than a few hundred.
void goes_bit_by_bit(const char* cause, uint32_t goers, const std::function<void(Rig&)>& what) {
  Rig rig(toml("in"));
  rig.shared.places.most = 2 * crowd;
  rig.network.serve(net::Address::ipv4(0x0A000001, 3000),
                    sim::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  for (uint32_t i = 0; i < crowd; ++i) CHECK(rig.ask("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").ends_with("ok"));
  rig.sim.run_for(base::seconds(5));
  const auto gone = [&] { return rig.metric(Name::downstream_connections_closed_total, {cause}); };
  what(rig);
  CHECK(gone() <= most_a_turn);
  double before = 0;
  for (uint32_t turns = 0; before < goers; ++turns) {
    REQUIRE(turns < 10'000);
    rig.sim.turn(base::Millis{1});
    CHECK(gone() - before <= 2 * most_a_turn);  // those of this turn, and those of the one before that end behind it
    before = gone();
  }
  CHECK(before == goers);
}

}  // namespace

TEST_CASE("a shorter idle_timeout") {
  goes_bit_by_bit("idle_timeout", crowd, [](Rig& rig) { rig.begin_reload(toml("in", "idle_timeout = \"2s\"")); });
}

TEST_CASE("a listener that leaves the configuration") {
  goes_bit_by_bit("reload", crowd, [](Rig& rig) { rig.begin_reload(toml("out")); });
}

TEST_CASE("a drain") {
  goes_bit_by_bit("drain", crowd, [](Rig& rig) { rig.worker->leave([] {}); });
}

TEST_CASE("a lower max_connections") {
  goes_bit_by_bit("shed", crowd - 10, [](Rig& rig) {
    rig.shared.places.most = 10;
    rig.worker->clients().shed();
  });
}
