#include "runtime/drain.h"

#include <algorithm>
#include <array>

namespace sluice::runtime {
namespace {

constexpr std::array<PhaseRule, 5> table{{
    {Phase::serving, "serving", true, true, true},
    {Phase::deregistering, "deregistering", false, true, true},
    {Phase::draining, "draining", false, false, false},
    {Phase::closing, "closing", false, false, false},
    {Phase::gone, "gone", false, false, false},
}};

}  // namespace

const PhaseRule& rule_of(Phase phase) { return table[static_cast<size_t>(phase)]; }

void Drain::begin(base::Micros now, Ask by) {
  const auto bit = static_cast<uint8_t>(1U << static_cast<unsigned>(by));
  const bool again = (asked_ & bit) != 0;
  asked_ |= bit;
  if (phase_ == Phase::serving) {
    phase_ = Phase::deregistering;
    began_ = now;
    return;
  }
  if (again && phase_ < Phase::closing) {
    phase_ = Phase::closing;
    closing_since_ = now;
  }
}

Phase Drain::step(base::Micros now, uint64_t left) {
  const base::Micros since = now - began_;
  switch (phase_) {
    case Phase::serving:
    case Phase::gone: break;
    case Phase::deregistering:
      if (since >= wait()) phase_ = Phase::draining;
      break;
    case Phase::draining:
      if (left == 0) {
        phase_ = Phase::gone;
      } else if (since >= base::Micros(options_.deadline)) {
        phase_ = Phase::closing;
        closing_since_ = now;
      }
      break;
    case Phase::closing:
      if (left == 0 || now - closing_since_ >= base::Micros(closing_time)) phase_ = Phase::gone;
      break;
  }
  return phase_;
}

base::Micros Drain::wait() const {
  return std::min(base::Micros(options_.deregister_wait), base::Micros(options_.deadline));
}

base::Micros Drain::time_left(base::Micros now) const {
  if (phase_ == Phase::serving || phase_ == Phase::gone) return {};
  return std::max(base::Micros{0}, base::Micros(options_.deadline) - (now - began_));
}

}  // namespace sluice::runtime
