#include "runtime/series.h"

#include <algorithm>
#include <string_view>

namespace sluice::runtime {
namespace {

constexpr base::Millis settle_every = base::seconds(1);     // after a change: do the workers still use what it replaced?

}  // namespace

Series::Series(ControlEnv& env) : env_(env), timer_(this, net::timer_call<&Series::ask>), settling_(env.crew.size()) {}

void Series::retire(const config::Snapshot& before, const config::Snapshot& after) {
  const auto gone = [&](std::string_view label, const auto& old_ones, const auto& new_ones) {
    for (const auto& old : old_ones) {
      const auto same = [&](const auto& one) { return one.name == old.name; };
      if (std::ranges::none_of(new_ones, same)) env_.registry.retire(label, old.name);
    }
  };
  gone("listener", before.listeners, after.listeners);
  gone("route", before.routes, after.routes);
  gone("upstream", before.upstreams, after.upstreams);
  left();
}

void Series::left() {
  settling_.changed();
  timer_.arm(env_.loop, settle_every);
}

void Series::ask() {
  env_.crew.to_all([this, round = settling_.ask()](Worker& worker) {
    env_.crew.to_control([this, round, settled = worker.settled()] {
      switch (settling_.answer(round, settled)) {
        case Settling::Verdict::open: break;
        case Settling::Verdict::settled: env_.registry.reclaim(); break;
        case Settling::Verdict::in_use: timer_.arm(env_.loop, settle_every); break;
      }
    });
  });
}

}  // namespace sluice::runtime
