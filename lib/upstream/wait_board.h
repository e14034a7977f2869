// WaitBoard: which workers have requests that wait for something that all share, and since when; by it whoever frees a
// place of it finds out who should have it. Announce first, then try for a place once more; who frees one decrements
// first, then looks here: so one of the two always sees the other. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/clock.h"

namespace sluice::upstream {

class WaitBoard {
 public:
  explicit WaitBoard(std::uint32_t workers);  // at least one

  // Has the worker a place of its own that could become free?
  enum class Own : std::uint8_t { some, bare };
  // Of `worker`, by that worker: since when its oldest one waits; 0 = none any more.
  void announce(std::uint32_t worker, base::Micros since, Own own);
  std::optional<base::Micros> oldest() const;  // since when the one waits that has waited longest
  bool anyone() const { return announced_.load() != 0; }
  // The worker other than `me` that has waited longest, among those that have since before `than`, or `than_bare` if
  // bare.
  std::optional<std::uint32_t> longest(std::uint32_t me, base::Micros than, base::Micros than_bare) const;

 private:
  struct alignas(64) Line {
    std::atomic<std::int64_t> since{0};  // microseconds; the lowest bit is Own::bare
  };
  std::uint32_t workers_;
  std::atomic<std::uint32_t> announced_{0};  // workers
  std::unique_ptr<Line[]> lines_;
};

}  // namespace sluice::upstream
