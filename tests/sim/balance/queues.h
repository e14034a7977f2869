// Queue policies and concurrency limits under an offered load of any size: one queue, as a process has it for an
// upstream, in front of a server that works on a few requests at a time and queues what it is sent beyond. The real
// Sojourn and AdaptiveLimit, on a clock of events. Clients wait for a second, then they are gone; a server works all
// the same on what it was sent.
#pragma once

#include <cstdint>

namespace sluice::sim {

enum class Policy : std::uint8_t {
  first_come,  // and refused after acquire_timeout
  last_come,
  shedding,  // as sluice does: Sojourn
};

struct QueueStory {
  Policy policy = Policy::shedding;
  std::uint32_t limit = 0;  // requests that the server is sent at once; 0 = found out by AdaptiveLimit
  double load = 1;  // offered, over what the server can do
  std::uint32_t places = 20;  // requests that it works on at a time
  double seconds = 60;
  std::uint64_t seed = 1;
};

struct QueueResult {
  double good = 0;  // answers within a second, over what was possible: the server's work, or all that came if less
  double time_p50 = 0;  // ms until those answers
  double time_p99 = 0;
  double told_p50 = 0;  // ms until who is refused knows
  double wasted = 0;  // share of the server's work that was for somebody who had left
};

QueueResult run(const QueueStory& story);

}  // namespace sluice::sim
