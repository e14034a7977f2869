// Identifiers of requests: X-Request-Id and W3C traceparent. Random, not secret: a per-worker generator seeded by the
// system.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/arena.h"

namespace sluice::exchange {

// xoshiro256**: one per worker. Also what the balancer and the split draw from.
class Random {
 public:
  explicit Random(uint64_t seed);
  static Random from_system();  // seeded by getrandom(2)
  uint64_t next();

 private:
  std::array<uint64_t, 4> state_;
};

// 32 hex digits.
std::string_view make_request_id(Random& random, base::Arena& arena);
// What a client's X-Request-Id may be to be kept: 1..128 visible ASCII characters.
bool valid_request_id(std::string_view id);

// "00-<32 hex>-<16 hex>-01"; https://www.w3.org/TR/trace-context/
std::string_view make_traceparent(Random& random, base::Arena& arena);
// Version 00 (or a later one that begins like it), no all-zero ids, lower case.
bool valid_traceparent(std::string_view value);
// The 32 digits of a valid one.
std::string_view trace_id_of(std::string_view traceparent);
std::string_view parent_id_of(std::string_view traceparent);  // likewise 16: the span that sent it

}  // namespace sluice::exchange
