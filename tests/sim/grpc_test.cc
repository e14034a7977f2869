// gRPC calls through a whole worker in simulated time, HTTP/2 on both sides: time limits, cancellation, what may be
// sent again, and failures as statuses.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http2/client_session.h"
#include "http2/server_session.h"
#include "rig.h"
#include "support/http_probe.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using http::End;
using metrics::Name;
using support::ProbeSink;

namespace {

const net::Address app = net::Address::ipv4(0x0A000001, 3000);

std::string toml(std::string_view route = "", std::string_view upstream = "", std::string_view before = "") {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\nprotocol = \"h2\"\nendpoints = "
         "[\"10.0.0.1:3000\"]\n" +
         std::string(upstream) + "\n" + std::string(before) + "\n[[route]]\nupstream = \"app\"\n" + std::string(route) +
         "\n";
}

// A client connection and servers of HTTP/2 around a worker.
struct Bench {
  explicit Bench(std::string_view config = toml()) : rig(config) {
    serve([](ProbeSink&) {});
    http::DownstreamOptions defaults;
    support::PipeAddresses loopback;  // trusted with x-sluice-reason
    auto pair = support::transport_pair(rig.sim, loopback);
    rig.worker->bring(0, std::move(pair.a));
    host.session = http2::make_client_session(rig.sim.loop(), std::move(pair.b), defaults.limits, host, nullptr);
    rig.sim.settle();
  }
  ~Bench() {
    for (auto& sink : sinks) {
      if (sink->stream != nullptr) sink->cancel({});
    }
    rig.sim.settle();
    host.session.reset();
    for (auto& server : servers) server->session.reset();
    rig.sim.settle();
    CHECK(contract.text() == "");
  }

  // What a server does with a call whose head is there; ProbeSink's hooks do the rest.
  void serve(std::function<void(ProbeSink&)> at_head) {
    on_call = std::move(at_head);
    rig.network.serve_transport(app, [this](net::TransportPtr transport) {
      servers.push_back(std::make_unique<support::ProbeServerHost>(contract));
      servers.back()->prepare = [this](ProbeSink& sink) {
        calls.push_back(&sink);
        sink.when_head = on_call;
      };
      servers.back()->session = http2::make_server_session(rig.sim.loop(), std::move(transport), server_options,
                                                           http::Scheme::http, *servers.back());
    });
  }
  // A call whose first message is sent; it goes on.
  ProbeSink& call(std::string_view timeout = "", std::string_view type = "application/grpc",
                  std::string_view path = "/a.B/C") {
    sinks.push_back(std::make_unique<ProbeSink>(contract));
    ProbeSink& sink = *sinks.back();
    sink.stream = host.session->open(sink);
    REQUIRE(sink.stream != nullptr);
    http::Head head(sink.stream->arena());
    head.method = http::Method::post;
    head.method_text = "POST";
    head.scheme = "http";
    head.authority = "a.test";
    head.target = path;
    head.te_trailers = true;
    head.fields.add(http::Token::content_type, type);
    if (!timeout.empty()) head.fields.add(http::Token::grpc_timeout, timeout);
    sink.send_head(head, End::no);
    sink.send_body("ask", End::no);
    rig.sim.settle();
    return sink;
  }
  void finish(ProbeSink& sink) {
    sink.send_body("", End::yes);
    rig.sim.settle();
  }
  // Of the final head, which is gone when the stream is.
  static std::string field(const ProbeSink& sink, const std::string& name) {
    const size_t line = sink.trace.find("answer ");
    const size_t at = sink.trace.find("[" + name + ": ", line);
    if (line == std::string::npos || at > sink.trace.find('\n', line)) return "";
    const size_t from = at + name.size() + 3;
    return sink.trace.substr(from, sink.trace.find(']', from) - from);
  }
  static std::string status(const ProbeSink& sink) {
    const size_t at = sink.trace.find("answer ");
    return at == std::string::npos ? "none" : sink.trace.substr(at + 7, 3) + " " + field(sink, "grpc-status");
  }

  sim::Rig rig;
  support::Contract contract;
  http::DownstreamOptions server_options;
  std::vector<std::unique_ptr<support::ProbeServerHost>> servers;
  std::vector<ProbeSink*> calls;
  std::function<void(ProbeSink&)> on_call;
  support::ProbeClientHost host{contract};
  std::vector<std::unique_ptr<ProbeSink>> sinks;
};

void begin_answer(ProbeSink& sink) {
  http::Head head(sink.stream->arena());
  head.status = 200;
  head.fields.add(http::Token::content_type, "application/grpc");
  sink.send_head(head, End::no);
}
void end_answer(ProbeSink& sink) {
  http::Fields trailers(sink.stream->arena());
  trailers.add(http::Token::grpc_status, "0");
  sink.send_trailers(trailers);
}
void answer(ProbeSink& sink) {
  begin_answer(sink);
  sink.send_body("answer", End::no);
  end_answer(sink);
}

}  // namespace

TEST_CASE("a call with trailers, both ways") {
  Bench b;
  b.serve([](ProbeSink& s) { s.when_ended = answer; });
  ProbeSink& call = b.call();
  b.finish(call);
  CHECK(call.trace ==
        "answer 200 [date: Tue, 14 Nov 2023 23:13:20 GMT] [content-type: application/grpc]\nbody answer\ntrailers "
        "[grpc-status: "
        "0]\nend\nclosed clean\n");
  CHECK(b.calls.front()->trace.find(" te [") != std::string::npos);
  CHECK(b.calls.front()->trace.ends_with("body ask\nend\nclosed clean\n"));
}

TEST_CASE("the deadline ends a call before its answer, and the server hears of it") {
  Bench b;
  ProbeSink& call = b.call("5S");
  b.rig.sim.run_for(base::Millis{4'990});
  CHECK_FALSE(call.closed);
  b.rig.sim.run_for(base::Millis{20});
  CHECK(b.status(call) == "200 4");
  CHECK(b.field(call, "x-sluice-reason") == "timeout");
  CHECK(call.ended);
  REQUIRE(b.calls.size() == 1);
  CHECK(b.calls.front()->trace.ends_with("closed client_closed\n"));
  CHECK(b.rig.metric(Name::local_replies_total, {"timeout"}) == 1);
}

TEST_CASE("the deadline ends an answer that has begun, with the status in its trailers") {
  Bench b;
  b.serve([](ProbeSink& s) {
    begin_answer(s);
    s.send_body("part", End::no);
  });
  ProbeSink& call = b.call("5S");
  b.rig.sim.run_for(base::Millis{5'010});
  CHECK(call.body == "part");
  CHECK(call.trace.find("trailers [grpc-status: 4] [grpc-message: 504 Gateway Timeout]\nend\n") != std::string::npos);
  CHECK(b.calls.front()->trace.ends_with("closed client_closed\n"));
  CHECK(b.rig.metric(Name::upstream_errors_total, {"app", "timeout"}) == 0);  // it was the client's wish
}

TEST_CASE("max_stream_duration ends a call that goes on, with the status in its trailers") {
  Bench b(toml("max_stream_duration = \"1h\"\nstream_idle_timeout = \"0s\""));
  b.serve([](ProbeSink& s) {
    begin_answer(s);
    s.send_body("part", End::no);
  });
  ProbeSink& call = b.call();
  b.rig.sim.run_for(base::minutes(59));
  CHECK_FALSE(call.closed);
  b.rig.sim.run_for(base::minutes(2));
  CHECK(call.body == "part");
  CHECK(call.trace.find("trailers [grpc-status: 4] [grpc-message: 504 Gateway Timeout]\nend\n") != std::string::npos);
  CHECK(b.calls.front()->trace.ends_with("closed client_closed\n"));
}

TEST_CASE("the deadline cannot end an answer that is not gRPC, or has a length: it is cut") {
  for (const bool length : {false, true}) {
    Bench b;
    b.serve([length](ProbeSink& s) {
      http::Head head(s.stream->arena());
      head.status = 200;
      head.fields.add(http::Token::content_type, length ? "application/grpc" : "text/plain");
      if (length) head.content_length = 100;
      s.send_head(head, End::no);
      s.send_body("part", End::no);
    });
    ProbeSink& call = b.call("5S");
    b.rig.sim.run_for(base::Millis{5'010});
    CHECK(call.trace.ends_with("body part\nclosed reset truncated\n"));
  }
}

TEST_CASE("a deadline that has passed when the answer is whole changes nothing") {
  Bench b;
  b.serve(answer);  // before the request has ended
  ProbeSink& call = b.call("5S");
  b.rig.sim.run_for(base::Millis{10'000});
  CHECK(call.trace.find("trailers [grpc-status: 0]\nend\n") != std::string::npos);
  CHECK(call.trace.ends_with("closed clean\n"));
}

TEST_CASE("the deadline rules while a call waits for a connection") {
  Bench b(toml("wait_budget = \"60s\"", "[upstream.pool]\nmax_connections = 1\nacquire_timeout = \"60s\""));
  b.server_options.http2.max_streams = 1;
  b.call();
  ProbeSink& second = b.call("2S");
  b.rig.sim.run_for(base::Millis{2'010});
  CHECK(b.status(second) == "200 4");
  CHECK(b.calls.size() == 1);
}

TEST_CASE("the route's timeout runs from the last byte of the request to the head of the answer") {
  Bench b(toml("timeout = \"3s\""));
  ProbeSink& open = b.call();
  b.rig.sim.run_for(base::seconds(60));
  CHECK_FALSE(open.closed);  // its request goes on
  b.finish(open);
  b.rig.sim.run_for(base::Millis{2'900});
  CHECK_FALSE(open.ended);
  b.rig.sim.run_for(base::Millis{200});
  CHECK(b.status(open) == "200 4");
  ProbeSink& early = b.call("1S");  // the shorter one counts
  b.finish(early);
  b.rig.sim.run_for(base::Millis{1'010});
  CHECK(b.status(early) == "200 4");
}

TEST_CASE("a silent call outlives the limits of uploads, and ends at stream_idle_timeout") {
  Bench b(toml("stream_idle_timeout = \"10m\""));
  b.serve(begin_answer);
  ProbeSink& call = b.call();
  b.rig.sim.run_for(base::minutes(9));
  CHECK_FALSE(call.closed);
  b.calls.front()->send_body("still here", End::no);
  b.rig.sim.run_for(base::minutes(9));
  CHECK(call.body == "still here");
  CHECK_FALSE(call.closed);
  b.rig.sim.run_for(base::minutes(2));
  CHECK(call.trace.ends_with("closed reset truncated\n"));
  CHECK(b.calls.front()->closed);
}

TEST_CASE("a client that cancels, or is gone: the server hears it in the same turn of events") {
  for (const bool gone : {false, true}) {
    Bench b;
    b.serve([](ProbeSink& s) { begin_answer(s); });
    ProbeSink& call = b.call();
    CHECK_FALSE(b.calls.front()->closed);
    if (gone) {
      b.host.session->abort(http::CloseCause::drain);
    } else {
      call.cancel({http::Kind::client_closed, http::Where::downstream});
    }
    b.rig.sim.settle();
    CHECK(b.calls.front()->trace.ends_with("closed client_closed\n"));
    CHECK(b.servers.size() == 1);
    CHECK_FALSE(b.servers.front()->ended);  // one stream ended, not the connection
  }
}

TEST_CASE("a refused call is sent again, one that was reset never") {
  int refused = 0;
  Bench b;
  b.serve([&](ProbeSink& s) {
    if (refused++ == 0)
      return s.cancel({http::Kind::shutdown, http::Where::proxy, http::Detail::none, true});  // REFUSED_STREAM
    s.when_ended = answer;
  });
  ProbeSink& again = b.call();
  b.finish(again);
  CHECK(again.trace.find("trailers [grpc-status: 0]\nend\n") != std::string::npos);
  CHECK(b.calls.size() == 2);
  CHECK(b.calls.back()->body == "ask");
  CHECK(b.rig.metric(Name::upstream_tries_total, {"app", "retry"}) == 1);

  b.serve([](ProbeSink& s) {
    s.cancel({http::Kind::reset, http::Where::upstream, http::Detail::none, false});
  });  // INTERNAL_ERROR
  ProbeSink& lost = b.call();
  CHECK(b.status(lost) == "200 14");
  CHECK(b.calls.size() == 3);
}

TEST_CASE("calls above the last stream of a GOAWAY go to a new connection, those below end where they are") {
  Bench b;
  b.serve([](ProbeSink&) {});
  ProbeSink& before = b.call();
  b.servers.front()->session->drain(http::CloseCause::drain);
  b.rig.sim.settle();
  ProbeSink& after = b.call();
  REQUIRE(b.servers.size() == 2);
  b.finish(before);
  b.finish(after);
  for (ProbeSink* call : b.calls) answer(*call);
  b.rig.sim.settle();
  for (const ProbeSink* call : {&before, &after})
    CHECK(call->trace.ends_with("trailers [grpc-status: 0]\nend\nclosed clean\n"));
}

TEST_CASE("an answer that breaks off is cut, never ended") {
  for (const bool connection : {false, true}) {
    Bench b;
    b.serve([](ProbeSink& s) {
      begin_answer(s);
      s.send_body("part", End::no);
    });
    ProbeSink& call = b.call();
    CHECK(call.body == "part");
    if (connection) {
      b.servers.front()->session->abort({http::Kind::reset, http::Where::proxy}, http::CloseCause::error);
    } else {
      b.calls.front()->cancel({http::Kind::reset, http::Where::upstream});
    }
    b.rig.sim.settle();
    CHECK(call.trace.ends_with("body part\nclosed reset truncated\n"));
  }
}

TEST_CASE("an answer that ends before its request: the rest of the upload is dropped, the connections live") {
  Bench b;
  b.serve(answer);
  ProbeSink& call = b.call();
  CHECK(call.trace ==
        "answer 200 [date: Tue, 14 Nov 2023 23:13:20 GMT] [content-type: application/grpc]\nbody answer\ntrailers "
        "[grpc-status: "
        "0]\nend\nclosed clean\n");
  ProbeSink& next = b.call();
  CHECK(next.ended);
  CHECK(b.servers.size() == 1);
  CHECK_FALSE(b.host.ended);
}

TEST_CASE("failures made here are statuses") {
  Bench b(toml("path_prefix = \"/a.B\"\nmax_body = \"1KiB\"", "",
               "[[route]]\npath_prefix = \"/denied\"\nupstream = \"app\"\ndeny = [\"0.0.0.0/0\"]"));
  CHECK(b.status(b.call("", "application/grpc", "/nowhere")) == "200 12");
  CHECK(b.status(b.call("", "application/grpc+proto", "/denied")) == "200 7");
  CHECK(b.status(b.call("", "text/plain", "/denied")) == "403 ");
  ProbeSink& large = b.call();
  large.send_body(std::string(1024, 'x'), End::no);
  b.rig.sim.settle();
  CHECK(b.status(large) == "200 8");
  CHECK(large.closed);
  Bench dead;
  dead.rig.network.fail(app, net::EndReason::refused);
  CHECK(dead.status(dead.call()) == "200 14");
  CHECK(dead.field(*dead.sinks.back(), "content-type") == "application/grpc");
  CHECK(dead.field(*dead.sinks.back(), "grpc-message") == "502 Bad Gateway");
  dead.rig.network.black_hole(app);
  ProbeSink& slow = dead.call();
  dead.rig.sim.run_for(base::seconds(5));
  CHECK(dead.status(slow) == "200 14");
}
