// RateLimiter: the buckets of one route's `rate_limit`, one for each key, for all workers of the process. GCRA: a key
// has one number, the time at which all it took is paid (its theoretical arrival time); what lies ahead of now is its
// debt, and a request is admitted while the debt leaves room for it within `burst`.
//
// Made on any thread with the configuration, kept over reloads by whoever still uses it, asked by all workers: no lock,
// no allocation. Memory is bounded: a key that was not seen before takes the place, of the eight it may have, whose
// key owes least; most often one that owes nothing, which is as good as free. A key that is forgotten so begins anew.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/keyed_hash.h"
#include "route/options.h"

namespace sluice::exchange {

class RateLimiter {
 public:
  static constexpr size_t keys_max = 65'536;  // 512 KiB a limit; with the key "route" there is one
  static constexpr size_t ways = 8;  // places a key may have: one cache line

  // What answers may cost beyond the burst, in bursts (`cost`): who is in debt so deep waits that long, not for ever.
  static constexpr uint64_t overdraft = 16;

  struct Verdict {
    bool admitted = true;
    uint32_t wait_seconds = 0;  // refused: until a request would be admitted; 1 at least
  };

  RateLimiter(const route::RateLimit& limit, base::KeyedHash hash);

  // One request of `key` at `now`. Admitted, it is paid; refused, it costs nothing. Workers that meet a new key in the
  // same moment may give it one request too many; otherwise the limit is exact.
  Verdict take(std::string_view key, base::Micros now) { return take(hash_of(key), now); }
  Verdict take(uint64_t hash, base::Micros now);
  // A request of that key cost so many more than the one it paid. What it owes so is bounded: `overdraft` bursts.
  void charge(uint64_t hash, uint64_t requests, base::Micros now);
  uint64_t hash_of(std::string_view key) const { return hash_(key); }

  // The value of RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10, 3): `"default";q=100;w=1`.
  const std::string& policy() const { return policy_; }
  size_t bytes() const { return sets_count_ * sizeof(Set); }
  // Would `limit` count just as this one does? Then a reload keeps what everybody owes.
  bool counts_as(const route::RateLimit& limit) const;

 private:
  // A place: 20 bits of the key's hash (0: nobody was here), and its time in ticks, modulo 2^44. Two keys of the same
  // set share a bucket with a chance of one in a million.
  static constexpr unsigned time_bits = 44;
  static constexpr uint64_t time_mask = (uint64_t{1} << time_bits) - 1;
  struct alignas(64) Set {
    std::array<std::atomic<uint64_t>, ways> places{};
  };
  static_assert(sizeof(Set) == 64);
  struct Found {
    size_t way = 0;
    uint64_t word = 0;
    uint64_t debt = 0;  // of the key, in ticks
  };
  Found find(const Set& set, uint64_t mark, uint64_t at) const;
  uint64_t debt_of(uint64_t word, uint64_t at) const;
  uint64_t ticks(base::Micros now) const;
  uint32_t seconds_of(uint64_t ticks) const;

  route::RateLimit limit_;
  base::KeyedHash hash_;
  uint64_t cost_;  // of a request, in ticks: so no rate is rounded
  uint64_t tolerance_;  // the debt up to which a further request is admitted
  uint64_t debt_most_;  // that charge() makes
  uint64_t believed_;  // a place that seems to owe more is one that was left very long ago
  size_t sets_count_;
  std::unique_ptr<Set[]> sets_;
  std::string policy_;
};

}  // namespace sluice::exchange
