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

#include "base/clock.h"
#include "upstream/options.h"

namespace sluice::upstream {

class SharedEndpoint;
struct EndpointSet;

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
  // What is looked at: an endpoint that failed too often in a row, or one whose trial failed.
  enum class Cause : std::uint8_t { row, trial };

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
  void judge_panic();  // the checks of one have decided
  // Too few are healthy and not ejected: neither counts any more.
  bool panic() const { return panic_.load(std::memory_order_relaxed); }

 private:
  // Others than `but` that nobody goes to.
  std::size_t away(const SharedEndpoint* but, base::Micros now) const;
  bool room_for(const SharedEndpoint& endpoint, base::Micros now) const;
  void follow(const OutlierOptions& before, base::Micros now);  // spans by the options in force
  void free_surplus(base::Micros now);
  void judge();

  std::mutex mutex_;
  std::shared_ptr<const EndpointSet> set_;
  std::optional<OutlierOptions> options_;  // enabled
  std::uint32_t panic_threshold_ = 0;
  std::atomic<bool> panic_{false};
};

}  // namespace sluice::upstream
