// When to ask next: pure functions of TTLs, failures and chance (docs/dns.md, "When a name is asked").
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "dns/options.h"

namespace sluice::dns {

class Random {   // splitmix64; for jitter, not for secrets (ids and ports are c-ares's and the kernel's)
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(high - low + 1));
  }

 private:
  std::uint64_t state_;
};

inline constexpr base::Millis early_max{
    5'000};   // an answer is refreshed 2 to 10 % before its end, but not earlier than this

// How long an answer counts: min_ttl..max_ttl, never less than query_gap.
base::Millis positive_ttl(std::uint32_t seconds, const DnsOptions& options);
// query_gap..negative_ttl_max; without an SOA negative_ttl_default.
base::Millis negative_ttl(std::optional<std::uint32_t> seconds, const DnsOptions& options);
// From the query that was answered to the next one: a little less than the TTL, at least query_gap.
base::Millis refresh_after(base::Millis ttl, Random& random);
// After the nth failure in a row (n > 0): 1, 2, 4, 8 s, retry_max; up to 20 % less.
base::Millis retry_after(std::uint32_t failures, Random& random);
// While "no such name" is repeated and the addresses are still served: soon enough to notice that it was a slip.
base::Millis hold_interval(base::Millis negative, const DnsOptions& options);

}  // namespace sluice::dns
