// Registration: whether balancers shall send us traffic. POST /deregister makes a lame duck of the process: /readyz
// says 503, everything is served as before, and answers of HTTP/1 tell their clients to go (Connection: close); POST
// /register undoes it. A drain does the same for good. What comes all the same is counted, and told at the end.
#pragma once

#include <functional>
#include <string>

#include "runtime/arrivals.h"
#include "runtime/control_env.h"
#include "runtime/readiness.h"

namespace sluice::runtime {

class Registration {
 public:
  Registration(ControlEnv& env, const Readiness& readiness) : env_(env), readiness_(readiness) {}
  // Before a drain has begun. Each again: nothing. `done` is called when every worker knows.
  void deregister(std::function<void()> done);
  void register_again(std::function<void()> done);
  bool registered() const { return registered_; }
  base::Micros deregistered_for() const;  // 0 while registered
  // A drain: it begins, and its deregister_wait of at most `wait` is over.
  void drain_begins();
  void wait_is_over(base::Micros wait);

 private:
  void withdraw();
  void when_all_know(std::function<void()> done);
  void tell(std::string (*words)(const Wait& wait, const Arrivals::Counts& came), const Wait& wait);

  ControlEnv& env_;
  const Readiness& readiness_;
  bool registered_ = true;
  bool awaited_ = false;  // the wait of a drain runs
  base::Micros since_{};  // /readyz says 503
  base::Micros drain_began_{};
};

}  // namespace sluice::runtime
