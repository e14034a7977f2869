// RequestCounters: requests_total{listener,route,method,code} for one worker and one configuration, without a lock or
// an allocation per request: a small open-addressing table from indices to cells, filled as combinations first show up.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/registry.h"

namespace sluice::metrics {

// What the indices mean. An index beyond a list gives the last entry of `methods` and "" (no_value) for listener and
// route.
struct RequestLabels {
  std::vector<std::string> listeners;
  std::vector<std::string> routes;
  std::vector<std::string_view> methods;  // constants; the last one stands for any other ("other")
};

class RequestCounters {
 public:
  static constexpr size_t slots_max = 16'384;  // the table starts over when it is full beyond that

  // `labels` is shared by the workers and never changes.
  RequestCounters(Registry& registry, unsigned writer, std::shared_ptr<const RequestLabels> labels);

  // code: 0..999.
  void count(uint32_t listener, uint32_t route, uint8_t method, uint16_t code) {
    const uint64_t key = key_of(listener, route, method, code);
    for (size_t i = hash(key) & mask_;; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].cell->add();
      if (slots_[i].key == 0) break;
    }
    insert(key, listener, route, method, code).add();
  }

 private:
  struct Slot {
    uint64_t key = 0;  // 0 = free
    Counter* cell = nullptr;
  };
  // 12 bits of listener, 24 of route, 8 of method, 10 of code; bit 63 is set, so no key is 0. Indices beyond the lists
  // are folded to the lists' sizes, which fit (insert checks).
  uint64_t key_of(uint32_t listener, uint32_t route, uint8_t method, uint16_t code) const {
    const uint64_t l = listener < listeners_ ? listener : listeners_;
    const uint64_t r = route < routes_ ? route : routes_;
    return (uint64_t{1} << 63) | (l << 42) | (r << 18) | (uint64_t{method} << 10) | (code & 1023U);
  }
  static size_t hash(uint64_t key) { return static_cast<size_t>((key * 0x9E3779B97F4A7C15U) >> 40); }
  Counter& insert(uint64_t key, uint32_t listener, uint32_t route, uint8_t method, uint16_t code);
  void place(Slot slot);

  Registry& registry_;
  unsigned writer_;
  std::shared_ptr<const RequestLabels> labels_;
  uint32_t listeners_;
  uint32_t routes_;
  std::vector<Slot> slots_;
  size_t mask_;
  size_t used_ = 0;
};

}  // namespace sluice::metrics
