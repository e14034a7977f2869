// Counter, Gauge, Histogram: cells with one writer. A worker adds with a plain load and store (relaxed, no lock
// prefix); the scrape thread reads at any time. The Registry owns them and sums the cells of all workers of one series.
// A cell that was given back holds a mark until another series gets it: to write it then is a fault (whoever gets it
// next would count wrongly), which ends a debug build at once.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/clock.h"

namespace sluice::metrics {

class Counter {
 public:
  void add(uint64_t n = 1) {
    const uint64_t before = value();
    DCHECK(before != mark && "a metric cell is written after it was given back");
    value_.store(before + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }
  // The Registry's: no series has it, until clear().
  void give_back() { value_.store(mark, std::memory_order_relaxed); }
  bool given_back() const { return value() == mark; }
  void clear() { value_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr uint64_t mark = UINT64_MAX / 2;  // not counted to in this life; one more is another value
  std::atomic<uint64_t> value_{0};
};

// A gauge is summed over the workers too, so each adds its own share (connections open here); what only control knows
// it sets in its own cell.
class Gauge {
 public:
  void add(double n) { set(value() + n); }
  void set(double value) {
    DCHECK(!given_back() && "a metric cell is written after it was given back");
    value_.store(value, std::memory_order_relaxed);
  }
  double value() const { return value_.load(std::memory_order_relaxed); }
  // As Counter's.
  void give_back() { value_.store(mark, std::memory_order_relaxed); }
  bool given_back() const { return value() == mark; }
  void clear() { value_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr double mark = -0x1p51 - 0.5;  // no gauge is there; one more is another value
  std::atomic<double> value_{0};
};

// Spans of time. The upper bounds of the buckets are the same for all, in microseconds, those of both ladders of
// names.h; the scrape shows those of the metric's own. What is above the last one counts in +Inf alone.
class Histogram {
 public:
  static constexpr std::array<uint64_t, 29> bounds = {
      100,       200,       500,       1'000,     2'000,      2'500,      5'000,      10'000,     20'000,     25'000,
      50'000,    75'000,    100'000,   150'000,   200'000,    250'000,    350'000,    500'000,    750'000,    1'000'000,
      1'500'000, 2'000'000, 2'500'000, 5'000'000, 10'000'000, 20'000'000, 30'000'000, 60'000'000, 300'000'000};
  static constexpr size_t buckets = bounds.size() + 1;

  static size_t bucket_of(base::Micros span) {
    const uint64_t micros = span.count < 0 ? 0 : static_cast<uint64_t>(span.count);
    size_t i = 0;
    while (i < bounds.size() && micros > bounds[i]) ++i;  // short: what is usual is near the front
    return i;
  }
  // Returns its bucket.
  size_t observe(base::Micros span) {
    const size_t bucket = bucket_of(span);
    counts_[bucket].add();
    sum_.add(span.count < 0 ? 0 : static_cast<uint64_t>(span.count));
    return bucket;
  }

  uint64_t bucket(size_t i) const { return counts_[i].value(); }  // not cumulative; the last one is +Inf
  uint64_t sum() const { return sum_.value(); }  // microseconds
  // As Counter's.
  void give_back() {
    for (Counter& c : counts_) c.give_back();
    sum_.give_back();
  }
  bool given_back() const {
    for (const Counter& c : counts_) {
      if (!c.given_back()) return false;
    }
    return sum_.given_back();
  }
  void clear() {
    for (Counter& c : counts_) c.clear();
    sum_.clear();
  }

 private:
  Counter sum_;
  std::array<Counter, buckets> counts_;
};

}  // namespace sluice::metrics
