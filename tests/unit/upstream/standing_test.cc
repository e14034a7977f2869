// Standing: what each event makes of an endpoint's word, and what leaves it as it is.
#include <thread>
#include <vector>

#include "upstream/shared.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

namespace sluice::upstream {
namespace {

using Kind = Event::Kind;

base::Micros at(std::int64_t ms) { return base::Micros{ms * 1'000}; }
Event outcome(Outcome o, bool trial = false) { return {.kind = Kind::outcome, .trial = trial, .outcome = o}; }

TEST_CASE("what goes well changes nothing where nothing was wrong") {
  const Standing fresh;
  for (const Outcome o : {Outcome::answered, Outcome::server_error, Outcome::refused, Outcome::unknown,
                          Outcome::idle_race, Outcome::no_upgrade}) {
    CHECK(note(fresh, outcome(o), at(5)) == fresh);
  }
  CHECK(note(fresh, {.kind = Kind::connected}, at(5)) == fresh);
  CHECK(note(fresh, {.kind = Kind::trial_claimed, .span = base::Millis{10}}, at(5)) == fresh);
  CHECK(note(fresh, {.kind = Kind::checked, .health = Health::up}, at(5)) == fresh);
  CHECK(note(fresh, {.kind = Kind::freed}, at(5)) == fresh);
}

TEST_CASE("failures in a row: gateway errors, resets and timeouts; anything that shows life ends the row") {
  Standing s;
  for (const Outcome o : {Outcome::gateway, Outcome::reset, Outcome::timeout}) s = note(s, outcome(o), at(1));
  CHECK(+s.failures == 3);
  CHECK(note(s, outcome(Outcome::unknown), at(2)) == s);
  CHECK(note(s, outcome(Outcome::idle_race), at(2)) == s);
  for (const Outcome o : {Outcome::answered, Outcome::server_error, Outcome::refused}) {
    CHECK(note(s, outcome(o), at(2)) == Standing{});
  }
  for (int i = 0; i < 300; ++i) s = note(s, outcome(Outcome::reset), at(3));
  CHECK(+s.failures == Standing::failures_most);
}

TEST_CASE("connects that fail together count once; a request's success does not undo a set-aside") {
  Standing s = note(Standing{}, {.kind = Kind::connect_failed}, at(0));
  CHECK(s.why() == Away::aside);
  CHECK(+s.failures == 1);
  CHECK(note(s, {.kind = Kind::connect_failed}, at(999)) == s);
  s = note(s, outcome(Outcome::answered), at(10));
  CHECK(+s.failures == 0);
  CHECK(s.kept_away(at(999)));
  CHECK(s.trial_due(at(1'000)));
  CHECK(note(s, {.kind = Kind::connected}, at(20)) == Standing{});
}

TEST_CASE("an ejection outlasts connects; one trial request decides") {
  Standing s = note(Standing{}, {.kind = Kind::connect_failed}, at(0));
  s = note(s, {.kind = Kind::ejected, .span = base::Millis{30'000}}, at(100));
  CHECK(s.ends() == at(30'100));
  CHECK(note(s, {.kind = Kind::connect_failed}, at(200)) == s);
  CHECK(note(s, {.kind = Kind::connected}, at(200)) == s);
  CHECK(note(s, outcome(Outcome::answered), at(200)) == s);  // began before it
  CHECK(note(s, {.kind = Kind::trial_claimed, .span = base::Millis{500}}, at(30'099)) == s);

  const Standing trial = note(s, {.kind = Kind::trial_claimed, .span = base::Millis{500}}, at(30'100));
  CHECK(trial.kept_away(at(30'599)));
  CHECK(trial.trial_due(at(30'600)));  // it never reported: another one
  SUBCASE("well: free") {
    CHECK(note(trial, outcome(Outcome::answered, true), at(30'200)) == Standing{});
    CHECK(note(trial, outcome(Outcome::answered, false), at(30'200)) == trial);
  }
  SUBCASE("badly: away until control has said for how long") {
    const Standing failed = note(trial, outcome(Outcome::reset, true), at(30'200));
    CHECK(failed.why() == Away::ejected);
    CHECK(+failed.failures == 1);
    CHECK(note(failed, {.kind = Kind::freed}, at(30'300)) == Standing{});
  }
  SUBCASE("nobody knows: the next request is the trial") {
    CHECK(note(trial, outcome(Outcome::unknown, true), at(30'200)).trial_due(at(30'200)));
  }
  SUBCASE("the connect was the trial: its request takes it over, a failure leaves it away") {
    CHECK(note(trial, {.kind = Kind::connected, .trial = true}, at(30'200)).trial_due(at(30'200)));
    CHECK(note(trial, {.kind = Kind::connect_failed, .trial = true}, at(30'200)).kept_away(at(30'201)));
  }
}

TEST_CASE("a trial that was left is due at once, also within a millisecond") {
  Standing s = note(Standing{}, {.kind = Kind::ejected, .span = base::Millis{2}}, base::Micros{500});
  CHECK(s.kept_away(base::Micros{2'499}));  // never for less
  for (const base::Millis span : {base::Millis{10}, Standing::trial_most}) {
    s = note(s, {.kind = Kind::trial_claimed, .span = span}, base::Micros{3'300});
    CHECK(s.kept_away(base::Micros{3'300}));
    s = note(s, {.kind = Kind::connected, .trial = true}, base::Micros{3'301});
    CHECK(s.trial_due(base::Micros{3'301}));
  }
}

TEST_CASE("checks and what requests show do not touch each other") {
  Standing s = note(Standing{}, {.kind = Kind::ejected, .span = base::Millis{1'000}}, at(0));
  s = note(s, {.kind = Kind::checked, .health = Health::down}, at(1));
  CHECK(+s.down == 1);
  CHECK(s.kept_away(at(999)));
  s = note(s, {.kind = Kind::freed}, at(2));
  CHECK(+s.down == 1);
  CHECK(s.why() == Away::no);
  CHECK(note(s, {.kind = Kind::checked, .health = Health::up}, at(3)) == Standing{});
}

TEST_CASE("threads that note at once lose nothing") {
  SharedEndpoint e(1, "a", *net::Address::parse("127.0.0.1:80"));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&e] {
      for (int i = 0; i < 50; ++i) e.apply(outcome(Outcome::reset), at(1));
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(+e.standing().failures == 200);
}

TEST_CASE("an operator's word is a bit of its own, which no other event touches") {
  Standing s = note(Standing{}, outcome(Outcome::reset), at(1));
  s = note(s, {.kind = Kind::disabled}, at(2));
  CHECK(s.disabled());
  CHECK(note(s, {.kind = Kind::disabled}, at(3)) == s);
  for (const Kind kind : {Kind::connect_failed, Kind::connected, Kind::trial_claimed, Kind::trial_left, Kind::outcome,
                          Kind::checked, Kind::ejected, Kind::freed, Kind::paused}) {
    CHECK(note(s, {.kind = kind, .span = base::Millis{10}, .outcome = Outcome::answered}, at(4)).disabled());
  }
  const Standing ejected = note(s, {.kind = Kind::ejected, .span = base::Millis{30'000}}, at(5));
  const Standing enabled = note(ejected, {.kind = Kind::enabled}, at(6));
  CHECK_FALSE(enabled.disabled());
  CHECK(enabled.ejected());  // what requests showed still holds
  CHECK(+note(s, {.kind = Kind::enabled}, at(6)).failures == 0);
  const Standing failing = note(Standing{}, outcome(Outcome::reset), at(1));
  CHECK(note(failing, {.kind = Kind::enabled}, at(2)) == failing);
}

}  // namespace
TEST_CASE("an endpoint takes requests if it may serve and is not shunned, whatever has happened to it") {
  SharedEndpoint e(1, "a", *net::Address::parse("127.0.0.1:80"));
  std::uint64_t seed = 1;
  std::uint32_t taken = 0;
  for (std::int64_t ms = 1; ms < 20'000; ++ms) {
    seed = seed * 6364136223846793005 + 1442695040888963407;
    const auto kind = static_cast<Kind>((seed >> 40) % (static_cast<unsigned>(Kind::enabled) + 1));
    const Event event{.kind = kind,
                      .trial = ((seed >> 50) & 1) != 0,
                      .span = base::Millis{static_cast<std::int64_t>((seed >> 51) % 50)},
                      .outcome = static_cast<Outcome>((seed >> 30) % 9),
                      .health = ((seed >> 60) & 1) != 0 ? Health::up : Health::down};
    const base::Micros now{ms * 1'000};
    e.apply(event, now);
    for (const bool panic : {false, true}) {
      const bool takes = e.takes(now, panic);
      REQUIRE(takes == (e.may_serve(panic) && !e.shunned(now, panic)));
      taken += takes ? 1 : 0;
    }
  }
  CHECK(taken > 2'000);
  CHECK(taken < 38'000);
}

}  // namespace sluice::upstream
