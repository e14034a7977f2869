#include "runtime/leaving.h"

#include "base/log_event.h"

namespace sluice::runtime {
namespace {

constexpr base::Millis tick_every = base::millis(20);

}  // namespace

Leaving::Leaving(ControlEnv& env, Registration& registration, const config::DrainOptions& options)
    : env_(env), registration_(registration), timer_(this, net::timer_call<&Leaving::tick>), drain_(options) {}

void Leaving::begin(Ask by) {
  const DrainPhase before = drain_.phase();
  drain_.begin(env_.loop.now(), by);
  if (drain_.phase() != before) enter(drain_.phase());
  tick();
}

void Leaving::tick() {
  const DrainPhase before = drain_.phase();
  const DrainPhase now = drain_.step(env_.loop.now(), connections_left());
  env_.cells.drain(now, time_left(), connections_left());
  if (now != before) enter(now);
  if (now != DrainPhase::gone) timer_.arm(env_.loop, tick_every);
}

void Leaving::enter(DrainPhase phase) {
  base::log_event(base::LogLevel::info, "drain", {{"phase", rule_of(phase).name}, {"connections", connections_left()}});
  switch (phase) {
    case DrainPhase::serving: break;
    case DrainPhase::deregistering: registration_.drain_begins(); break;
    case DrainPhase::draining:
      registration_.wait_is_over(drain_.wait());
      tell_workers();
      break;
    case DrainPhase::closing:
      registration_.wait_is_over(drain_.wait());
      tell_workers();
      env_.crew.to_all([](Worker& worker) { worker.abort_all(); });
      break;
    case DrainPhase::gone: env_.loop.stop(); break;
  }
}

void Leaving::tell_workers() {
  env_.crew.to_all([this](Worker& worker) { worker.leave([this] { env_.crew.to_control([this] { ++closed_; }); }); });
}

// A listener's accept queue may hold connections that no count shows yet, so "nothing is left" needs every worker's
// word that its listeners are closed.
uint64_t Leaving::connections_left() const {
  const bool listening = drain_.phase() != DrainPhase::serving && closed_ < env_.crew.size();
  return uint64_t{env_.shared.places.taken.load()} + (listening ? 1 : 0);
}

}  // namespace sluice::runtime
