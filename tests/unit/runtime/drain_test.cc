// The phases of leaving as a pure step function: which phase follows when, and what each one allows.
#include "runtime/drain.h"

#include <doctest/doctest.h>

using namespace sluice;
using runtime::Ask;
using runtime::Drain;
using runtime::DrainPhase;

namespace {
constexpr base::Micros at(int64_t ms) { return base::Micros(base::millis(3'600'000 + ms)); }
config::DrainOptions five_and_twenty() { return {base::seconds(5), base::seconds(25)}; }
}  // namespace

TEST_CASE("nothing happens before the signal") {
  Drain drain(five_and_twenty());
  CHECK(drain.step(at(1'000'000), 0) == DrainPhase::serving);
  CHECK(drain.time_left(at(0)).count == 0);
}

TEST_CASE("the phases follow the clock, and the deadline counts from the signal") {
  Drain drain(five_and_twenty());
  drain.begin(at(0), Ask::terminate);
  CHECK(drain.step(at(4'999), 0) == DrainPhase::deregistering);   // still served, however little is open
  CHECK(drain.step(at(5'000), 3) == DrainPhase::draining);
  CHECK(drain.time_left(at(5'000)) == base::Micros(base::seconds(20)));
  CHECK(drain.step(at(24'999), 3) == DrainPhase::draining);
  CHECK(drain.step(at(25'000), 3) == DrainPhase::closing);
  CHECK(drain.step(at(25'500), 3) == DrainPhase::closing);
  CHECK(drain.step(at(26'000), 3) == DrainPhase::gone);
}

TEST_CASE("as soon as nothing is left it is gone") {
  Drain drain(five_and_twenty());
  drain.begin(at(0), Ask::terminate);
  CHECK(drain.step(at(5'000), 1) == DrainPhase::draining);
  CHECK(drain.step(at(5'001), 0) == DrainPhase::gone);
}

TEST_CASE("a second time in the same way closes at once, and a third time does not begin anew") {
  for (const Ask by : {Ask::terminate, Ask::interrupt, Ask::admin}) {
    Drain drain(five_and_twenty());
    drain.begin(at(0), by);
    drain.begin(at(10), by);
    CHECK(drain.phase() == DrainPhase::closing);
    drain.begin(at(900), by);
    CHECK(drain.step(at(1'009), 1) == DrainPhase::closing);
    CHECK(drain.step(at(1'010), 1) == DrainPhase::gone);
  }
}

TEST_CASE("another way beside the first goes on as begun: POST /drain, then SIGTERM") {
  Drain drain(five_and_twenty());
  drain.begin(at(0), Ask::admin);
  drain.begin(at(3'000), Ask::terminate);
  CHECK(drain.phase() == DrainPhase::deregistering);
  CHECK(drain.step(at(5'000), 1) == DrainPhase::draining);           // counted from the first
  drain.begin(at(6'000), Ask::interrupt);
  CHECK(drain.step(at(24'999), 1) == DrainPhase::draining);
  CHECK(drain.time_left(at(24'999)) == base::Micros(base::millis(1)));
  drain.begin(at(24'999), Ask::terminate);
  CHECK(drain.phase() == DrainPhase::closing);
}

TEST_CASE("a deregister_wait beyond the deadline ends at the deadline") {
  Drain drain({base::seconds(60), base::seconds(10)});
  drain.begin(at(0), Ask::terminate);
  CHECK(drain.step(at(10'000), 1) == DrainPhase::draining);
  CHECK(drain.step(at(10'000), 1) == DrainPhase::closing);
}

TEST_CASE("the table: only serving is ready, and nothing is accepted after deregistering") {
  for (const DrainPhase phase :
       {DrainPhase::serving, DrainPhase::deregistering, DrainPhase::draining, DrainPhase::closing, DrainPhase::gone}) {
    CHECK(runtime::rule_of(phase).phase == phase);
    CHECK(runtime::rule_of(phase).ready == (phase == DrainPhase::serving));
    CHECK(runtime::rule_of(phase).listening == (phase <= DrainPhase::deregistering));
  }
}
