#include "runtime/drain.h"

#include <algorithm>
#include <array>

namespace sluice::runtime {
namespace {

constexpr std::array<PhaseRule, 5> table{{
    {DrainPhase::serving, "serving", true, true, true},
    {DrainPhase::deregistering, "deregistering", false, true, true},
    {DrainPhase::draining, "draining", false, false, false},
    {DrainPhase::closing, "closing", false, false, false},
    {DrainPhase::gone, "gone", false, false, false},
}};

}  // namespace

const PhaseRule& rule_of(DrainPhase phase) { return table[static_cast<size_t>(phase)]; }

void Drain::begin(base::Micros now, Ask by) {
  const auto bit = static_cast<uint8_t>(1U << static_cast<unsigned>(by));
  const bool again = (asked_ & bit) != 0;
  asked_ |= bit;
  if (phase_ == DrainPhase::serving) {
    phase_ = DrainPhase::deregistering;
    began_ = now;
    return;
  }
  if (again && phase_ < DrainPhase::closing) {
    phase_ = DrainPhase::closing;
    closing_since_ = now;
  }
}

DrainPhase Drain::step(base::Micros now, uint64_t left) {
  const base::Micros since = now - began_;
  switch (phase_) {
    case DrainPhase::serving:
    case DrainPhase::gone: break;
    case DrainPhase::deregistering:
      if (since >= wait()) phase_ = DrainPhase::draining;
      break;
    case DrainPhase::draining:
      if (left == 0) {
        phase_ = DrainPhase::gone;
      } else if (since >= base::Micros(options_.deadline)) {
        phase_ = DrainPhase::closing;
        closing_since_ = now;
      }
      break;
    case DrainPhase::closing:
      if (left == 0 || now - closing_since_ >= base::Micros(closing_time)) phase_ = DrainPhase::gone;
      break;
  }
  return phase_;
}

base::Micros Drain::wait() const {
  return std::min(base::Micros(options_.deregister_wait), base::Micros(options_.deadline));
}

base::Micros Drain::time_left(base::Micros now) const {
  if (phase_ == DrainPhase::serving || phase_ == DrainPhase::gone) return {};
  return std::max(base::Micros{0}, base::Micros(options_.deadline) - (now - began_));
}

}  // namespace sluice::runtime
