// A reload that gives a listener another name: whoever was let in under the old one is served, however far it has come.
#include <string>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;
using support::ScriptedPeer;

namespace {

constexpr std::string_view proxy_line = "PROXY TCP4 192.0.2.9 192.0.2.1 5000 80\r\n";
constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

std::string toml(std::string_view name, std::string_view protocols) {
  return "[[listener]]\nname = \"" + std::string(name) +
         "\"\naddress = \"127.0.0.1:8080\"\nproxy_protocol = \"required\"\nprotocols = [" + std::string(protocols) +
         "]\n[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[[route]]\nupstream = \"app\"\n";
}

}  // namespace

TEST_CASE("who is about to shake hands goes on and is answered; who says nothing more goes after a moment") {
  for (const char* const protocols : {"\"http/1.1\"", "\"h2\", \"http/1.1\""}) {
    Rig rig(toml("in", protocols));
    rig.network.serve(net::Address::ipv4(0x0A000001, 3000),
                      sim::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    ScriptedPeer& half = rig.client();
    half.send(proxy_line.substr(0, 10));
    ScriptedPeer& known = rig.client();  // its header was whole, its request comes later
    known.send(proxy_line.substr(0, 10));
    ScriptedPeer& silent = rig.client();
    rig.sim.settle();
    rig.reload(toml("out", protocols));
    rig.sim.run_for(base::Millis{500});
    known.send(proxy_line.substr(10));
    half.send(std::string(proxy_line.substr(10)) + std::string(get));
    rig.sim.settle();
    CHECK(half.received().ends_with("ok"));
    CHECK_FALSE(silent.ended());
    known.send(get);
    rig.sim.settle();
    CHECK(known.received().ends_with("ok"));
    rig.sim.run_for(base::Millis{600});
    CHECK(silent.ended());
    half.fin();
    known.fin();
    rig.sim.settle();
    CHECK(rig.metric(Name::downstream_connections) == 0);
  }
}
