// The clock of the running process: two vDSO calls, no state.
#include "base/clock.h"

#include <ctime>

namespace sluice::base {
namespace {

Micros read(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return Micros{static_cast<int64_t>(t.tv_sec) * 1'000'000 + t.tv_nsec / 1000};
}

class SystemClock final : public Clock {
 public:
  Micros now() const override { return read(CLOCK_MONOTONIC); }
  Micros wall() const override { return read(CLOCK_REALTIME); }
};

}  // namespace

const Clock& steady_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace sluice::base
