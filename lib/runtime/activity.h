// Activity: what the counters of upstreams and workers did in the last ten seconds, for what Advice judges by: whether
// retries help, whether the proxy itself had a processor. What routes did: rates.h. Pure but for count_activity().
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "base/clock.h"
#include "metrics/registry.h"

namespace sluice::runtime {

// Sums that only grow, of one upstream or worker.
struct Figures {
  enum Of : std::uint8_t {
    // an upstream
    tries,
    further_tries,
    retries_ended,
    retries_helped,
    over_budget,
    no_local_port,
    no_descriptor,
    connect_timeouts,
    // a worker
    run_delay,  // seconds
    busy,  // likewise
    // the process
    throttled,  // likewise
    count_,
  };
  std::array<double, count_> sums{};

  double operator[](Of what) const { return sums[what]; }
  double& operator[](Of what) { return sums[what]; }
  Figures& operator+=(const Figures& other);
  // Less what there was before; nothing where cells were given back meanwhile.
  Figures operator-(const Figures& before) const;
  bool operator==(const Figures&) const = default;
};

struct ActivityKey {
  enum class Kind : std::uint8_t { upstream, worker, process };
  Kind kind = Kind::process;
  std::string name;  // "" of the process
  auto operator<=>(const ActivityKey&) const = default;
};
using ActivityCounts = std::map<ActivityKey, Figures>;

// On the helper's thread: it takes milliseconds with thousands of upstreams.
ActivityCounts count_activity(const metrics::Registry& registry);

// What happened in `seconds`; nothing is known while they are 0.
struct ActivityWindow {
  double seconds = 0;
  ActivityCounts counts;
};

class Activity {
 public:
  static constexpr std::size_t looks_most = 10;

  // All there is as of `at`; about a second after the one before. The first one is what the others are compared with.
  void add(base::Micros at, ActivityCounts counted);
  ActivityWindow window() const;

 private:
  struct Look {
    base::Micros took{};
    ActivityCounts came;  // of those that had any
  };
  bool begun_ = false;
  base::Micros at_{};
  ActivityCounts last_;
  std::deque<Look> looks_;
};

}  // namespace sluice::runtime
