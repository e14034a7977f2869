#include "exchange/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace sluice::exchange {
namespace {

// Eight digits at once: 64 of them are written for every request.
void put_eight(char* to, uint32_t value) {
  constexpr uint64_t ones = 0x0101010101010101U;
  uint64_t nibbles = value;  // one a byte, the last digit lowest
  nibbles = (nibbles | nibbles << 16) & 0x0000ffff0000ffffU;
  nibbles = (nibbles | nibbles << 8) & 0x00ff00ff00ff00ffU;
  nibbles = (nibbles | nibbles << 4) & 0x0f0f0f0f0f0f0f0fU;
  const uint64_t letters = ((nibbles + ones * 6) >> 4) & ones;  // 1 where it is above 9
  uint64_t digits = nibbles + ones * '0' + letters * ('a' - '0' - 10);
  if constexpr (std::endian::native == std::endian::little) digits = std::byteswap(digits);
  std::memcpy(to, &digits, sizeof digits);
}

void put_hex(char* to, uint64_t value) {
  put_eight(to, static_cast<uint32_t>(value >> 32));
  put_eight(to + 8, static_cast<uint32_t>(value));
}

bool lower_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool all_zero(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c == '0'; });
}

}  // namespace

// splitmix64 spreads one seed over the whole state, so that no state is all zero.
Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) {
    seed += 0x9e3779b97f4a7c15U;
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    word = z ^ (z >> 31);
  }
}

Random Random::from_system() {
  uint64_t seed = 0;
  CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
  return Random(seed);
}

uint64_t Random::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::string_view make_request_id(Random& random, base::Arena& arena) {
  auto* at = arena.make_array<char>(32);
  put_hex(at, random.next());
  put_hex(at + 16, random.next());
  return {at, 32};
}

bool valid_request_id(std::string_view id) {
  return !id.empty() && id.size() <= 128 && std::ranges::all_of(id, [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string_view make_traceparent(Random& random, base::Arena& arena) {
  auto* at = arena.make_array<char>(55);
  std::copy_n("00-", 3, at);
  put_hex(at + 3, random.next());
  put_hex(at + 19, random.next());
  at[35] = '-';
  put_hex(at + 36, random.next() | 1);   // an all-zero parent id is invalid
  std::copy_n("-01", 3, at + 52);
  return {at, 55};
}

bool valid_traceparent(std::string_view value) {
  if (value.size() < 55 || value[2] != '-' || value[35] != '-' || value[52] != '-') return false;
  const std::string_view version = value.substr(0, 2);
  if (!lower_hex(version) || version == "ff") return false;
  if (version == "00" ? value.size() != 55 : value.size() > 55 && value[55] != '-') return false;
  const std::string_view trace = value.substr(3, 32);
  const std::string_view parent = value.substr(36, 16);
  return lower_hex(trace) && !all_zero(trace) && lower_hex(parent) && !all_zero(parent) &&
         lower_hex(value.substr(53, 2));
}

std::string_view trace_id_of(std::string_view traceparent) { return traceparent.substr(3, 32); }
std::string_view parent_id_of(std::string_view traceparent) { return traceparent.substr(36, 16); }

}  // namespace sluice::exchange
