// The gRPC health check: its messages byte by byte, and the probe against a server session of HTTP/2.
#include "upstream/grpc_health.h"

#include <string>
#include <vector>

#include "base/log.h"
#include "http2/server_session.h"
#include "support/http_probe.h"
#include "support/sim_network.h"
#include "upstream/health_probe.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::upstream;
using std::string;

const bool quiet = (base::set_log(base::LogLevel::error, base::LogFormat::text), true);

// A message in its frame; `flag` 1 = compressed.
string framed(const string& message, char flag = 0) {
  return string{flag, static_cast<char>(message.size() >> 24), static_cast<char>(message.size() >> 16),
                static_cast<char>(message.size() >> 8), static_cast<char>(message.size())} +
         message;
}
const string serving = framed("\x08\x01");

TEST_CASE("the request: an empty message, or a service of at most 127 bytes") {
  CHECK(grpc_health_request("") == string(5, '\0'));
  CHECK(grpc_health_request("a.B") == framed("\x0A\x03"
                                             "a.B"));
  const string longest(grpc_service_max, 'x');
  CHECK(grpc_health_request(longest) == framed("\x0A\x7F" + longest));
}

TEST_CASE("the answer") {
  CHECK(parse_grpc_health(serving) == ServingStatus::serving);
  CHECK(parse_grpc_health(framed("\x08\x02")) == ServingStatus::not_serving);
  CHECK(parse_grpc_health(framed("\x08\x03")) == ServingStatus::service_unknown);
  CHECK(parse_grpc_health(framed("")) == ServingStatus::unknown);            // zero is left out
  CHECK(parse_grpc_health(framed("\x08\x02\x08\x01")) == ServingStatus::serving);   // the last one counts
  CHECK(parse_grpc_health(framed("\x08\x81\x80\x00")) == std::nullopt);      // cut by the zero of the literal
  CHECK(parse_grpc_health(framed(string("\x08\x81\x80\x00", 4))) == ServingStatus::serving);
  CHECK(serving_word(ServingStatus::not_serving) == "NOT_SERVING");
  CHECK(serving_word(static_cast<ServingStatus>(77)) == "a status that is not known");
}

TEST_CASE("fields that are not known are passed over") {
  CHECK(parse_grpc_health(framed(string("\x10\x96\x01", 3) + "\x08\x01")) == ServingStatus::serving);
  CHECK(parse_grpc_health(framed("\x12\x03"
                                 "abc"
                                 "\x08\x01")) == ServingStatus::serving);
  CHECK(parse_grpc_health(framed("\x19"
                                 "12345678"
                                 "\x08\x01")) == ServingStatus::serving);
  CHECK(parse_grpc_health(framed("\x1D"
                                 "1234"
                                 "\x08\x01")) == ServingStatus::serving);
}

TEST_CASE("what is no answer") {
  for (const string& bad : {string(), string("\0\0\0\0", 4), framed("\x08\x01", 1), serving + "x", serving.substr(0, 6),
                            serving + serving, framed("\x08"), framed("\x08\xFF"), framed("\x08" + string(10, '\xFF')),
                            framed("\x0A\x05"
                                   "abc"),
                            framed("\x19"
                                   "1234567"),
                            framed("\x1D"
                                   "123"),
                            framed("\x0B\x01"), framed("\x0F"), framed("\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F")}) {
    CAPTURE(bad.size());
    CHECK_FALSE(parse_grpc_health(bad).has_value());
  }
  // At the limit of size, and one above.
  const size_t room = grpc_health_answer_max - 5 - 2 - 3;
  const string filler = string("\x12", 1) + static_cast<char>((room & 0x7F) | 0x80) + static_cast<char>(room >> 7);
  CHECK(parse_grpc_health(framed(filler + string(room, 'x') + "\x08\x01")) == ServingStatus::serving);
  CHECK_FALSE(parse_grpc_health(framed(string("\x08\x00", 2) + string("\x08\x00", 2) + filler + string(room, 'x')))
                  .has_value());
}

// ---- the probe

struct Clinic : HealthListener {
  Clinic() : network(sim), upstream(std::make_shared<SharedUpstream>("app", 1)) {
    options = std::make_shared<UpstreamOptions>();
    options->name = "app";
    options->protocol = Protocol::http2;
    options->health.emplace();
    options->health->kind = HealthKind::grpc;
    options->health->unhealthy_after = 1;
    options->health->healthy_after = 1;
    options->endpoints = {EndpointSpec{"10.0.0.1:80", place, 1}};
    network.serve_transport(place, [this](net::TransportPtr transport) {
      hosts.push_back(std::make_unique<support::ProbeServerHost>(contract));
      hosts.back()->prepare = [this](support::ProbeSink& sink) { sink.when_ended = answer; };
      hosts.back()->session =
          http2::make_server_session(sim.loop(), std::move(transport), downstream, http::Scheme::http, *hosts.back());
    });
    checker = std::make_unique<HealthChecker>(HealthChecker::Setup{sim.loop(), upstream, *this, 5});
  }
  virtual ~Clinic() {
    checker = nullptr;
    sim.settle();
    for (auto& host : hosts) host->session.reset();
    sim.settle();
    CHECK(contract.text() == "");
    CHECK(support::pipes_live() == 0);
  }
  void start() {
    checker->update(options, upstream->set_endpoints(options->endpoints, options->panic_threshold),
                    make_connector({.upstream = "app",
                                    .loop = sim.loop(),
                                    .network = network,
                                    .way = std::make_shared<Way>(Way{.protocol = Protocol::http2})}));
  }
  void on_health(const SharedUpstream&, const SharedEndpoint&, Health) override {}
  bool healthy() { return upstream->endpoints()->entries[0].endpoint->healthy(); }
  // The verdict after a check that met `how`.
  string verdict(std::function<void(support::ProbeSink&)> how) {
    answer = std::move(how);
    const size_t before = hosts.size();
    REQUIRE(sim.until([&] { return hosts.size() == before + 1; }, base::seconds(20)));
    sim.run_for(base::Millis{1'100});   // past the timeout of a check
    return healthy() ? "up" : checker->status()[0].last_error;
  }

  const net::Address place = *net::Address::parse("10.0.0.1:80");
  support::SimLoop sim;
  support::SimNetwork network;
  support::Contract contract;
  http::DownstreamOptions downstream;
  std::vector<std::unique_ptr<support::ProbeServerHost>> hosts;
  std::function<void(support::ProbeSink&)> answer;
  std::shared_ptr<SharedUpstream> upstream;
  std::shared_ptr<UpstreamOptions> options;
  std::unique_ptr<HealthChecker> checker;
};

// An answer of gRPC: head, body if there is one, status in the trailers.
auto says(const string& body, const string& status = "0", const string& type = "application/grpc",
          uint16_t http_status = 200) {
  return [=](support::ProbeSink& sink) {
    http::Head head(sink.stream->arena());
    head.status = http_status;
    head.fields.add(http::Token::content_type, type);
    sink.send_head(head, http::End::no);
    if (!body.empty()) sink.send_body(body, http::End::no);
    http::Fields trailers(sink.stream->arena());
    trailers.add(http::Token::grpc_status, status);
    sink.send_trailers(trailers);
  };
}

TEST_CASE("a check asks for the service and judges all of the answer") {
  Clinic c;
  c.options->health->service = "a.B";
  c.options->health->host = "probe.test";
  c.start();
  CHECK(c.verdict(says(serving)) == "up");
  const support::ProbeSink& asked = *c.hosts.back()->sinks.front();
  CHECK(
      asked.trace.starts_with("request POST http://probe.test /grpc.health.v1.Health/Check te [user-agent: "
                              "sluice-health] [content-type: application/grpc]\n"));
  CHECK(asked.body == grpc_health_request("a.B"));
  CHECK(c.verdict(says(framed("\x08\x02"))) == "NOT_SERVING");
  CHECK(c.verdict(says(serving)) == "up");
  CHECK(c.verdict(says(framed("\x08\x03"))) == "SERVICE_UNKNOWN");
  CHECK(c.verdict(says(serving, "12")) == "grpc status 12");
  CHECK(c.verdict(says(serving, "")) == "the answer has no grpc-status");
  CHECK(c.verdict(says(serving, "none")) == "grpc status 2");
  CHECK(c.verdict(says("")) == "the answer is no HealthCheckResponse");
  CHECK(c.verdict(says(serving + serving)) == "the answer is no HealthCheckResponse");
  CHECK(c.verdict(says(string(grpc_health_answer_max + 1, 'x'))) == "the answer is no HealthCheckResponse");
  CHECK(c.verdict(says(serving, "0", "text/html")) == "the answer is not gRPC");
  CHECK(c.verdict(says(serving, "0", "application/grpc", 503)) == "status 503");
  CHECK(c.verdict([](support::ProbeSink&) {}) == "no answer in time");
  CHECK(c.verdict([](support::ProbeSink& sink) { sink.cancel({http::Kind::reset, http::Where::upstream}); }) ==
        "reset");
  CHECK(c.verdict([](support::ProbeSink& sink) {   // without trailers
    http::Head head(sink.stream->arena());
    head.status = 200;
    head.fields.add(http::Token::content_type, "application/grpc");
    sink.send_head(head, http::End::no);
    sink.send_body(serving, http::End::yes);
  }) == "the answer has no grpc-status");
  CHECK(c.verdict([](support::ProbeSink& sink) {   // trailers only
    http::Head head(sink.stream->arena());
    head.status = 200;
    head.fields.add(http::Token::content_type, "application/grpc");
    head.fields.add(http::Token::grpc_status, "12");
    sink.send_head(head, http::End::yes);
  }) == "grpc status 12");
  CHECK(c.verdict(says(serving)) == "up");
}

}  // namespace
