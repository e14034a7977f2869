// Exemplars: for each bucket of a histogram one request that fell into it, by its trace: the way from "the 99th is bad"
// to a request that was. One writer, beside the writer's Histogram cell; the scrape reads at any time, and takes what a
// write has half done for nothing. A bucket's is renewed after a second at the earliest, so that it costs a request a
// comparison.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "metrics/cell.h"

namespace sluice::metrics {

struct Exemplar {
  std::string trace;  // 32 hexadecimal digits; "": none
  base::Micros value;
  base::Micros at;  // time of day
};

class Exemplars {
 public:
  static constexpr size_t trace_digits = 32;
  static constexpr base::Micros renewed_after{1'000'000};

  // The request of `trace` (another length than trace_digits is left out) was observed as `value`, in `bucket`, at that
  // time of day.
  void note(size_t bucket, base::Micros value, std::string_view trace, base::Micros at) {
    Slot& slot = slots_[bucket];
    const base::Micros before{slot.at.load(std::memory_order_relaxed)};
    if (before.count != 0 && at - before < renewed_after && at >= before) return;
    if (trace.size() == trace_digits) put(slot, value, trace, at);
  }

  // Any thread. Empty: none has been there, or it is being written.
  std::optional<Exemplar> read(size_t bucket) const {
    const Slot& slot = slots_[bucket];
    const uint32_t turn = slot.turn.load(std::memory_order_acquire);
    if (turn == 0 || turn % 2 != 0) return std::nullopt;
    Words words{};
    for (size_t i = 0; i < words.size(); ++i) words[i] = slot.trace[i].load(std::memory_order_acquire);
    const Exemplar found{text_of(words), base::Micros{slot.value.load(std::memory_order_acquire)},
                         base::Micros{slot.at.load(std::memory_order_acquire)}};
    return slot.turn.load(std::memory_order_relaxed) == turn ? std::optional(found) : std::nullopt;
  }

 private:
  using Words = std::array<uint64_t, trace_digits / sizeof(uint64_t)>;
  // Odd `turn`: being written. Each store after it is a release, so whoever reads a new word sees the odd turn, too.
  struct alignas(64) Slot {
    std::atomic<uint32_t> turn{0};
    std::array<std::atomic<uint64_t>, std::tuple_size_v<Words>> trace{};
    std::atomic<int64_t> value{0};
    std::atomic<int64_t> at{0};
  };
  static std::string text_of(const Words& words) {
    std::string text(trace_digits, '\0');
    std::memcpy(text.data(), words.data(), trace_digits);
    return text;
  }
  static void put(Slot& slot, base::Micros value, std::string_view trace, base::Micros at) {
    const uint32_t turn = slot.turn.load(std::memory_order_relaxed);
    Words words;
    std::memcpy(words.data(), trace.data(), trace_digits);
    slot.turn.store(turn + 1, std::memory_order_relaxed);
    for (size_t i = 0; i < words.size(); ++i) slot.trace[i].store(words[i], std::memory_order_release);
    slot.value.store(value.count, std::memory_order_release);
    slot.at.store(at.count, std::memory_order_release);
    slot.turn.store(turn + 2, std::memory_order_release);
  }

  std::array<Slot, Histogram::buckets> slots_;
};

}  // namespace sluice::metrics
