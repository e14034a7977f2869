// Time as two integer types that do not mix: Micros (points and spans of the monotonic clock) and Millis (configured
// limits). <chrono> is kept out of the headers: it doubles the compile time of everything that includes them.
#pragma once

#include <compare>
#include <cstdint>

namespace sluice::base {

struct Millis {
  int64_t count = 0;
  auto operator<=>(const Millis&) const = default;
};

struct Micros {
  int64_t count = 0;
  constexpr Micros() = default;
  constexpr explicit Micros(int64_t n) : count(n) {}
  constexpr Micros(Millis m) : count(m.count * 1000) {}  // NOLINT: widening is lossless, so implicit
  auto operator<=>(const Micros&) const = default;
  constexpr Micros operator+(Micros o) const { return Micros{count + o.count}; }
  constexpr Micros operator-(Micros o) const { return Micros{count - o.count}; }
  constexpr double seconds() const { return static_cast<double>(count) / 1e6; }
};

constexpr Millis seconds(int64_t n) { return Millis{n * 1000}; }
constexpr Millis minutes(int64_t n) { return Millis{n * 60'000}; }
constexpr Millis hours(int64_t n) { return Millis{n * 3'600'000}; }
constexpr Millis millis(int64_t n) { return Millis{n}; }

// Where a loop reads its time. now() is monotonic; wall() is microseconds since the Unix epoch (log stamps,
// certificates).
class Clock {
 public:
  virtual Micros now() const = 0;
  virtual Micros wall() const = 0;

 protected:
  ~Clock() = default;
};

// CLOCK_MONOTONIC and CLOCK_REALTIME. One for the whole process.
const Clock& steady_clock();

// Moved by hand: simulations and unit tests. Starts at one hour, so that "now minus a minute" stays positive.
class FakeClock final : public Clock {
 public:
  Micros now() const override { return now_; }
  Micros wall() const override { return wall_base_ + now_; }
  void advance(Micros by) { now_ = now_ + by; }

 private:
  Micros now_{3'600'000'000};
  Micros wall_base_{1'700'000'000'000'000};
};

}  // namespace sluice::base
