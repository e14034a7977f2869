// Every row of threats.md 1b as far as a session decides it: whole, and torn at every place.
#include "bench.h"
#include "messages.h"

#include <doctest/doctest.h>

using namespace sluice;
using http1::ClientBench;

namespace {

struct Seen {
  std::string trace;
  bool reusable = false;     // right after the answer
  std::string contract;
  bool operator==(const Seen&) const = default;
};

Seen see(const http1::ResponseCase& c, support::Tear tear) {
  ClientBench b;
  b.pair.peer->tear(std::move(tear));
  support::ProbeSink sink(b.contract);
  REQUIRE(b.ask(sink, c.method, c.upgrade));
  b.answer(c.bytes);
  if (c.fin) {
    b.pair.peer->fin();
    b.sim.settle();
  }
  // Bytes that come in pieces find an idle connection: it ends then.
  Seen seen{sink.trace, b.host.session != nullptr && b.host.session->slots() == 1, b.contract.text()};
  if (sink.stream != nullptr) sink.cancel({});
  return seen;
}

}  // namespace

TEST_CASE("responses, by row of threats.md") {
  for (const http1::ResponseCase& c : http1::response_cases()) {
    CAPTURE(c.row);
    CAPTURE(c.name);
    const Seen seen = see(c, support::tear_nowhere());
    CHECK(seen.trace == c.trace);
    CHECK(seen.reusable == c.reused);
    CHECK(seen.contract == "");
  }
}

TEST_CASE("responses torn at every place give the same verdict") {
  for (const http1::ResponseCase& c : http1::response_cases()) {
    CAPTURE(c.name);
    const Seen whole = see(c, support::tear_nowhere());
    REQUIRE(see(c, support::tear_every(1)) == whole);
    if (c.bytes.size() > 2000) continue;
    for (size_t at = 1; at < c.bytes.size(); ++at) {
      CAPTURE(at);
      REQUIRE(see(c, support::tear_at({at})) == whole);
    }
  }
}
