// Circuit: requests of one upstream that are in flight in the whole process, waiting ones included, against
// `[upstream.circuit] max_requests`. Nobody touches it while no limit is set. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace sluice::upstream {

class Circuit {
 public:
  // One request that was counted, until it dies or is moved from. The circuit outlives it.
  class Pass {
   public:
    Pass() = default;
    Pass(Pass&& o) noexcept : circuit_(std::exchange(o.circuit_, nullptr)) {}
    Pass& operator=(Pass&& o) noexcept {
      if (this != &o) {
        give_back();
        circuit_ = std::exchange(o.circuit_, nullptr);
      }
      return *this;
    }
    ~Pass() { give_back(); }
    explicit operator bool() const { return circuit_ != nullptr; }
    void give_back() {
      if (circuit_ != nullptr) leave();
    }

   private:
    void leave();
    friend class Circuit;
    explicit Pass(Circuit& circuit) : circuit_(&circuit) {}
    Circuit* circuit_ = nullptr;
  };

  // Empty: `limit` are in flight. Exact: never one more, and nobody is refused while one fits.
  Pass enter(std::uint32_t limit);
  Pass enter_past_limit();  // it was let in before
  std::uint32_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<std::uint32_t> in_flight_{0};
};

}  // namespace sluice::upstream
