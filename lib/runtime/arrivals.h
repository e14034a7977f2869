// Arrivals: what still comes to a worker after /readyz began to say 503; deregister_wait is judged by it. A new
// connection counts with its first request: a probe that only connects wants nothing of us. Plain numbers of one
// worker, summed where they are read. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"

namespace sluice::runtime {

class Arrivals {
 public:
  struct Counts {
    uint64_t connections = 0;                      // accepted since, each with its first request
    uint64_t requests = 0;                         // begun since, on these and on older ones
    base::Micros last_connection{}, last_request{};  // after the 503; 0 as long as there is none
    void add(const Counts& of_another);
  };

  void begin(base::Micros now);                    // /readyz says 503 from now on; again: goes on as it was
  void end() { counting_ = false; }                // it says 200 again
  bool counting() const { return counting_; }
  // `of_newcomer`: the first one of a connection that was accepted while counting().
  void request(base::Micros now, bool of_newcomer);
  // The request that began last asked for our health: nobody's traffic.
  void take_back() { counts_ = before_last_; }
  const Counts& counts() const { return counts_; }

 private:
  bool counting_ = false;
  base::Micros began_{};
  Counts counts_, before_last_;
};

// A wait for balancers to turn away.
struct Wait {
  base::Micros most{};                             // deregister_wait
  base::Micros lasted{};                           // less than `most`: cut short
  base::Micros lead{};                             // for so long /readyz had said 503 when it began
};

// "3 s of the 5 s of deregister_wait were needed: ..."
std::string words_of(const Wait& wait, const Arrivals::Counts& came);
// "4 new connections came ..., and 9 requests ..."
std::string words_of(const Arrivals::Counts& came);

}  // namespace sluice::runtime
