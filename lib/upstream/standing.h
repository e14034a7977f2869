// Standing: how one endpoint stands, as one word, and the one function that says what an event makes of it. Pure: who
// shares a Standing between threads (SharedEndpoint::apply) keeps it in an atomic.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace sluice::upstream {

enum class Health : std::uint8_t { down, up };

// How one request that an endpoint was given came out, for its load and its health.
enum class Outcome : std::uint8_t {
  unknown,       // nobody knows, or it was the client that left
  answered,      // 101, 2xx to 4xx
  server_error,  // a 5xx that speaks of the request: 500, 501, ...
  gateway,       // 502, 503, 504; gRPC UNAVAILABLE
  refused,       // 429, 503 with Retry-After, gRPC RESOURCE_EXHAUSTED: well, but wants less
  reset,         // the connection or the stream ended, or what came was no answer
  timeout,
  // A reused connection died before any byte of the answer: the endpoint closes idle connections while we use them (see
  // Borrow::surely).
  idle_race,
  no_upgrade,  // its HTTP/2 does not take upgrades
};

// Does the endpoint itself look broken? A 500 speaks of the request: an application that fails for one kind of request
// serves the others, and the same request would fail anywhere else.
constexpr bool counts_against(Outcome outcome) {
  return outcome == Outcome::gateway || outcome == Outcome::reset || outcome == Outcome::timeout;
}
// Did the endpoint show that it works?
constexpr bool counts_for(Outcome outcome) {
  return outcome == Outcome::answered || outcome == Outcome::server_error || outcome == Outcome::refused;
}

// Why nobody goes there while there is a better one.
enum class Away : std::uint8_t {
  no,
  aside,  // a connect failed
  ejected,  // requests failed one after the other; until a trial request went well
  paused,  // it asked for it (Retry-After); over when its time is
};

struct Standing {
  static constexpr base::Millis aside_first{1'000};  // a failed connect sets the endpoint aside for this long,
  static constexpr base::Millis aside_most{10'000};  // doubling up to this
  static constexpr std::uint64_t failures_most = 255;
  static constexpr std::uint64_t aside_level_most = 15;
  static constexpr base::Millis trial_most{10'000};  // how long one trial request keeps the others away
  static constexpr base::Millis pause_most{10'000};  // whatever it asks for

  std::uint64_t until : 48 = 0;  // ms of the loops' clock; away until then, and after that until a trial went well
  std::uint64_t away : 2 = 0;  // Away
  std::uint64_t down : 1 = 0;  // active checks say so
  std::uint64_t aside_level : 4 = 0;  // failed connects in a row, those that fail together counted once
  std::uint64_t failures : 8 = 0;  // outcomes in a row that count against it, and set-asides; stops at 255
  std::uint64_t off : 1 =
      0;  // an operator disabled it. Every bit of the word is said, so that equal ones compare equal

  bool operator==(const Standing&) const = default;
  constexpr Away why() const { return static_cast<Away>(away); }
  constexpr base::Micros ends() const { return base::Micros{static_cast<std::int64_t>(until) * 1'000}; }
  // Nobody but one trial goes there, if another one is usable.
  constexpr bool kept_away(base::Micros now) const { return why() != Away::no && ends() > now; }
  constexpr bool disabled() const { return off != 0; }
  constexpr bool ejected() const { return why() == Away::ejected; }
  // Its time is over: whoever comes next is the trial.
  constexpr bool trial_due(base::Micros now) const { return (why() == Away::aside || ejected()) && ends() <= now; }
};
static_assert(sizeof(Standing) == 8);

struct Event {
  enum class Kind : std::uint8_t {
    connect_failed,  // `trial`: it was the trial
    connected,  // nothing is held against it any more, unless it is ejected
    trial_claimed,  // if it is due; the others see it away for `span` at most (trial_most at an ejected one), until it
    // is known how it went
    trial_left,  // who claimed it had no use for it: it is due again
    outcome,  // of a request; `trial`: it was the trial after an ejection
    checked,  // active checks have decided
    ejected,  // for `span`
    freed,  // the ejection is over, or would be one too many: failures are counted anew
    paused,  // for `span`, unless it is away for worse
    disabled,  // by an operator, until
    enabled,  // which counts its failures anew; what else is held against it stays
  };
  Kind kind = Kind::connected;
  bool trial = false;
  base::Millis span{0};
  Outcome outcome = Outcome::unknown;
  Health health = Health::up;
};

// What `event` makes of it; the same Standing if nothing changes.
Standing note(Standing standing, const Event& event, base::Micros now);

}  // namespace sluice::upstream
