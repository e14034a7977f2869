// Leaving: the process's end in order, as Drain's phases say: the workers are told, what is left is counted, and at
// last the loop is stopped.
#pragma once

#include <cstdint>

#include "net/timer.h"
#include "runtime/control_env.h"
#include "runtime/drain.h"
#include "runtime/registration.h"

namespace sluice::runtime {

class Leaving {
 public:
  Leaving(ControlEnv& env, Registration& registration, const config::DrainOptions& options);
  // Begins to leave. Asked again in the same way: at once.
  void begin(Ask by);
  DrainPhase phase() const { return drain_.phase(); }
  base::Micros time_left() const { return drain_.time_left(env_.loop.now()); }
  void set_options(const config::DrainOptions& options) { drain_.set_options(options); }  // only while serving

 private:
  void tick();
  void enter(DrainPhase phase);
  void tell_workers();
  uint64_t connections_left() const;

  ControlEnv& env_;
  Registration& registration_;
  net::Timer timer_;
  Drain drain_;
  uint32_t closed_ = 0;  // workers whose listeners are closed
};

}  // namespace sluice::runtime
