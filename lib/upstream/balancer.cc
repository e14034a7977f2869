// Which tier takes requests, and the full pass when a picker met only unusable endpoints. See balancer.h.
#include "upstream/balancer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace sluice::upstream {
namespace {

// How old the count of what is usable may be; with up to `few` endpoints it is taken for each pick.
constexpr base::Micros usable_for{10'000};
constexpr std::size_t few = 16;

}  // namespace

Balancer::Balancer(std::uint64_t seed, Turns& turns)
    : random_(seed), turns_(turns), set_(std::make_shared<const EndpointSet>()), picker_(&Picker::of(set_->balance)) {}

void Balancer::use(EndpointSetPtr set, base::Millis slow_start) {
  CHECK(set != nullptr);
  set_ = std::move(set);
  picker_ = &Picker::of(set_->balance);
  slow_start_ = slow_start;
  witnesses_.assign(set_->tiers.size(), 0);
  counted_tier_ = none;
  live_at_ = base::Micros{-1};
}

bool Balancer::tier_live(std::uint32_t tier, base::Micros now) {
  const std::vector<std::uint32_t>& members = set_->tiers[tier].members;
  std::uint32_t& witness = witnesses_[tier];
  for (std::size_t looked = 0; looked < members.size(); ++looked) {
    if (live(members[witness], now)) return true;
    if (++witness == members.size()) witness = 0;
  }
  return false;
}

std::uint32_t Balancer::live_tier(base::Micros now) {
  const std::vector<Tier>& tiers = set_->tiers;
  if (tiers.size() <= 1 || live(tiers[0].members[witnesses_[0]], now)) return 0;
  if (live_at_ == now) return live_tier_;
  live_at_ = now;
  live_tier_ = 0;
  for (std::uint32_t t = 0; t < tiers.size(); ++t) {
    if (!tier_live(t, now)) continue;
    live_tier_ = t;
    break;
  }
  return live_tier_;
}

bool Balancer::in_use(std::uint32_t i, const Pick& how) {
  const std::vector<std::uint32_t>& tier_of = set_->tier_of;
  if (set_->tiers.size() <= 1 || tier_of[i] <= live_tier(how.now)) return true;
  if (how.avoid == nullptr) return false;
  for (std::uint32_t k = 0; k < size(); ++k) {
    if (tier_of[k] < tier_of[i] && good(k, how)) return false;
  }
  return true;   // as in full_pass()
}

std::uint32_t Balancer::pick(const Pick& how) {
  if (set_->entries.empty()) return none;
  const std::uint32_t tier = live_tier(how.now);
  const Field now = field(tier, how);
  const std::uint32_t picked = picker_->pick(now, set_->tiers[tier]);
  return picked != none ? picked : full_pass(now);
}

bool Balancer::prefers(std::uint32_t i, const Pick& how) {
  const std::uint32_t tier = live_tier(how.now);
  return picker_->prefers(field(tier, how), set_->tiers[tier], i);
}

Field Balancer::field(std::uint32_t tier, const Pick& how) {
  const bool by_key = !set_->tiers[tier].ring.empty();
  return {*set_, how, slow_start_, random_, turns_, by_key ? usable(tier, how) : Field::Usable{}};
}

Field::Usable Balancer::usable(std::uint32_t tier, const Pick& how) {
  const Tier& of = set_->tiers[tier];
  const bool fresh = counted_tier_ == tier && how.now.count - counted_at_.count < usable_for.count;
  if (fresh && of.members.size() > few) return usable_;
  counted_tier_ = tier;
  counted_at_ = how.now;
  const Field all(*set_, how, slow_start_, random_, turns_, {});
  std::uint64_t weight = 0;
  std::uint64_t penalties = 0;
  for (const std::uint32_t i : of.members) {
    weight += all.good(i) ? all.weight(i) : 0;
    penalties += at(i).penalty(how.now, how.half_life);
  }
  return usable_ = {std::max<std::uint64_t>(weight, 1), penalties / SharedEndpoint::load_unit};
}

// One pass over all, drawing by weight among the best class that has a member: good ones; else those to avoid; else
// those set aside; else those that are both. Of those to avoid it is the one that was tried longest ago. Within a class
// the lowest tier, but none before the live one: in panic the dead would look good.
std::uint32_t Balancer::full_pass(const Field& field) {
  ++full_passes_;
  struct Class {
    std::uint32_t chosen = none;
    std::uint32_t tier = ~0u;
    std::uint64_t sum = 0;
    std::uint32_t rank = ~0u;
  };
  constexpr std::size_t classes = 4;
  std::array<Class, classes> best;
  const base::Micros now = field.how().now;
  const std::uint32_t from = live_tier(now);
  Random of_key(field.how().key);
  Random& random = field.how().key != 0 ? of_key : random_;  // a key meets the same one as long as nothing changes
  for (std::uint32_t i = 0; i < size(); ++i) {
    const std::uint32_t tier = set_->tier_of[i];
    if (tier < from || !field.healthy(i)) continue;
    const std::uint32_t rank = field.avoided(i);
    Class& of = best[(at(i).shunned(now, field.how().panic) ? 2u : 0u) + (rank != 0 ? 1u : 0u)];
    if (tier > of.tier) continue;
    if (tier < of.tier) of = Class{none, tier};
    if (rank != 0) {
      if (rank < of.rank) of.chosen = i;
      of.rank = std::min(of.rank, rank);
      continue;
    }
    const std::uint64_t weight = field.weight(i);
    of.sum += weight;
    if (random.next() % of.sum < weight) of.chosen = i;
  }
  for (const Class& of : best) {
    if (of.chosen != none) return of.chosen;
  }
  return none;
}

bool Balancer::another_usable(std::uint32_t i, const Pick& how) const {
  for (std::uint32_t k = 0; k < size(); ++k) {
    if (k != i && good(k, how)) return true;
  }
  return false;
}

Balancer::Standard Balancer::standard_of(std::uint32_t picked, const Pick& how) const {
  if (at(picked).shunned(how.now, how.panic)) return Standard::aside;  // nothing better was there
  return avoided(picked, how) ? Standard::avoided : Standard::good;
}

// A tier that is full does not spill into the next one: requests wait for it.
bool Balancer::meets(Standard standard, std::uint32_t i, std::uint32_t picked, const Pick& how) const {
  const bool same_tier = set_->tier_of[i] == set_->tier_of[picked];
  switch (standard) {
    case Standard::good: return same_tier && good(i, how);
    case Standard::avoided: return same_tier && healthy(i, how) && !at(i).shunned(how.now, how.panic);
    case Standard::aside: return healthy(i, how);
  }
  UNREACHABLE();
}

}  // namespace sluice::upstream
