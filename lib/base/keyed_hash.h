// A hash of bytes that strangers choose: who does not know the key cannot make two of them meet (SipHash-2-4,
// https://www.aumasson.jp/siphash/siphash.pdf). About 20 ns for a short key.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::base {

class KeyedHash {
 public:
  KeyedHash(uint64_t k0, uint64_t k1) : k0_(k0), k1_(k1) {}
  uint64_t operator()(std::string_view bytes) const;

 private:
  uint64_t k0_;
  uint64_t k1_;
};

}  // namespace sluice::base
