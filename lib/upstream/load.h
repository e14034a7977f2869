// What an upstream is asked for, beside what its pool allows: the figures for "is the pool too small, or is the
// upstream slow?". LoadMeter: one a worker. Advisor: what the workers told, for all; any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/clock.h"

namespace sluice::upstream {

// Of one worker, over the last ten seconds, or since the first request if that is less.
struct Load {
  double arrivals = 0;  // requests a second, those that had to wait or were refused too
  double in_service = 0;  // requests that had a stream, on average
  base::Micros service{};  // that a request has its stream for, on average; 0 = none has ended
  double offered = 0;  // connections of one request each that would serve all of it at once (Little's law)
};

// Costs a request two additions: spans of a second, no list of requests. Pure.
class LoadMeter {
 public:
  static constexpr std::int64_t span_micros = 1'000'000;
  static constexpr std::size_t spans = 10;

  void arrived(base::Micros now) {
    roll(now);
    ++span_[at_].arrivals;
  }
  // Requests that have a stream: one more, or one less.
  void began(base::Micros now) {
    roll(now);
    ++in_service_;
  }
  void ended(base::Micros now) {
    roll(now);
    --in_service_;
    ++span_[at_].ended;
  }
  Load look(base::Micros now);
  // steady: nothing came or ended in the whole window, what is in service stays; quiet: nor is anything in service.
  enum class Pace : std::uint8_t { moving, steady, quiet };
  Pace pace(base::Micros now);

 private:
  struct Span {
    std::uint32_t arrivals = 0;
    std::uint32_t ended = 0;
    std::int64_t busy = 0;  // sum of requests in service over its time, in microseconds
  };
  void roll(base::Micros now);  // counts what was in service until now, and begins new spans

  std::array<Span, spans> span_{};
  std::size_t at_ = 0;
  std::int64_t in_service_ = 0;
  base::Micros rolled_{};  // counted until here
  base::Micros began_{-1};  // the window; negative = nothing yet
};

enum class Advice : std::uint8_t { none, raise_max_connections, upstream_slow };

class Advisor {
 public:
  struct View {
    double offered = 0;  // of all workers
    // offered + 2 sqrt(offered): arrivals come in clusters, and with that few of them find all connections taken (the
    // square-root rule of staffing, as for M/M/n).
    double recommended = 0;
    base::Micros service{};  // weighed by arrivals; 0 = not known
    base::Micros usual{};  // what it is over the last ten minutes
  };
  static constexpr double slow_factor = 2;  // service above usual by this: the upstream is slow
  static constexpr double calm_below = 0.8;  // of the limit: advice that was given is taken back

  explicit Advisor(std::uint32_t workers);
  void tell(std::uint32_t worker, const Load& load);  // by that worker, once a second
  View look() const;
  // `limit`: requests that its pool carries at once. What was advised before decides within calm_below.
  static Advice advise(const View& view, double limit, Advice before);
  Advice given() const { return given_.load(std::memory_order_relaxed); }
  // True for the one worker that changes it.
  bool give(Advice before, Advice advice) { return given_.compare_exchange_strong(before, advice); }

 private:
  // Ten minutes of seconds, as a moving average; a plain one before that.
  static constexpr std::uint32_t memory = 600;
  struct alignas(64) Told {
    std::atomic<float> offered{0};
    std::atomic<float> arrivals{0};
    std::atomic<std::int64_t> service{0};
    std::atomic<std::int64_t> usual{0};
    std::uint32_t seconds = 0;  // its worker's: how many made `usual`
  };

  std::uint32_t workers_;
  std::unique_ptr<Told[]> told_;
  std::atomic<Advice> given_{Advice::none};
};

}  // namespace sluice::upstream
