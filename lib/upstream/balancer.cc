// Choosing an endpoint: draws, sequences, and the full pass when draws meet only unusable ones. See balancer.h.
#include "upstream/balancer.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "base/check.h"

namespace sluice::upstream {

// ---- Random

Random::Random(std::uint64_t seed) {
  // splitmix64 spreads a poor seed over both words
  auto mix = [&seed] {
    seed += 0x9e3779b97f4a7c15u;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  };
  a_ = mix();
  b_ = mix() | 1;
}

std::uint64_t Random::next() {
  std::uint64_t x = a_;
  const std::uint64_t y = b_;
  a_ = y;
  x ^= x << 23;
  b_ = x ^ y ^ (x >> 17) ^ (y >> 26);
  return b_ + y;
}

std::uint32_t Random::below(std::uint32_t n) {
  DCHECK(n > 0);
  return static_cast<std::uint32_t>(((next() >> 32) * n) >> 32);
}

// ---- AliasTable

void AliasTable::build(const std::vector<std::uint32_t>& weights) {
  const std::size_t n = weights.size();
  cells_.assign(n, Cell{~0u, 0});
  if (n == 0) return;
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  CHECK(total > 0);
  std::vector<double> share(n);
  std::vector<std::uint32_t> small;
  std::vector<std::uint32_t> large;
  for (std::uint32_t i = 0; i < n; ++i) {
    share[i] = static_cast<double>(weights[i]) * static_cast<double>(n) / total;
    (share[i] < 1.0 ? small : large).push_back(i);
  }
  while (!small.empty() && !large.empty()) {
    const std::uint32_t poor = small.back();
    const std::uint32_t rich = large.back();
    small.pop_back();
    cells_[poor] = Cell{static_cast<std::uint32_t>(share[poor] * 4294967295.0), rich};
    share[rich] -= 1.0 - share[poor];
    if (share[rich] < 1.0) {
      large.pop_back();
      small.push_back(rich);
    }
  }
  // What is left differs from 1 by rounding only and keeps itself (Cell{~0, 0}).
}

std::uint32_t AliasTable::draw(Random& random) const {
  const std::uint64_t r = random.next();
  const auto i = static_cast<std::uint32_t>(((r >> 32) * cells_.size()) >> 32);
  const Cell& cell = cells_[i];
  return static_cast<std::uint32_t>(r) <= cell.keep ? i : cell.alias;
}

// ---- interleave

std::vector<std::uint32_t> interleave(const std::vector<std::uint32_t>& weights) {
  std::uint32_t common = 0;
  for (const std::uint32_t w : weights) common = std::gcd(common, w);
  if (common == 0) return {};
  std::uint64_t total = 0;
  for (const std::uint32_t w : weights) total += w / common;
  const std::uint64_t most = std::max<std::uint64_t>(sequence_longest, weights.size() * 8);
  const double scale = total > most ? static_cast<double>(most) / static_cast<double>(total) : 1.0;

  struct Place {
    double at;
    std::uint32_t index;
  };
  std::vector<Place> places;
  for (std::uint32_t i = 0; i < weights.size(); ++i) {
    const auto times =
        std::max<std::uint32_t>(1, static_cast<std::uint32_t>(static_cast<double>(weights[i] / common) * scale));
    for (std::uint32_t k = 0; k < times; ++k) places.push_back(Place{(static_cast<double>(k) + 0.5) / times, i});
  }
  std::sort(places.begin(), places.end(),
            [](const Place& a, const Place& b) { return a.at < b.at || (a.at == b.at && a.index < b.index); });
  std::vector<std::uint32_t> order;
  order.reserve(places.size());
  for (const Place& p : places) order.push_back(p.index);
  return order;
}

// ---- Balancer

Balancer::Balancer(Balance kind, std::uint64_t seed, Turns& turns) : kind_(kind), random_(seed), turns_(turns) {}

void Balancer::rebuild(std::vector<Candidate> candidates, Balance kind) {
  CHECK(kind != Balance::ring_hash);   // refused by the configuration until it is built
  kind_ = kind;
  candidates_ = std::move(candidates);
  tiers_.clear();
  std::vector<std::uint16_t> priorities;
  for (const Candidate& c : candidates_) priorities.push_back(c.priority);
  std::sort(priorities.begin(), priorities.end());
  priorities.erase(std::unique(priorities.begin(), priorities.end()), priorities.end());
  for (const std::uint16_t p : priorities) tiers_.emplace_back().priority = p;
  tier_of_.clear();
  for (std::uint32_t i = 0; i < candidates_.size(); ++i) {
    const auto at =
        std::lower_bound(priorities.begin(), priorities.end(), candidates_[i].priority) - priorities.begin();
    tier_of_.push_back(static_cast<std::uint32_t>(at));
    tiers_[tier_of_.back()].members.push_back(i);
  }
  for (Tier& tier : tiers_) build(tier);
  live_at_ = base::Micros{-1};
}

void Balancer::build(Tier& tier) {
  std::vector<std::uint32_t> weights;
  weights.reserve(tier.members.size());
  for (const std::uint32_t i : tier.members) weights.push_back(candidates_[i].weight);
  tier.by_weight.build(weights);
  if (kind_ != Balance::round_robin) return;
  tier.sequence = interleave(weights);
  for (std::uint32_t& place : tier.sequence) place = tier.members[place];
}

bool Balancer::live(Tier& tier, base::Micros now) const {
  const auto n = static_cast<std::uint32_t>(tier.members.size());
  for (std::uint32_t looked = 0; looked < n; ++looked) {
    if (live(tier.members[tier.witness], now)) return true;
    if (++tier.witness == n) tier.witness = 0;
  }
  return false;
}

std::uint32_t Balancer::live_tier(base::Micros now) {
  if (tiers_.size() <= 1 || live(candidates_.empty() ? 0 : tiers_[0].members[tiers_[0].witness], now)) return 0;
  if (live_at_ == now) return live_tier_;
  live_at_ = now;
  live_tier_ = 0;
  for (std::uint32_t t = 0; t < tiers_.size(); ++t) {
    if (!live(tiers_[t], now)) continue;
    live_tier_ = t;
    break;
  }
  return live_tier_;
}

bool Balancer::in_use(std::uint32_t i, const Pick& how) {
  if (tiers_.size() <= 1 || tier_of_[i] <= live_tier(how.now)) return true;
  if (how.avoid == none) return false;
  for (std::uint32_t k = 0; k < candidates_.size(); ++k) {
    if (tier_of_[k] < tier_of_[i] && good(k, how)) return false;
  }
  return true;   // as in full_pass()
}

std::uint32_t Balancer::pick(const Pick& how) {
  if (candidates_.empty()) return none;
  Tier& tier = tiers_[live_tier(how.now)];
  switch (kind_) {
    case Balance::p2c: return pick_p2c(tier, how);
    case Balance::round_robin: return pick_round_robin(tier, how);
    case Balance::least_requests: return pick_least(tier, how);
    case Balance::ring_hash: break;
  }
  UNREACHABLE();
}

bool Balancer::lighter(std::uint32_t a, std::uint32_t b, const Pick& how) const {
  const Candidate& x = candidates_[a];
  const Candidate& y = candidates_[b];
  return x.endpoint->load_units(how.now, how.half_life) * y.weight <
         y.endpoint->load_units(how.now, how.half_life) * x.weight;
}

std::uint32_t Balancer::draw_good(const Tier& tier, const Pick& how, std::uint32_t other_than) {
  for (std::uint32_t tries = 0; tries < draws_most; ++tries) {
    const std::uint32_t i = draw(tier);
    if (i != other_than && good(i, how)) return i;
  }
  return none;
}

std::uint32_t Balancer::pick_p2c(const Tier& tier, const Pick& how) {
  const std::uint32_t first = draw_good(tier, how, none);
  if (first == none) return full_pass(how);
  const std::vector<std::uint32_t>& members = tier.members;
  if (members.size() == 1) return first;
  if (members.size() > 2) {
    const std::uint32_t second = draw_good(tier, how, first);
    return second != none && lighter(second, first, how) ? second : first;
  }
  // Of two there is nothing to draw: a heavy one would be drawn again and again.
  const std::uint32_t other = first == members[0] ? members[1] : members[0];
  return good(other, how) && lighter(other, first, how) ? other : first;
}

// An unusable one costs its turn: if the next one took it, that one would have twice its share.
std::uint32_t Balancer::pick_round_robin(const Tier& tier, const Pick& how) {
  for (std::uint32_t tries = 0; tries < draws_most; ++tries) {
    const std::uint32_t i = tier.sequence[turns_.take() % tier.sequence.size()];
    if (good(i, how)) return i;
  }
  return full_pass(how);
}

std::uint32_t Balancer::pick_least(const Tier& tier, const Pick& how) {
  std::uint32_t best = draw_good(tier, how, none);   // equal loads share by weight
  if (best == none) return full_pass(how);
  if (tier.members.size() <= least_looks) {
    for (const std::uint32_t i : tier.members) {
      if (good(i, how) && lighter(i, best, how)) best = i;
    }
    return best;
  }
  for (std::uint32_t looks = 1; looks < least_looks; ++looks) {
    const std::uint32_t i = draw(tier);
    if (good(i, how) && lighter(i, best, how)) best = i;
  }
  return best;
}

// One pass over all, drawing by weight among the best class that has a member: good ones; else those to avoid; else
// those set aside; else the one that is both. Within a class the lowest tier, but none before the live one: in panic
// the dead would look good.
std::uint32_t Balancer::full_pass(const Pick& how) {
  ++full_passes_;
  struct Class {
    std::uint32_t chosen = none;
    std::uint32_t tier = ~0u;
    std::uint64_t sum = 0;
  };
  constexpr std::size_t classes = 4;
  std::array<Class, classes> best;
  const std::uint32_t from = live_tier(how.now);
  for (std::uint32_t i = 0; i < candidates_.size(); ++i) {
    if (tier_of_[i] < from || !healthy(i, how)) continue;
    Class& of = best[(candidates_[i].endpoint->aside(how.now) ? 2u : 0u) + (i == how.avoid ? 1u : 0u)];
    if (tier_of_[i] > of.tier) continue;
    if (tier_of_[i] < of.tier) of = Class{none, tier_of_[i], 0};
    of.sum += candidates_[i].weight;
    if (random_.next() % of.sum < candidates_[i].weight) of.chosen = i;
  }
  for (const Class& of : best) {
    if (of.chosen != none) return of.chosen;
  }
  return none;
}

bool Balancer::another_usable(std::uint32_t i, const Pick& how) const {
  const auto n = static_cast<std::uint32_t>(candidates_.size());
  for (std::uint32_t k = 0; k < n; ++k) {
    if (k != i && healthy(k, how) && !candidates_[k].endpoint->aside(how.now)) return true;
  }
  return false;
}

Balancer::Standard Balancer::standard_of(std::uint32_t picked, const Pick& how) const {
  if (candidates_[picked].endpoint->aside(how.now)) return Standard::aside;  // nothing better was there
  return picked == how.avoid ? Standard::avoided : Standard::good;
}

// A tier that is full does not spill into the next one: requests wait for it.
bool Balancer::meets(Standard standard, std::uint32_t i, std::uint32_t picked, const Pick& how) const {
  const bool same_tier = tier_of_[i] == tier_of_[picked];
  switch (standard) {
    case Standard::good: return same_tier && good(i, how);
    case Standard::avoided: return same_tier && healthy(i, how) && !candidates_[i].endpoint->aside(how.now);
    case Standard::aside: return healthy(i, how);
  }
  UNREACHABLE();
}

}  // namespace sluice::upstream
