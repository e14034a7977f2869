// SHA-1 (FIPS 180-4) and base64 (RFC 4648) of a few bytes: the handshake asks for no secrecy, so nothing better is
// needed.
#include "http/websocket.h"

#include <sys/random.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/check.h"

namespace sluice::http {
namespace {

constexpr size_t digest_bytes = 20;
constexpr size_t block_bytes = 64;
constexpr std::string_view magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 1.3

using State = std::array<uint32_t, 5>;

void digest_block(State& state, const unsigned char* block) {
  std::array<uint32_t, 80> w;
  for (size_t i = 0; i < 16; ++i) {
    const unsigned char* b = block + i * 4;
    w[i] = uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
  }
  for (size_t i = 16; i < w.size(); ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  auto [a, b, c, d, e] = state;
  for (size_t i = 0; i < w.size(); ++i) {
    uint32_t f = 0;
    uint32_t k = 0;
    if (i < 20) {
      f = (b & c) | (~b & d), k = 0x5A827999;
    } else if (i < 40) {
      f = b ^ c ^ d, k = 0x6ED9EBA1;
    } else if (i < 60) {
      f = (b & c) | (b & d) | (c & d), k = 0x8F1BBCDC;
    } else {
      f = b ^ c ^ d, k = 0xCA62C1D6;
    }
    const uint32_t next = std::rotl(a, 5) + f + e + k + w[i];
    e = d, d = c, c = std::rotl(b, 30), b = a, a = next;
  }
  state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d, state[4] + e};
}

// Of key + magic.
std::array<unsigned char, digest_bytes> digest(std::string_view key) {
  State state{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  std::array<unsigned char, block_bytes> block{};
  size_t filled = 0;
  const auto put = [&](unsigned char byte) {
    block[filled++] = byte;
    if (filled < block_bytes) return;
    digest_block(state, block.data());
    filled = 0;
  };
  for (const char c : key) put(static_cast<unsigned char>(c));
  for (const char c : magic) put(static_cast<unsigned char>(c));
  put(0x80);
  while (filled != block_bytes - 8) put(0);
  const uint64_t bits = (uint64_t{key.size()} + magic.size()) * 8;
  for (int shift = 56; shift >= 0; shift -= 8) put(static_cast<unsigned char>(bits >> shift));
  std::array<unsigned char, digest_bytes> out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<unsigned char>(state[i / 4] >> (24 - i % 4 * 8));
  return out;
}

std::string_view base64(const unsigned char* bytes, size_t size, base::Arena& arena) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const size_t length = (size + 2) / 3 * 4;
  auto* const text = static_cast<char*>(arena.allocate(length, 1));
  char* to = text;
  for (size_t i = 0; i < size; i += 3) {
    const size_t left = size - i;
    uint32_t three = uint32_t{bytes[i]} << 16;
    if (left > 1) three |= uint32_t{bytes[i + 1]} << 8;
    if (left > 2) three |= bytes[i + 2];
    *to++ = letters[three >> 18];
    *to++ = letters[three >> 12 & 63];
    *to++ = left > 1 ? letters[three >> 6 & 63] : '=';
    *to++ = left > 2 ? letters[three & 63] : '=';
  }
  return {text, length};
}

}  // namespace

std::string_view websocket_key(base::Arena& arena) {
  std::array<unsigned char, 16> bytes;
  CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return base64(bytes.data(), bytes.size(), arena);
}

std::string_view websocket_accept(std::string_view key, base::Arena& arena) {
  const auto hash = digest(key);
  return base64(hash.data(), hash.size(), arena);
}

}  // namespace sluice::http
