// fallback of a route: who answers when its upstream cannot, what of a request may go there, and what stays visible.
#include <string>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);
const net::Address spare = net::Address::ipv4(0x0A000002, 3000);
const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nspare";
const std::string get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const std::string post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody";

std::string toml(std::string_view fallback, std::string_view more = "") {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n"
         "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n"
         "[upstream.pool]\nmax_connections = 1\nacquire_timeout = \"1s\"\n"
         "[[upstream]]\nname = \"spare\"\nendpoints = [\"10.0.0.2:3000\"]\n"
         "[[route]]\nname = \"r\"\nupstream = \"app\"\ntimeout = \"3s\"\n" +
         std::string(more) + "\nfallback = { " + std::string(fallback) + " }\n";
}

const std::string to_spare = toml("upstream = \"spare\"");
const std::string page = toml("respond = { status = 200, body = \"back soon\" }");

// Resets each connection when a request is there.
void reset_when_asked(support::ScriptedPeer& peer) {
  peer.on_event = [](support::ScriptedPeer& p) { p.reset(); };
}
void silent(support::ScriptedPeer&) {}

struct Case : Rig {
  explicit Case(const std::string& text, const char* client_address = "127.0.0.1") : Rig(text), from(client_address) {
    network.serve(spare, sim::answering(ok));
  }
  std::string ask(std::string_view request, base::Millis wait = base::seconds(5)) {
    support::ScriptedPeer& peer = client(0, from);
    peer.send(request);
    sim.run_for(wait);
    return peer.take();
  }
  double served() const { return metric(Name::fallbacks_total, {"r", "served"}); }
  double failed() const { return metric(Name::fallbacks_total, {"r", "failed"}); }
  const char* from;
};

}  // namespace

TEST_CASE("a refused connect: the spare answers, whatever the method, and the failure stays in the counts") {
  Case rig(to_spare);
  rig.network.fail(app, net::EndReason::refused);
  CHECK(rig.ask(get).ends_with("spare"));
  CHECK(rig.ask(post).ends_with("spare"));
  CHECK(rig.served() == 2);
  CHECK(rig.failed() == 0);
  CHECK(rig.metric(Name::upstream_errors_total, {"app", "connect_failed"}) > 0);
  CHECK(rig.metric(Name::upstream_errors_total, {"spare"}) == 0);
  CHECK(rig.metric(Name::local_replies_total) == 0);
}

TEST_CASE("what answers well is not touched by it, nor is a 503 of its own") {
  Case rig(to_spare);
  rig.network.serve(app, sim::answering("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\napp"));
  CHECK(rig.ask(get).ends_with("\r\n\r\napp"));
  CHECK(rig.network.dials(spare) == 0);
}

TEST_CASE("a reset: what may be repeated goes to the spare, a POST that may have been processed does not") {
  Case rig(to_spare);
  rig.network.serve(app, reset_when_asked);
  CHECK(rig.ask(get).ends_with("spare"));
  CHECK(rig.ask(post).starts_with("HTTP/1.1 502 "));
  CHECK(rig.served() == 1);
}

TEST_CASE("a body that went out and is not held any more cannot go to the spare; one that is held goes whole") {
  for (const size_t size : {size_t{60'000}, size_t{200'000}}) {
    CAPTURE(size);
    Case rig(to_spare);
    std::string came;
    rig.network.serve(app, [size](support::ScriptedPeer& peer) {
      peer.on_event = [size, got = size_t{0}](support::ScriptedPeer& p) mutable {
        got += p.take().size();
        if (got >= size) p.reset();
      };
    });
    rig.network.serve(spare, [&came](support::ScriptedPeer& peer) {
      peer.on_event = [&came](support::ScriptedPeer& p) {
        came += p.take();
        if (came.ends_with('z')) p.send(ok);
      };
    });
    const std::string body = std::string(size - 1, 'x') + "z";
    const std::string answer =
        rig.ask("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" + body);
    const bool goes = size < 64 * 1024;
    CHECK(answer.ends_with("spare") == goes);
    CHECK(came.ends_with(body) == goes);
    CHECK(rig.served() == (goes ? 1 : 0));
  }
}

TEST_CASE("a full pool: who waits in vain is served by the spare") {
  Case rig(to_spare);
  rig.network.serve(app, silent);
  support::ScriptedPeer& holds = rig.client();
  holds.send(get);
  rig.sim.settle();
  CHECK(rig.ask(post, base::millis(1'500)).ends_with("spare"));
  CHECK(rig.metric(Name::upstream_errors_total, {"app", "pool_timeout"}) == 1);
}

TEST_CASE("time that is used up: nothing is left for another upstream, but a fixed answer takes none") {
  Case rig(to_spare);
  rig.network.serve(app, silent);
  CHECK(rig.ask(get).starts_with("HTTP/1.1 504 "));
  CHECK(rig.network.dials(spare) == 0);
  CHECK(rig.served() + rig.failed() == 0);
  Case fixed(page);
  fixed.network.serve(app, silent);
  const std::string answer = fixed.ask(get);
  CHECK(answer.starts_with("HTTP/1.1 200 "));
  CHECK(answer.find("x-sluice-reason: timeout\r\n") != std::string::npos);
  CHECK(answer.ends_with("back soon"));
}

TEST_CASE("a spare that fails, too: its failure is the answer, and nobody is asked a third time") {
  Case rig(to_spare);
  rig.network.fail(app, net::EndReason::refused);
  rig.network.serve(spare, reset_when_asked);
  const std::string answer = rig.ask(get);
  CHECK(answer.starts_with("HTTP/1.1 502 "));
  CHECK(answer.find("x-sluice-reason: reset\r\n") != std::string::npos);
  CHECK(rig.failed() == 1);
  CHECK(rig.served() == 0);
  CHECK(rig.network.dials(spare) == 2);  // tried again, as its own `retry` says
  rig.network.fail(spare, net::EndReason::refused);
  CHECK(rig.ask(post).starts_with("HTTP/1.1 502 "));
  CHECK(rig.failed() == 2);
}

TEST_CASE("the spare has what is left of the route's timeout") {
  Case rig(to_spare);
  rig.network.fail(app, net::EndReason::refused);
  rig.network.serve(spare, silent);
  support::ScriptedPeer& client = rig.client();
  client.send(get);
  rig.sim.run_for(base::millis(2'900));
  CHECK(client.received().empty());
  rig.sim.run_for(base::millis(300));
  CHECK(client.received().starts_with("HTTP/1.1 504 "));
  CHECK(rig.failed() == 1);
}

TEST_CASE("a fixed answer: its status and body, Retry-After where it is a 503; HEAD gets no body") {
  Case rig(page, "192.0.2.7");
  rig.network.fail(app, net::EndReason::refused);
  const std::string answer = rig.ask(get);
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(answer.ends_with("\r\n\r\nback soon"));
  CHECK(answer.find("retry-after") == std::string::npos);
  CHECK(answer.find("x-sluice-reason") == std::string::npos);
  CHECK(rig.ask("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n").ends_with("\r\n\r\n"));
  CHECK(rig.served() == 2);
  CHECK(rig.metric(Name::local_replies_total, {"connect_failed"}) == 2);
  CHECK(rig.metric(Name::requests_total, {}) == 2);
}

TEST_CASE("a gRPC call goes to the spare; of a fixed answer it gets its status") {
  const std::string call =
      "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n";
  Case rig(to_spare);
  rig.network.fail(app, net::EndReason::refused);
  CHECK(rig.ask(call).ends_with("spare"));
  Case fixed(page);
  fixed.network.fail(app, net::EndReason::refused);
  CHECK(fixed.ask(call).find("grpc-status: 14\r\n") != std::string::npos);
  CHECK(fixed.served() == 0);
}

TEST_CASE("refusals of the client's own doing have no fallback") {
  Case rig(toml("respond = {}", "deny = [\"127.0.0.1\"]"));
  CHECK(rig.ask(get).starts_with("HTTP/1.1 403 "));
  CHECK(rig.served() == 0);
}

TEST_CASE("a reload under way: who was on the way to the spare is served by it, though it has left the configuration") {
  Case rig(to_spare);
  rig.network.serve(app, silent);
  support::ScriptedPeer& holds = rig.client();
  holds.send(get);
  support::ScriptedPeer& waits = rig.client();
  waits.send(get);
  rig.sim.run_for(base::millis(500));
  rig.reload(
      "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n"
      "[[upstream]]\nname = \"app\"\nendpoints = [\"10.0.0.1:3000\"]\n[upstream.pool]\nmax_connections = 1\n"
      "[[route]]\nname = \"r\"\nupstream = \"app\"\n");
  rig.sim.run_for(base::millis(700));
  CHECK(waits.received().ends_with("spare"));
  CHECK(rig.served() == 1);
}
