// ConcurrencyLimiter: how many requests (or connections) of each key are open, for all workers of the process.
//
// Made on any thread with the configuration, kept over reloads by whoever still uses it, asked by all workers: no lock,
// no allocation. Memory is bounded: a key takes one of the eight places it may have while something of it is open. If
// others hold all eight it is let in uncounted: under a flood of keys the limit gets milder, never stricter.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "base/keyed_hash.h"

namespace sluice::exchange {

class ConcurrencyLimiter {
 public:
  static constexpr size_t keys_max = 65'536;  // 512 KiB
  static constexpr size_t ways = 8;  // places a key may have: one cache line
  static constexpr uint32_t most_max = (1U << 20) - 2;

  // One of those that are open; its end, or release(), gives it back. The limiter outlives it.
  class Held {
   public:
    Held() = default;
    Held(Held&& o) noexcept : place_(std::exchange(o.place_, nullptr)) {}
    Held& operator=(Held&& o) noexcept {
      release();
      place_ = std::exchange(o.place_, nullptr);
      return *this;
    }
    ~Held() { release(); }
    void release() {
      if (place_ != nullptr) std::exchange(place_, nullptr)->fetch_sub(1, std::memory_order_seq_cst);
    }

   private:
    friend class ConcurrencyLimiter;
    explicit Held(std::atomic<uint64_t>& place) : place_(&place) {}
    std::atomic<uint64_t>* place_ = nullptr;
  };

  enum class Verdict : uint8_t { admitted, refused, uncounted };
  struct Taken {
    Verdict verdict = Verdict::uncounted;
    Held held;
  };

  // `keys`: how many there may be, a power of two times `ways`; 1: one key for all.
  ConcurrencyLimiter(size_t keys, base::KeyedHash hash);

  // One more of `key`, of which `most` (1..most_max) may be open. Refused, it holds nothing. Never more are admitted;
  // workers that bring the last one in the same moment may both be refused.
  Taken take(std::string_view key, uint32_t most);

 private:
  // A place: 44 bits of the key's hash, and how many are open; with none it is free.
  static constexpr unsigned count_bits = 20;
  static constexpr uint64_t count_mask = (uint64_t{1} << count_bits) - 1;
  struct alignas(64) Set {
    std::array<std::atomic<uint64_t>, ways> places{};
  };
  static_assert(sizeof(Set) == 64);
  static uint64_t open_of(const Set& set, uint64_t mark);

  base::KeyedHash hash_;
  size_t sets_count_;
  std::unique_ptr<Set[]> sets_;
};

}  // namespace sluice::exchange
