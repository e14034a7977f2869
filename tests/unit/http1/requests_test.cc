// Every row of threats.md 1a as far as a session decides it: whole, and torn at every place.
#include "bench.h"
#include "messages.h"

#include <doctest/doctest.h>

using namespace sluice;
using http1::ServerBench;

namespace {

struct Seen {
  std::string trace;
  std::string output;
  bool ended = false;
  std::string contract;
  bool operator==(const Seen&) const = default;
};

Seen see(const std::string& bytes, support::Tear tear) {
  ServerBench b;
  b.pair.peer->tear(std::move(tear));
  b.pair.peer->send(bytes);
  b.sim.settle();
  b.pair.peer->fin();
  b.sim.run_for(base::seconds(1));
  Seen seen{b.host.trace(), b.output(), b.host.ended, b.contract.text()};
  return seen;
}

}  // namespace

TEST_CASE("requests, by row of threats.md") {
  for (const http1::RequestCase& c : http1::request_cases()) {
    CAPTURE(c.row);
    CAPTURE(c.name);
    const Seen seen = see(c.bytes, support::tear_nowhere());
    CHECK(seen.trace.starts_with(c.trace));
    const bool is_bad = c.trace.find("malformed") != std::string::npos;
    CHECK((seen.trace.find("malformed") != std::string::npos) == is_bad);
    if (is_bad) {
      CHECK(seen.output.find("connection: close\r\n") != std::string::npos);
      CHECK(seen.output.starts_with("HTTP/1.1 200") == false);
    } else {
      CHECK(seen.output.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    CHECK(seen.ended);
    CHECK(seen.contract == "");
  }
}

TEST_CASE("requests torn at every place give the same verdict") {
  for (const http1::RequestCase& c : http1::request_cases()) {
    CAPTURE(c.name);
    const Seen whole = see(c.bytes, support::tear_nowhere());
    REQUIRE(see(c.bytes, support::tear_every(1)) == whole);
    for (size_t at = 1; at < c.bytes.size(); ++at) {
      CAPTURE(at);
      REQUIRE(see(c.bytes, support::tear_at({at})) == whole);
    }
  }
}
