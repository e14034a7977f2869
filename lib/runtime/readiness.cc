#include "runtime/readiness.h"

#include <algorithm>
#include <vector>

#include "base/log_event.h"

namespace sluice::runtime {

using exchange::Standing;

namespace {

constexpr base::Millis look_every = base::millis(20);

}  // namespace

Readiness::Readiness(ControlEnv& env, const Discovery& discovery, const Epochs& epochs)
    : env_(env),
      discovery_(discovery),
      epochs_(epochs),
      timer_(this, net::timer_call<&Readiness::look>),
      started_(env.loop.now()) {}

void Readiness::begin(base::Millis warm_timeout) {
  limit_ = started_ + base::Micros(warm_timeout);
  timer_.arm(env_.loop, look_every);
}

void Readiness::look() {
  if (warm_) return;
  timer_.arm(env_.loop, look_every);
  if (!epochs_.everywhere(1)) return;
  tell();
  const bool resolved = discovery_.settled();
  if (env_.loop.now() >= limit_) {
    base::log_event(
        base::LogLevel::warn, "ready_all_the_same",
        {{"after", "warm_timeout"},
         {"why", resolved ? "not every pool has its min_idle connections" : "DNS has not answered for every name"}});
    warm_ = true;
    return tell();
  }
  if (resolved && !asked_) ask_warm();
}

void Readiness::ask_warm() {
  asked_ = true;
  env_.crew.ask_all<char>([](Worker& worker) -> char { return worker.warm() ? 1 : 0; },
                          [this](const std::vector<char>& warm) {
                            asked_ = false;
                            warm_ = warm_ || std::ranges::all_of(warm, [](char one) { return one != 0; });
                            tell();
                          });
}

// Of those that come later the word is another room's.
void Readiness::tell() {
  std::atomic<Standing>& word = env_.shared.standing;
  if (word <= Standing::ready) word = now();
}

Standing Readiness::now() const {
  if (!epochs_.everywhere(1)) return Standing::starting;
  return warm_ ? Standing::ready : Standing::warming;
}

}  // namespace sluice::runtime
