// Ejections: which endpoints of one upstream are kept away for what their requests showed, and for how long; and panic,
// which counts them. One per process and upstream: how many may be away is a matter of the whole set, so decisions are
// made one at a time, under a lock. It is taken when an endpoint has failed too often in a row, when it asks for a
// pause, and when a trial has ended: never for a request that goes well.
//
// Why not by a message to control: the limit would be as exact, but an endpoint would go on getting requests until the
// answer is there, and the workers would depend on control for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "upstream/options.h"

namespace sluice::upstream {

class SharedEndpoint;
struct EndpointSet;
enum class Outcome : std::uint8_t;

// What requests showed since the last comparison, of one endpoint in all workers. Written only under success_rate.
struct Sample {
  std::atomic<std::uint32_t> requests{0};
  std::atomic<std::uint32_t> errors{0};  // any 5xx (siblings that are asked the same give it too), resets, timeouts
  std::atomic<std::uint64_t> took{0};  // microseconds, of those that were answered
};

// Of one endpoint; Ejections' lock is over it.
struct EjectionHistory {
  static constexpr std::uint32_t level_most = 20;
  std::uint32_t level = 0;  // how often the span was doubled
  base::Micros since{};  // of the last ejection; 0 = never
  base::Micros span{};
  base::Micros returned{};  // 0 = not since
};

// How long it is ejected now: the first time `ejection`, each time twice as long; one that did well for as long as it
// was away goes back a level, twice as long two, and so on. Changes the level.
base::Millis next_ejection(EjectionHistory& history, const OutlierOptions& options, base::Micros now);
// How many of `endpoints` may be away at once: one at least, unless it is alone.
std::size_t away_most(std::size_t endpoints, std::uint32_t percent);

class Ejections {
 public:
  // Comparison (success_rate). An endpoint is an outlier if its share of errors, or its mean time, is at least
  // `times_worse` the median of its siblings, and no less than a floor: where nobody fails, one failure is no sign.
  static constexpr base::Millis compare_every{10'000};
  static constexpr std::uint32_t requests_least = 20;  // fewer show nothing
  static constexpr std::size_t endpoints_least = 3;
  static constexpr double times_worse = 5;
  static constexpr double errors_least = 0.1;  // share
  static constexpr double time_least = 10'000;  // microseconds
  struct Outlier {
    SharedEndpoint* endpoint = nullptr;  // of the set
    bool slow = false;  // else: errors
    double own = 0;  // share of errors, or microseconds
    double median = 0;
    base::Millis span{0};
  };

  // What is looked at: an endpoint that failed too often in a row, or one whose trial failed.
  enum class Cause : std::uint8_t { row, trial };

  struct Seen {  // of one that was asked often enough
    SharedEndpoint* endpoint = nullptr;
    double errors = 0;  // share
    double time = 0;  // mean, microseconds; 0 = none was answered
  };

  // Control: the set, the options in force (empty, or not enabled: nobody is ejected) and panic_threshold. Ejections
  // that are under way follow new options; of those that are too many now, the ones that would end first are over.
  void reset(std::shared_ptr<const EndpointSet> set, const std::optional<OutlierOptions>& options,
             std::uint32_t panic_threshold, base::Micros now);

  // -- Any thread
  // For how long it is ejected now; empty: it was already, or may not be (then its failures are counted anew).
  std::optional<base::Millis> eject(SharedEndpoint& endpoint, Cause cause, base::Micros now);
  // It is no longer ejected: its trial went well, or its checks do again. It slow-starts.
  void returned(SharedEndpoint& endpoint, base::Micros now);
  // It asked to be left alone. False: it is away already, or too many are.
  bool pause(SharedEndpoint& endpoint, base::Millis span, base::Micros now);
  void count(SharedEndpoint& endpoint, Outcome outcome, base::Micros took);  // for the comparison
  // Once in compare_every one worker compares them all: who was ejected for it, the worst first. Empty for all others.
  std::vector<Outlier> compare(base::Micros now);
  void judge_panic(base::Micros now);  // the checks of one have decided, or an operator has
  // Too few are healthy and not ejected: neither counts any more.
  bool panic() const { return panic_.load(std::memory_order_relaxed); }
  base::Micros panic_changed() const { return base::Micros{panic_changed_.load(std::memory_order_relaxed)}; }

 private:
  // Others than `but` that nobody goes to.
  std::size_t away(const SharedEndpoint* but, base::Micros now) const;
  bool room_for(const SharedEndpoint& endpoint, base::Micros now) const;
  void follow(const OutlierOptions& before, base::Micros now);  // spans by the options in force
  void free_surplus(base::Micros now);
  void free(SharedEndpoint& endpoint, base::Micros now);
  base::Millis eject_now(SharedEndpoint& endpoint, base::Micros now);
  std::vector<Seen> take_samples();
  void judge(base::Micros now);
  std::size_t in_service() const;  // not disabled

  std::mutex mutex_;
  std::shared_ptr<const EndpointSet> set_;
  std::optional<OutlierOptions> options_;  // enabled
  std::uint32_t panic_threshold_ = 0;
  std::atomic<bool> panic_{false};
  std::atomic<std::int64_t> panic_changed_{0};
  std::atomic<std::int64_t> compare_at_{0};  // 0: with the first request it begins to count
};

}  // namespace sluice::upstream
