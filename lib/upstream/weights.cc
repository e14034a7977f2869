#include "upstream/weights.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace sluice::upstream {

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

}  // namespace sluice::upstream
