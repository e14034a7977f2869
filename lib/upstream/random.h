// Random numbers for choices, not for secrets (xorshift128+). One per worker and upstream, or a tool's own.
#pragma once

#include <cstdint>

namespace sluice::upstream {

class Random {
 public:
  explicit Random(std::uint64_t seed);
  std::uint64_t next();
  std::uint32_t below(std::uint32_t n);  // 0 .. n-1; n > 0

 private:
  std::uint64_t a_;
  std::uint64_t b_;
};

}  // namespace sluice::upstream
