// Leaving in order: deregister -> drain -> close -> exit, as a table of phases and one pure step function. No clock, no
// sockets: control asks it at every tick and does what the phase says.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "config/snapshot.h"

namespace sluice::runtime {

enum class DrainPhase : uint8_t {
  serving,  // 0
  deregistering,  // 1: /readyz says 503, everything is served as before
  draining,  // 2: listeners closed, connections end as they fall idle
  closing,  // 3: the deadline is over, what is left is cut
  gone,  // nothing is left: exit 0
};

// Who asks us to leave. A second time in the same way means "at once"; another way beside it changes nothing:
// Kubernetes runs a preStop hook, which may have called POST /drain, and sends SIGTERM then.
enum class Ask : uint8_t { terminate, interrupt, admin };

// What a phase means to the others.
struct PhaseRule {
  DrainPhase phase;
  std::string_view name;
  bool ready;  // /readyz 200 (if nothing else stands against it)
  bool listening;  // new connections are accepted
  bool keep_alive;  // connections may carry further requests
};
const PhaseRule& rule_of(DrainPhase phase);

class Drain {
 public:
  explicit Drain(const config::DrainOptions& options) : options_(options) {}

  // Leaves `serving`. Asked again in the same way: goes to `closing` at once.
  void begin(base::Micros now, Ask by);
  // Where we are at `now` with `left` connections of clients. Moves on by at most one phase per call.
  DrainPhase step(base::Micros now, uint64_t left);
  DrainPhase phase() const { return phase_; }
  base::Micros wait() const;  // how long /readyz says 503 before listeners close
  // Until the deadline; 0 while serving.
  base::Micros time_left(base::Micros now) const;
  void set_options(const config::DrainOptions& options) { options_ = options; }  // a reload; only while serving

  // What is cut at the deadline gets this long to leave (GOAWAY, RST), then the process goes.
  static constexpr base::Millis closing_time = base::seconds(1);

 private:
  config::DrainOptions options_;
  DrainPhase phase_ = DrainPhase::serving;
  uint8_t asked_ = 0;  // a bit for each Ask
  base::Micros began_{};
  base::Micros closing_since_{};
};

}  // namespace sluice::runtime
