#include "upstream/random.h"

#include "base/check.h"

namespace sluice::upstream {

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

}  // namespace sluice::upstream
