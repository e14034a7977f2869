// Rates: what the request counters of the scrape say of the last ten seconds, for people: requests a second, how many
// failed, how long they took. Pure but for count_routes().
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "exchange/record.h"
#include "metrics/cell.h"
#include "metrics/registry.h"

namespace sluice::runtime {

// Requests that ended: since the process began, or in some span of time.
struct RouteCounts {
  std::uint64_t requests = 0;
  std::uint64_t failed = 0;  // status 500 and above
  std::uint64_t left = 0;  // 499: the client
  std::uint64_t cut = 0;  // answers that had begun and broke off, whatever their status
  std::array<std::uint64_t, exchange::phases> phase{};  // microseconds in each
  std::array<std::uint64_t, metrics::Histogram::buckets> times{};  // request_duration_seconds, not cumulative

  bool operator==(const RouteCounts&) const = default;
  RouteCounts& operator+=(const RouteCounts& other);
  // Less what there was before; nothing where a reload or a restart of its cells made it less.
  RouteCounts operator-(const RouteCounts& before) const;
};
using Counted = std::map<std::string, RouteCounts, std::less<>>;  // by route; metrics::no_value = none was found

// On the helper's thread: it takes milliseconds with thousands of routes.
Counted count_routes(const metrics::Registry& registry);

struct Rate {
  double per_second = 0;
  double failed = 0;  // shares, 0..1
  double left = 0;
  double cut = 0;
  std::array<double, exchange::phases> phase{};  // shares of the requests' time; all 0: they took none
  base::Micros p50{};  // within a bucket by straight lines, as PromQL does
  base::Micros p99{};
};

class Rates {
 public:
  static constexpr std::size_t looks_most = 10;

  // All there is as of `at`; about a second after the one before. The first one is what the others are compared with.
  void add(base::Micros at, Counted counted);
  Counted window() const;  // all that came in the window
  Rate all() const;
  // The busiest `most`, the busiest first; those without a request in the window are left out.
  std::vector<std::pair<std::string, Rate>> routes(std::size_t most) const;

 private:
  struct Look {
    base::Micros took{};
    Counted came;  // of the routes that had any
  };
  double seconds() const;

  bool begun_ = false;
  base::Micros at_{};
  Counted last_;
  std::deque<Look> looks_;
};

// Of `counts`, of which there is at least one: below it are `share` (0..1) of them.
base::Micros quantile(const RouteCounts& counts, double share);

}  // namespace sluice::runtime
