// The pickers that go by load and by turns. See picker.h.
#include "upstream/picker.h"

#include "base/check.h"
#include "upstream/picker_ring.h"

namespace sluice::upstream {

std::uint32_t Field::ramp(std::uint32_t i) const {
  const base::Micros since = at(i).ramp_since();
  if (since.count == 0 || (how_.now - since).count >= slow_start_.count) return full_share;
  const std::int64_t elapsed = std::max<std::int64_t>((how_.now - since).count, 0);
  return std::max(slow_start_floor, static_cast<std::uint32_t>(elapsed * full_share / slow_start_.count));
}

std::uint32_t Field::draw_good(const Tier& tier, std::uint32_t other_than) const {
  std::uint32_t ramping = no_endpoint;  // where all do, one of them it is
  for (std::uint32_t tries = 0; tries < draws_most; ++tries) {
    const std::uint32_t i = draw(tier);
    if (i == other_than || !good(i)) continue;
    if (stands(i)) return i;
    ramping = i;
  }
  return ramping;
}

bool Picker::prefers(const Field& /*field*/, const Tier& /*tier*/, std::uint32_t /*i*/) const { return true; }

namespace {

// The better of two drawn by weight.
template <bool (Field::*better)(std::uint32_t, std::uint32_t) const>
class TwoChoices final : public Picker {
 public:
  std::uint32_t pick(const Field& field, const Tier& tier) const override {
    const std::uint32_t first = field.draw_good(tier, no_endpoint);
    const std::vector<std::uint32_t>& members = tier.members;
    if (first == no_endpoint || members.size() == 1) return first;
    if (members.size() > 2) {
      const std::uint32_t second = field.draw_good(tier, first);
      return second != no_endpoint && (field.*better)(second, first) ? second : first;
    }
    // Of two there is nothing to draw: a heavy one would be drawn again and again.
    const std::uint32_t other = first == members[0] ? members[1] : members[0];
    return field.good(other) && (field.*better)(other, first) ? other : first;
  }
};

// Turns in the set's sequence; the turns are the process's.
class InTurn final : public Picker {
 public:
  // An unusable one costs its turn: if the next one took it, that one would have twice its share.
  std::uint32_t pick(const Field& field, const Tier& tier) const override {
    std::uint32_t ramping = no_endpoint;
    for (std::uint32_t tries = 0; tries < Field::draws_most; ++tries) {
      const std::uint32_t i = tier.sequence[field.turns().take() % tier.sequence.size()];
      if (!field.good(i)) continue;
      if (field.stands(i)) return i;
      ramping = i;
    }
    return ramping;
  }
};

// The lightest of all, or of as many draws.
class Least final : public Picker {
 public:
  static constexpr std::uint32_t looks = 16;

  std::uint32_t pick(const Field& field, const Tier& tier) const override {
    std::uint32_t best = field.draw_good(tier, no_endpoint);  // equal loads share by weight
    if (best == no_endpoint) return best;
    if (tier.members.size() <= looks) {
      for (const std::uint32_t i : tier.members) {
        if (field.good(i) && field.lighter(i, best)) best = i;
      }
      return best;
    }
    for (std::uint32_t looked = 1; looked < looks; ++looked) {
      const std::uint32_t i = field.draw(tier);
      if (field.good(i) && field.lighter(i, best)) best = i;
    }
    return best;
  }
};

constexpr TwoChoices<&Field::lighter> by_load;
constexpr TwoChoices<&Field::quicker> by_time;
constexpr InTurn in_turn;
constexpr Least least;
constexpr RingHash by_key;

}  // namespace

const Picker& Picker::of(Balance balance) {
  switch (balance) {
    case Balance::p2c: return by_load;
    case Balance::p2c_ewma: return by_time;
    case Balance::round_robin: return in_turn;
    case Balance::least_requests: return least;
    case Balance::ring_hash: return by_key;
  }
  UNREACHABLE();
}

}  // namespace sluice::upstream
