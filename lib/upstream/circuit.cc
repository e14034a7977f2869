// The count itself. See circuit.h.
#include "upstream/circuit.h"

#include "base/check.h"

namespace sluice::upstream {

void Circuit::Pass::leave() { CHECK(std::exchange(circuit_, nullptr)->in_flight_.fetch_sub(1) != 0); }

Circuit::Pass Circuit::enter(std::uint32_t limit) {
  std::uint32_t n = in_flight_.load();
  while (n < limit) {
    if (in_flight_.compare_exchange_weak(n, n + 1)) return Pass(*this);
  }
  return {};
}

Circuit::Pass Circuit::enter_past_limit() {
  in_flight_.fetch_add(1);
  return Pass(*this);
}

}  // namespace sluice::upstream
