#include "base/keyed_hash.h"

#include <bit>
#include <cstddef>

namespace sluice::base {
namespace {

// The first `size` (at most 8) bytes at `from`, the first one lowest.
uint64_t word_at(const char* from, size_t size) {
  uint64_t word = 0;
  for (size_t i = 0; i < size; ++i) word |= uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
  return word;
}

struct State {
  uint64_t a, b, c, d;

  void mix() {
    a += b;
    c += d;
    b = std::rotl(b, 13) ^ a;
    d = std::rotl(d, 16) ^ c;
    a = std::rotl(a, 32);
    c += b;
    a += d;
    b = std::rotl(b, 17) ^ c;
    d = std::rotl(d, 21) ^ a;
    c = std::rotl(c, 32);
  }
  void take(uint64_t word) {
    d ^= word;
    mix();
    mix();
    a ^= word;
  }
};

}  // namespace

uint64_t KeyedHash::operator()(std::string_view bytes) const {
  State state{k0_ ^ 0x736F6D6570736575, k1_ ^ 0x646F72616E646F6D, k0_ ^ 0x6C7967656E657261, k1_ ^ 0x7465646279746573};
  const size_t whole = bytes.size() / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) state.take(word_at(bytes.data() + i, 8));
  state.take(uint64_t{bytes.size()} << 56 | word_at(bytes.data() + whole, bytes.size() - whole));
  state.c ^= 0xFF;
  for (int i = 0; i < 4; ++i) state.mix();
  return state.a ^ state.b ^ state.c ^ state.d;
}

}  // namespace sluice::base
