// The HTTP/1 server session against any bytes. The first byte seeds the tearing, the second the behaviour of the sinks.
// Held: the contract of upcalls; the same events torn or whole; everything ends and nothing is left; and what was
// accepted as a request is, as we write it, exactly that one request again (nothing can be smuggled past us); and no
// head holds more than a few times its bytes.
#include <cstdint>
#include <string>

#include "../unit/http1/bench.h"
#include "base/check.h"
#include "http1/writer.h"
#include "support/held.h"

using namespace sluice;

namespace {

enum class Mode : uint8_t { answer_at_end, answer_at_head, hold, cancel, tunnel };

struct Accepted {
  std::string head;  // as a probe tells it, without the version
  std::string body;
  std::string trailers;
  bool operator==(const Accepted&) const = default;
};

Accepted accepted(const support::ProbeSink& s) {
  Accepted a;
  a.head = s.trace.substr(0, s.trace.find('\n'));
  if (const size_t at = a.head.find(" 1.0"); at != std::string::npos && s.head->version == http::Version::http_10)
    a.head.erase(at, 4);
  a.body = s.body;
  if (const size_t at = s.trace.find("\ntrailers "); at != std::string::npos)
    a.trailers = s.trace.substr(at, s.trace.find('\n', at + 1) - at);
  return a;
}

// Writes what a sink was told, as the client session would, and reads it again.
void check_forwarded(const support::ProbeSink& s, http::Fields* trailers) {
  if (s.head->authority.empty() || s.head->method == http::Method::connect) return;  // never forwarded as they are
  http1::Message message;
  if (s.head->content_length) {
    message = {*s.head->content_length == 0 ? http1::Framing::none : http1::Framing::length, *s.head->content_length};
    CHECK(s.body.size() == *s.head->content_length);
  } else if (!s.body.empty() || trailers != nullptr) {
    message.framing = http1::Framing::chunked;
  }
  net::ByteQueue wire;
  http1::write_request_head(*s.head, message, wire);
  http1::BodyWriter body;
  body.start(message);
  net::ByteQueue bytes;
  bytes.append_copy(s.body);
  if (trailers != nullptr && message.framing == http1::Framing::chunked) {
    body.add(std::move(bytes), http1::BodyWriter::Last::no);
    body.end(*trailers);
  } else {
    body.add(std::move(bytes), http1::BodyWriter::Last::yes);
  }
  while (!body.done()) body.fill(wire, 1 << 20);
  std::string text(wire.size(), '\0');
  wire.peek(text.data(), text.size());

  http::DownstreamOptions options;
  options.limits = {1 << 20, 1 << 20, 1000, http::UnderscoreHeaders::pass};
  http1::ServerBench again(options);
  std::vector<Accepted> seen;
  again.host.prepare = [&](support::ProbeSink& sink) {
    sink.when_ended = [&](support::ProbeSink& ended) {
      seen.push_back(accepted(ended));
      ended.answer(200, "");
    };
    sink.when_malformed = [](support::ProbeSink&) {
      constexpr bool what_we_forward_is_well_formed = false;
      CHECK(what_we_forward_is_well_formed);
    };
  };
  again.exchange(text);
  CHECK(seen.size() == 1);
  Accepted first = accepted(s);
  CHECK(seen[0].body == first.body && seen[0].trailers == first.trailers);
  CHECK(seen[0].head == first.head);
}

struct Seen {
  std::string trace, output;
};

void behave(support::ProbeSink& sink, Mode mode, bool check) {
  http1::answer_ok(sink);
  sink.when_head = [](support::ProbeSink& s) {
    if (!s.head->upgrade.empty()) s.answer(403, "no");
  };
  switch (mode) {
    case Mode::answer_at_end:
      sink.when_ended = [check](support::ProbeSink& s) {
        if (check && s.trace.find("\ntrailers ") == std::string::npos) check_forwarded(s, nullptr);
        s.answer(200, "ok");
      };
      break;
    case Mode::answer_at_head:
      sink.when_head = [](support::ProbeSink& s) { s.answer(200, "ok"); };
      sink.when_ended = nullptr;
      sink.when_malformed = [](support::ProbeSink& s) { s.cancel({}); };
      break;
    case Mode::hold: sink.hold = true; break;
    case Mode::cancel: sink.when_body = [](support::ProbeSink& s) { s.cancel({}); }; break;
    case Mode::tunnel:
      sink.when_head = [](support::ProbeSink& s) {
        if (s.head->upgrade.empty()) return;
        http::Head head(s.stream->arena());
        head.status = 101;
        head.upgrade = s.head->upgrade;
        s.send_head(head, http::End::no);
        s.when_ended = [](support::ProbeSink& t) { t.send_body("bye", http::End::yes); };
      };
      break;
  }
}

Seen run(const std::string& bytes, support::Tear tear, Mode mode, bool check) {
  Seen seen;
  {
    http1::ServerBench b;
    b.host.prepare = [&](support::ProbeSink& sink) { behave(sink, mode, check); };
    b.pair.peer->tear(std::move(tear));
    b.pair.peer->send(bytes);
    b.sim.settle();
    for (auto& s : b.host.sinks) {
      if (s->stream != nullptr) CHECK(s->stream->arena().bytes_held() <= support::held_max(bytes.size()));
    }
    b.pair.peer->fin();
    b.sim.settle();
    for (auto& s : b.host.sinks) {
      if (s->hold && s->stream != nullptr && !s->malformed) s->cancel({});
    }
    b.sim.run_for(base::minutes(3));
    CHECK(b.contract.text().empty());
    CHECK(b.host.ended);
    for (auto& s : b.host.sinks) CHECK(s->stream == nullptr);
    // A client that sends more after it has asked for the close may lose the answer to a reset.
    seen = {b.host.trace(), b.pair.peer->got_reset() ? "reset" : b.pair.peer->take()};
  }
  CHECK(http1::server_streams_live() == 0 && http1::server_sessions_live() == 0);
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto mode = static_cast<Mode>(data[1] % 5);
  const std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Seen whole = run(bytes, support::tear_nowhere(), mode, true);
  const Seen torn = run(bytes, data[0] == 0 ? support::tear_every(1) : support::tear_randomly(data[0]), mode, false);
  // With the other modes it depends on the turn what was under way when the sink acted.
  if (mode != Mode::answer_at_end && mode != Mode::tunnel) return 0;
  CHECK(whole.trace == torn.trace);
  CHECK(whole.output == torn.output || whole.output == "reset" || torn.output == "reset");
  return 0;
}
