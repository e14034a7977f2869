// The tables of messages.h through whole sessions: what is malformed is answered and reset, or ends its request as
// broken, and hurts no other stream; whole, and torn at every place.
#include "bench.h"
#include "messages.h"
#include "wire.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::ClientBench;
using http2::HeadCase;
using http2::ServerBench;
using http2::Wire;

namespace {

struct Seen {
  std::string trace;
  std::string answer;
  std::string other;
  std::string goaway;
  std::string contract;
  bool operator==(const Seen&) const = default;
};

// A request on stream 1, a good one on stream 3.
Seen request(const std::string& frames, support::Tear tear) {
  ServerBench b;
  Wire wire(*b.pair.peer);
  b.pair.peer->tear(std::move(tear));
  wire.send(http2::client_preface + frames + http2::head_frame(3, http2::get_lines("/other")));
  b.sim.settle();
  return {b.host.sinks.empty() ? "" : b.sink().trace, wire.stream(1), wire.stream(3), wire.goaway(), b.contract.text()};
}

// An answer to a GET on stream 1.
Seen response(const std::string& frames, support::Tear tear) {
  ClientBench b;
  Wire wire(*b.pair.peer);
  support::ProbeSink sink(b.contract);
  b.pair.peer->tear(std::move(tear));
  REQUIRE(b.ask(sink));
  b.sim.settle();
  wire.send(http2::settings_frame() + frames);
  b.sim.settle();
  support::ProbeSink other(b.contract);  // the connection goes on
  const bool asked = b.ask(other);
  b.sim.settle();
  wire.send(http2::head_frame(3, {{":status", "204"}}));
  b.sim.settle();
  if (sink.stream != nullptr) sink.cancel({});
  b.sim.settle();
  return {sink.trace, wire.stream(1), asked ? other.trace : "no slot", wire.goaway(), b.contract.text()};
}

const std::string fine = "[:status: 200][content-length: 2] ok END";

struct BodyCase {
  const char* name;
  std::string frames;
  std::string trace;
};

http2::Lines post(const http2::Lines& more = {}) {
  http2::Lines lines = {{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}};
  lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

std::vector<BodyCase> request_bodies() {
  using http2::data_frame;
  using http2::end_headers;
  using http2::end_stream;
  using http2::head_frame;
  const std::string open = head_frame(1, post(), end_headers);
  const std::string five = head_frame(1, post({{"content-length", "5"}}), end_headers);
  const std::string told = "request POST http://a /\n";
  const std::string told_five = "request POST http://a / length=5\n";
  const std::string bad_cl = "malformed bad_request cl\nclosed clean\n";
  return {
      {"no length", open + data_frame(1, "abc") + data_frame(1, "de", end_stream),
       told + "body abcde\nend\nclosed clean\n"},
      {"as long as it says", five + data_frame(1, "abc") + data_frame(1, "de", end_stream),
       told_five + "body abcde\nend\nclosed clean\n"},
      {"ended by an empty frame", five + data_frame(1, "abcde") + data_frame(1, "", end_stream),
       told_five + "body abcde\nend\nclosed clean\n"},
      {"padded", five + http2::frame(0, 8 | end_stream, 1, std::string("\x03", 1) + "abcde" + std::string(3, '\0')),
       told_five + "body abcde\nend\nclosed clean\n"},
      {"H2.CL: longer", five + data_frame(1, "abcdef", end_stream), told_five + bad_cl},
      {"H2.CL: a request behind it", five + data_frame(1, "abcdeGET /x HTTP/1.1\r\n\r\n", end_stream),
       told_five + bad_cl},
      {"H2.CL: shorter", five + data_frame(1, "abcd", end_stream), told_five + bad_cl},
      {"H2.CL: nothing", five + data_frame(1, "", end_stream), told_five + bad_cl},
      {"H2.CL 0 with a byte",
       head_frame(1, post({{"content-length", "0"}}), end_headers) + data_frame(1, "a", end_stream),
       "request POST http://a / length=0\n" + bad_cl},
      {"trailers", open + data_frame(1, "abc") + head_frame(1, {{"t", "1"}}),
       told + "body abc\ntrailers [t: 1]\nend\nclosed clean\n"},
      {"trailers after no body", open + head_frame(1, {{"t", "1"}}), told + "trailers [t: 1]\nend\nclosed clean\n"},
      {"trailers of which none may pass", open + data_frame(1, "abc") + head_frame(1, {{"host", "b"}}),
       told + "body abc\nend\nclosed clean\n"},
      {"trailers, and the body too short", five + data_frame(1, "abc") + head_frame(1, {{"t", "1"}}),
       told_five + bad_cl},
  };
}

std::vector<BodyCase> response_bodies() {
  using http2::data_frame;
  using http2::end_headers;
  using http2::end_stream;
  using http2::head_frame;
  const std::string open = head_frame(1, {{":status", "200"}}, end_headers);
  const std::string five = head_frame(1, {{":status", "200"}, {"content-length", "5"}}, end_headers);
  const std::string told = "answer 200\n";
  const std::string told_five = "answer 200 length=5\n";
  return {
      {"no length", open + data_frame(1, "abc") + data_frame(1, "de", end_stream),
       told + "body abcde\nend\nclosed clean\n"},
      {"as long as it says", five + data_frame(1, "abcde", end_stream), told_five + "body abcde\nend\nclosed clean\n"},
      {"longer", five + data_frame(1, "abcdef", end_stream), told_five + "closed bad_response framing\n"},
      {"longer, and goes on", five + data_frame(1, "abcdef"), told_five + "closed bad_response framing\n"},
      {"shorter", five + data_frame(1, "abcd", end_stream), told_five + "closed bad_response truncated\n"},
      {"shorter, with trailers", five + data_frame(1, "abcd") + head_frame(1, {{"t", "1"}}),
       told_five + "closed bad_response truncated\n"},
      {"a 204 with bytes", head_frame(1, {{":status", "204"}}, end_headers) + data_frame(1, "x", end_stream),
       "answer 204\nend\nclosed clean\n"},
      {"a 304 with bytes",
       head_frame(1, {{":status", "304"}, {"content-length", "1"}}, end_headers) + data_frame(1, "x", end_stream),
       "answer 304 length=1\nend\nclosed clean\n"},
      {"trailers", open + data_frame(1, "abc") + head_frame(1, {{"grpc-status", "0"}}),
       told + "body abc\ntrailers [grpc-status: 0]\nend\nclosed clean\n"},
      {"only trailers", head_frame(1, {{":status", "200"}, {"grpc-status", "0"}}),
       "answer 200 [grpc-status: 0]\nend\nclosed clean\n"},
      {"bad trailers", open + data_frame(1, "abc") + head_frame(1, {{"T", "1"}}), told + "closed bad_response field\n"},
      {"pseudo-fields in trailers", open + data_frame(1, "abc") + head_frame(1, {{":status", "200"}}),
       told + "closed bad_response pseudo\n"},
      {"a head after the head", open + head_frame(1, {{"x", "1"}}, end_headers) + data_frame(1, "a", end_stream),
       told + "closed bad_response frame\n"},
      {"1xx, then the answer",
       head_frame(1, {{":status", "103"}, {"link", "x"}}, end_headers) + five + data_frame(1, "abcde", end_stream),
       "answer 103 [link: x]\n" + told_five + "body abcde\nend\nclosed clean\n"},
      {"DATA before the head", data_frame(1, "abc") + open + data_frame(1, "", end_stream),
       "closed bad_response framing\n"},
      {"DATA after a 1xx", head_frame(1, {{":status", "103"}}, end_headers) + data_frame(1, "abc", end_stream),
       "answer 103\nclosed bad_response framing\n"},
      {"DATA after a 1xx, and the answer goes on",
       head_frame(1, {{":status", "103"}}, end_headers) + data_frame(1, "abc") + open,
       "answer 103\nclosed bad_response framing\n"},
      {"an empty DATA after a 1xx", head_frame(1, {{":status", "103"}}, end_headers) + data_frame(1, "", end_stream),
       "answer 103\nclosed bad_response framing\n"},
  };
}

bool bad_body(const BodyCase& c) { return !c.trace.ends_with("end\nclosed clean\n"); }

}  // namespace

TEST_CASE("requests are forwarded or answered with 4xx and reset, and their neighbour is not hurt") {
  for (const HeadCase& c : http2::request_cases()) {
    CAPTURE(c.name);
    const Seen seen = request(http2::head_frame(1, c.lines), support::tear_nowhere());
    CHECK(seen.contract == "");
    CHECK(seen.goaway == "");
    CHECK(seen.other == fine);
    if (!c.verdict.empty()) {
      CHECK(seen.trace == "malformed " + c.verdict + " untouched\nclosed clean\n");
      CHECK(seen.answer == "[:status: 400][content-length: 3] bad END RST 1");
    } else {
      CHECK(seen.trace.starts_with("request "));
      CHECK(seen.trace.find("malformed") == std::string::npos);
    }
  }
}

TEST_CASE("request bodies against their lengths, and trailers") {
  for (const BodyCase& c : request_bodies()) {
    CAPTURE(c.name);
    const Seen seen = request(c.frames, support::tear_nowhere());
    CHECK(seen.trace == c.trace);
    CHECK(seen.answer == (bad_body(c) ? "[:status: 400][content-length: 3] bad END RST 1" : fine));
    CHECK(seen.other == fine);
    CHECK(seen.contract == "");
  }
}

TEST_CASE("answers are taken or end as broken, and the connection goes on") {
  for (const HeadCase& c : http2::response_cases()) {
    CAPTURE(c.name);
    const Seen seen =
        response(http2::head_frame(1, c.lines, http2::end_headers) + http2::data_frame(1, "x", http2::end_stream),
                 support::tear_nowhere());
    CHECK(seen.contract == "");
    CHECK(seen.goaway == "");
    CHECK(seen.other == "answer 204\nend\nclosed clean\n");
    if (c.verdict.empty()) {
      CHECK(seen.trace.starts_with("answer 200"));
    } else {
      CHECK(seen.trace == "closed " + c.verdict + "\n");
      CHECK(seen.answer.ends_with("RST 1"));
    }
  }
}

TEST_CASE("answer bodies against their lengths, and trailers") {
  for (const BodyCase& c : response_bodies()) {
    CAPTURE(c.name);
    const Seen seen = response(c.frames, support::tear_nowhere());
    CHECK(seen.trace == c.trace);
    // Where the origin has ended its side there may be nothing left to reset.
    const bool reset = seen.answer.find("RST 1") != std::string::npos;
    if (std::string_view(c.name).ends_with("goes on")) CHECK(reset);
    if (!bad_body(c)) CHECK_FALSE(reset);
    CHECK(seen.goaway == "");
    CHECK(seen.other == "answer 204\nend\nclosed clean\n");
    CHECK(seen.contract == "");
  }
}

TEST_CASE("torn at every place the verdict is the same") {
  for (const HeadCase& c : http2::request_cases()) {
    CAPTURE(c.name);
    const std::string frames = http2::head_frame(1, c.lines);
    const Seen whole = request(frames, support::tear_nowhere());
    REQUIRE(request(frames, support::tear_every(1)) == whole);
    const size_t first = http2::client_preface.size();
    for (size_t at = first; at <= first + frames.size(); ++at)
      REQUIRE(request(frames, support::tear_at({at})) == whole);
  }
  for (const HeadCase& c : http2::response_cases()) {
    CAPTURE(c.name);
    const std::string frames =
        http2::head_frame(1, c.lines, http2::end_headers) + http2::data_frame(1, "x", http2::end_stream);
    const Seen whole = response(frames, support::tear_nowhere());
    REQUIRE(response(frames, support::tear_every(1)) == whole);
    for (size_t at = 1; at <= 9 + frames.size(); ++at) REQUIRE(response(frames, support::tear_at({at})) == whole);
  }
}

TEST_CASE("bodies torn at every place are the same bodies") {
  for (const BodyCase& c : request_bodies()) {
    CAPTURE(c.name);
    const Seen whole = request(c.frames, support::tear_nowhere());
    for (size_t at = 0; at <= c.frames.size() + 9; ++at) {
      const Seen torn =
          request(c.frames, at == 0 ? support::tear_every(1) : support::tear_at({http2::client_preface.size() + at}));
      CHECK(torn.answer == whole.answer);
      CHECK(torn.contract == "");
      // What came before the fault may have been told by then.
      if (!bad_body(c)) REQUIRE(torn.trace == whole.trace);
      REQUIRE(torn.trace.substr(torn.trace.find_last_of('\n', torn.trace.size() - 15)) ==
              whole.trace.substr(whole.trace.find_last_of('\n', whole.trace.size() - 15)));
    }
  }
  for (const BodyCase& c : response_bodies()) {
    CAPTURE(c.name);
    const Seen whole = response(c.frames, support::tear_nowhere());
    for (size_t at = 0; at <= c.frames.size() + 9; ++at) {
      const Seen torn = response(c.frames, at == 0 ? support::tear_every(1) : support::tear_at({at}));
      CHECK(torn.contract == "");
      if (!bad_body(c)) REQUIRE(torn.trace == whole.trace);
      if (bad_body(c)) REQUIRE(torn.trace.find("closed clean") == std::string::npos);
    }
  }
}
