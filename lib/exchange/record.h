// Record: where the time of one request went. Phases follow each other without a gap, so they sum to its total. What of
// a phase the worker was late for (net::Lateness) moves to `proxy`: nobody else owes it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "net/lateness.h"

namespace sluice::exchange {

enum class Phase : uint8_t {
  client_request,  // we wait for bytes of the request
  queue,  // for a place at the upstream
  connect,  // a connection is made for it: TCP, TLS
  upstream_head,  // the upstream owes the answer's head, or takes no more of the request
  upstream_body,  // the client has taken all that came of the answer
  client_write,  // bytes of the answer wait for the client
  proxy,  // the worker was late
};
inline constexpr size_t phases = static_cast<size_t>(Phase::proxy) + 1;
std::string_view phase_word(Phase phase);

// Who owes a phase: the closed list of `limited_by`.
enum class Side : uint8_t { client, queue, upstream, proxy };
inline constexpr size_t sides = static_cast<size_t>(Side::proxy) + 1;
Side side_of(Phase phase);
std::string_view side_word(Side side);

// A try that failed and was followed by another one.
struct Try {
  std::string_view endpoint, reason;
  base::Micros took{0};
};
inline constexpr uint32_t tries_told = 8;  // in the log; `attempts` has them all

class Record {
 public:
  Record(base::Micros now, const net::Lateness& lateness) : began_(now), at_(now), waited_(lateness.waited()) {}

  base::Micros began() const { return began_; }
  base::Micros at() const { return at_; }  // up to here time is booked
  // What has passed since at() belongs to `phase`, which ends with something that this turn (of `now`) handles.
  void pass(Phase phase, base::Micros now, const net::Lateness& lateness);
  // Likewise of a wait for a place, in the last part of which a connection was being made for the request.
  void pass_wait(base::Micros dialled, base::Micros now, const net::Lateness& lateness);
  // The request is over, so late in the turn.
  void end(base::Micros turn_so_far) { add(Phase::proxy, turn_so_far); }

  base::Micros in(Phase phase) const { return spent_[static_cast<size_t>(phase)]; }
  base::Micros total() const;
  Phase longest() const;

 private:
  void add(Phase phase, base::Micros span) {
    base::Micros& in = spent_[static_cast<size_t>(phase)];
    in = in + span;
  }

  base::Micros began_;
  base::Micros at_;
  base::Micros waited_;  // Lateness::waited() then
  std::array<base::Micros, phases> spent_{};
};

}  // namespace sluice::exchange
