// Tables that choose by weight: made once with an endpoint set, read by every pick. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "upstream/random.h"

namespace sluice::upstream {

// Draws an index by weight in O(1) (Vose's alias method).
class AliasTable {
 public:
  void build(const std::vector<std::uint32_t>& weights);
  std::uint32_t draw(Random& random) const;  // only if something was built
  bool empty() const { return cells_.empty(); }

 private:
  struct Cell {
    std::uint32_t keep;  // keep the index if the low 32 random bits are not above this
    std::uint32_t alias;
  };
  std::vector<Cell> cells_;
};

// Indices spread evenly, each in proportion to its weight: at most `longest` entries or 8 per endpoint, whichever is
// more, so very unequal weights are rounded (nobody to zero).
inline constexpr std::uint32_t sequence_longest = 4096;
std::vector<std::uint32_t> interleave(const std::vector<std::uint32_t>& weights);

}  // namespace sluice::upstream
