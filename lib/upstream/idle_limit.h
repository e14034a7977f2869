// IdleLimit: after what time an upstream closes idle connections, learned from those it closed. Pure; one per endpoint
// and worker.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.h"

namespace sluice::upstream {

class IdleLimit {
 public:
  // So many closes in a row at the same age make a limit.
  static constexpr std::size_t closes_needed = 3;
  // A server that restarts closes everything at one moment, whatever its age: closes that follow each other more
  // closely count as one.
  static constexpr base::Millis apart{1'000};
  // One that closes a connection so early did so for another reason than that it was idle (requests per connection).
  static constexpr base::Millis shortest{500};
  // Ages are the same if they differ by no more than this, or by a tenth.
  static constexpr base::Millis tolerance{250};

  // The peer closed a connection that had been idle for `age`. True if a limit was learned by this.
  bool closed_at(base::Micros age, base::Micros now);
  // The shortest age of those that agreed; meaningful after closed_at() was true.
  base::Micros learned() const;
  // How long we keep a connection idle at a peer that closes it after `limit`: a second less, or a fifth if that is
  // less than a second (as for what a peer announces in Keep-Alive).
  static base::Micros keep_for(base::Micros limit);

 private:
  std::array<base::Micros, closes_needed> ages_{};
  std::size_t agreed_ = 0;
  base::Micros last_at_{};
};

}  // namespace sluice::upstream
