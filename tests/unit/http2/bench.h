// A session under test on a wire, the probes around it, and the far end.
#pragma once

#include <atomic>
#include <string>

#include "http2/client_session.h"
#include "http2/server_session.h"
#include "peer.h"
#include "support/http_probe.h"
#include "support/pipe.h"

namespace sluice::http2 {

// Answers each whole request with 200 and a text of its own; malformed ones with their status.
inline void answer_ok(support::ProbeSink& sink) {
  sink.when_ended = [](support::ProbeSink& s) { s.answer(200, "ok"); };
  sink.when_malformed = [](support::ProbeSink& s) {
    if (s.sent == 0) s.answer(http::status_of(s.why.kind), "bad");
  };
}

struct ServerBench {
  explicit ServerBench(const http::DownstreamOptions& o = {}, http::Scheme scheme = http::Scheme::http) : options(o) {
    host.prepare = answer_ok;
    host.session = make_server_session(sim.loop(), std::move(pair.transport), options, scheme, host);
  }
  ~ServerBench() {
    for (auto& s : host.sinks) s->when_closed = nullptr;
    host.session.reset();
    sim.settle();
  }
  support::ProbeSink& sink(size_t i = 0) { return *host.sinks.at(i); }

  support::SimLoop sim;
  http::DownstreamOptions options;
  support::Contract contract;
  support::ProbeServerHost host{contract};
  support::ScriptedPair pair = support::scripted_pair(sim);
};

struct ClientBench {
  explicit ClientBench(const http::HttpLimits& limits = {}, std::atomic<uint32_t>* stream_limit = nullptr,
                       base::Millis patience = base::seconds(1)) {
    host.session = make_client_session(sim.loop(), std::move(pair.transport), limits, host, stream_limit, patience);
  }
  ~ClientBench() {
    host.session.reset();
    sim.settle();
  }
  // Opens a stream for `sink` and sends a head; false if there is no slot.
  bool ask(support::ProbeSink& sink, std::string_view method = "GET", http::End end = http::End::yes,
           std::string_view upgrade = {}) {
    if (host.session == nullptr) return false;
    sink.stream = host.session->open(sink);
    if (sink.stream == nullptr) return false;
    http::Head head(sink.stream->arena());
    head.method_text = method;
    head.method = http::method_of(method);
    head.authority = "origin";
    head.target = "/";
    head.upgrade = upgrade;
    sink.send_head(head, upgrade.empty() ? end : http::End::no);
    return true;
  }

  support::SimLoop sim;
  support::Contract contract;
  support::ProbeClientHost host{contract};
  support::ScriptedPair pair = support::scripted_pair(sim);
};

}  // namespace sluice::http2
