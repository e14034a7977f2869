// What the tests of both sessions share: a session on a wire, a scripted peer, and probes around it.
#pragma once

#include <string>
#include <string_view>

#include "http1/client_session.h"
#include "http1/server_session.h"
#include "support/http_probe.h"
#include "support/pipe.h"

namespace sluice::http1 {

// Answers each whole request with 200 and a text of its own; malformed ones with their status.
inline void answer_ok(support::ProbeSink& sink) {
  sink.when_ended = [](support::ProbeSink& s) { s.answer(200, "ok"); };
  sink.when_malformed = [](support::ProbeSink& s) {
    if (s.sent == 0) s.answer(http::status_of(s.why.kind), "bad");
  };
}

// Every answer has a Date, and says for how long its connection is kept; tests of their own look at both.
inline std::string plain(std::string text) {
  for (const std::string_view name : {"\r\ndate: ", "\r\nkeep-alive: timeout="}) {
    for (size_t at; (at = text.find(name)) != std::string::npos;) text.erase(at, text.find("\r\n", at + 2) - at);
  }
  return text;
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
  // Sends and lets everything happen that needs no time; what came back.
  std::string exchange(std::string_view bytes) {
    pair.peer->send(bytes);
    sim.settle();
    return output();
  }
  std::string output() { return plain(pair.peer->take()); }
  support::ProbeSink& sink(size_t i = 0) { return *host.sinks.at(i); }

  support::SimLoop sim;
  http::DownstreamOptions options;
  support::Contract contract;
  support::ProbeServerHost host{contract};
  support::ScriptedPair pair = support::scripted_pair(sim);
};

struct ClientBench {
  explicit ClientBench(const http::HttpLimits& limits = {}) {
    host.session = make_client_session(sim.loop(), std::move(pair.transport), limits, host);
    sim.settle();
  }
  ~ClientBench() {
    host.session.reset();
    sim.settle();
  }
  // Opens a stream for `sink` and sends a request without body.
  bool ask(support::ProbeSink& sink, std::string_view method = "GET", std::string_view upgrade = {}) {
    if (host.session == nullptr) return false;
    sink.stream = host.session->open(sink);
    if (sink.stream == nullptr) return false;
    http::Head head(sink.stream->arena());
    head.method_text = method;
    head.method = http::method_of(method);
    head.authority = "origin";
    head.target = "/";
    head.upgrade = upgrade;
    sink.send_head(head, upgrade.empty() ? http::End::yes : http::End::no);
    sim.settle();
    return true;
  }
  void answer(std::string_view bytes) {
    pair.peer->send(bytes);
    sim.settle();
  }

  support::SimLoop sim;
  support::Contract contract;
  support::ProbeClientHost host{contract};
  support::ScriptedPair pair = support::scripted_pair(sim);
};

}  // namespace sluice::http1
