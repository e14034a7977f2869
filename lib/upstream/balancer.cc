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
    const auto times = std::max<std::uint32_t>(1, static_cast<std::uint32_t>(static_cast<double>(weights[i] / common) * scale));
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

Balancer::Balancer(Balance kind, std::uint64_t seed) : kind_(kind), random_(seed) {}

void Balancer::rebuild(std::vector<Candidate> candidates, Balance kind) {
  CHECK(kind != Balance::ring_hash);   // refused by the configuration until it is built
  kind_ = kind;
  candidates_ = std::move(candidates);
  std::vector<std::uint32_t> weights;
  weights.reserve(candidates_.size());
  for (const Candidate& c : candidates_) weights.push_back(c.weight);
  by_weight_.build(weights);
  sequence_.clear();
  cursor_ = 0;
  if (kind == Balance::round_robin && !candidates_.empty()) {
    sequence_ = interleave(weights);
    cursor_ = random_.below(static_cast<std::uint32_t>(sequence_.size()));   // so that workers are not in step
  }
}

std::uint32_t Balancer::pick(const Pick& how) {
  if (candidates_.empty()) return none;
  switch (kind_) {
    case Balance::p2c: return pick_p2c(how);
    case Balance::round_robin: return pick_round_robin(how);
    case Balance::least_requests: return pick_least(how);
    case Balance::ring_hash: break;
  }
  UNREACHABLE();
}

bool Balancer::lighter(std::uint32_t a, std::uint32_t b) const {
  const Candidate& x = candidates_[a];
  const Candidate& y = candidates_[b];
  return static_cast<std::uint64_t>(x.endpoint->load()) * y.weight < static_cast<std::uint64_t>(y.endpoint->load()) * x.weight;
}

std::uint32_t Balancer::draw_good(const Pick& how, std::uint32_t other_than) {
  for (std::uint32_t tries = 0; tries < draws_most; ++tries) {
    const std::uint32_t i = by_weight_.draw(random_);
    if (i != other_than && good(i, how)) return i;
  }
  return none;
}

std::uint32_t Balancer::pick_p2c(const Pick& how) {
  const std::uint32_t first = draw_good(how, none);
  if (first == none) return full_pass(how);
  if (candidates_.size() == 1) return first;
  // Of two there is nothing to draw: a heavy one would be drawn again and again.
  const std::uint32_t other = 1 - std::min(first, 1u);
  const std::uint32_t second = candidates_.size() > 2 ? draw_good(how, first) : good(other, how) ? other : none;
  return second != none && lighter(second, first) ? second : first;
}

std::uint32_t Balancer::pick_round_robin(const Pick& how) {
  for (std::uint32_t tries = 0; tries < draws_most; ++tries) {
    const std::uint32_t i = sequence_[cursor_];
    if (++cursor_ == sequence_.size()) cursor_ = 0;
    if (good(i, how)) return i;
  }
  return full_pass(how);
}

std::uint32_t Balancer::pick_least(const Pick& how) {
  std::uint32_t best = draw_good(how, none);   // equal loads share by weight
  if (best == none) return full_pass(how);
  if (candidates_.size() <= least_looks) {
    for (std::uint32_t i = 0; i < candidates_.size(); ++i) {
      if (good(i, how) && lighter(i, best)) best = i;
    }
    return best;
  }
  for (std::uint32_t looks = 1; looks < least_looks; ++looks) {
    const std::uint32_t i = by_weight_.draw(random_);
    if (good(i, how) && lighter(i, best)) best = i;
  }
  return best;
}

// One pass over all, drawing by weight among the best class that has a member: good ones; else those to avoid; else those set
// aside; else the one that is both.
std::uint32_t Balancer::full_pass(const Pick& how) {
  ++full_passes_;
  constexpr std::size_t classes = 4;
  std::array<std::uint32_t, classes> chosen;
  std::array<std::uint64_t, classes> sum{};
  chosen.fill(none);
  for (std::uint32_t i = 0; i < candidates_.size(); ++i) {
    if (!healthy(i, how)) continue;
    const std::size_t rank = (candidates_[i].endpoint->aside(how.now) ? 2u : 0u) + (i == how.avoid ? 1u : 0u);
    sum[rank] += candidates_[i].weight;
    if (random_.next() % sum[rank] < candidates_[i].weight) chosen[rank] = i;
  }
  for (const std::uint32_t i : chosen) {
    if (i != none) return i;
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
  if (candidates_[picked].endpoint->aside(how.now)) return Standard::aside;   // nothing better was there
  return picked == how.avoid ? Standard::avoided : Standard::good;
}

bool Balancer::meets(Standard standard, std::uint32_t i, const Pick& how) const {
  switch (standard) {
    case Standard::good: return good(i, how);
    case Standard::avoided: return healthy(i, how) && !candidates_[i].endpoint->aside(how.now);
    case Standard::aside: return healthy(i, how);
  }
  UNREACHABLE();
}

}  // namespace sluice::upstream
