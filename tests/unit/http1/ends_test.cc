// An end that is not surely the peer's (TLS without close_notify) is no end of a message (threats.md row 24).
#include "bench.h"
#include "support/fake_transport.h"

#include <doctest/doctest.h>

using namespace sluice;
using support::ProbeSink;

namespace {

std::string client_trace(std::string_view answer, bool authenticated, std::string_view upgrade = {}) {
  support::SimLoop sim;
  support::Contract contract;
  support::FakeTransport transport(sim.loop());
  support::ProbeClientHost host(contract);
  host.session = http1::make_client_session(sim.loop(), net::TransportPtr(&transport), {}, host);
  ProbeSink sink(contract);
  sink.stream = host.session->open(sink);
  http::Head head(sink.stream->arena());
  head.method_text = "GET";
  head.authority = "a";
  head.target = "/";
  head.upgrade = upgrade;
  sink.send_head(head, upgrade.empty() ? http::End::yes : http::End::no);
  sim.settle();
  transport.give(answer);
  transport.give_eof(authenticated);
  sim.settle();
  CHECK(contract.text() == "");
  if (sink.stream != nullptr) sink.cancel({});
  sim.settle();
  return sink.trace;
}

std::string server_trace(bool authenticated) {
  support::SimLoop sim;
  support::Contract contract;
  support::FakeTransport transport(sim.loop());
  support::ProbeServerHost host(contract);
  http::DownstreamOptions options;
  host.prepare = [](ProbeSink& sink) {
    sink.when_head = [](ProbeSink& s) {
      http::Head head(s.stream->arena());
      head.status = 101;
      head.upgrade = s.head->upgrade;
      s.send_head(head, http::End::no);
    };
  };
  host.session =
      http1::make_server_session(sim.loop(), net::TransportPtr(&transport), options, http::Scheme::https, host);
  transport.give("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  sim.settle();
  transport.give_eof(authenticated);
  sim.settle();
  std::string trace = host.sinks.at(0)->trace;
  if (host.sinks[0]->stream != nullptr) host.sinks[0]->cancel({});
  sim.settle();
  CHECK(host.ended);
  CHECK(contract.text() == "");
  return trace;
}

}  // namespace

TEST_CASE("an answer until close ends with close_notify only") {
  CHECK(client_trace("HTTP/1.1 200 OK\r\n\r\nabc", true) == "answer 200\nbody abc\nend\nclosed clean\n");
  CHECK(client_trace("HTTP/1.1 200 OK\r\n\r\nabc", false) == "answer 200\nbody abc\nclosed reset truncated\n");
}

TEST_CASE("so does a tunnel, on both sides") {
  const std::string switched = "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nx";
  CHECK(client_trace(switched, true, "websocket") == "answer 101 upgrade=websocket\nbody x\nend\ncancel\n");
  CHECK(client_trace(switched, false, "websocket") == "answer 101 upgrade=websocket\nbody x\nclosed reset truncated\n");
  CHECK(server_trace(true) == "request GET https://a / upgrade=websocket\nend\n");
  CHECK(server_trace(false) == "request GET https://a / upgrade=websocket\nclosed client_closed truncated\n");
}
