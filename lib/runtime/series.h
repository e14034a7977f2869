// Series: metric series of what left the configuration leave the scrape at once; their cells go to others only when no worker
// writes them any more.
#pragma once

#include <cstdint>

#include "config/snapshot.h"
#include "net/timer.h"
#include "runtime/control_env.h"
#include "runtime/settling.h"

namespace sluice::runtime {

class Series {
 public:
  explicit Series(ControlEnv& env);
  // Those that `after` does not have any more.
  void retire(const config::Snapshot& before, const config::Snapshot& after);
  // Some were retired, by whomever: their cells are given to others when that is safe.
  void left();

 private:
  void ask();

  ControlEnv& env_;
  net::Timer timer_;
  Settling settling_;
};

}  // namespace sluice::runtime
