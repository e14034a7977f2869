// What the counters did in the last ten looks.
#include "runtime/activity.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::runtime;
using metrics::Name;
using Kind = ActivityKey::Kind;

base::Micros at(int seconds) { return base::Micros(base::seconds(100 + seconds)); }

ActivityCounts tries(double n) {
  ActivityCounts counts;
  counts[{Kind::upstream, "app"}][Figures::tries] = n;
  return counts;
}

TEST_CASE("one look knows nothing; then what came in between, for ten looks") {
  Activity activity;
  activity.add(at(0), tries(100));
  CHECK(activity.window().seconds == 0);
  CHECK(activity.window().counts.empty());
  activity.add(at(1), tries(130));
  CHECK(activity.window().seconds == 1);
  CHECK(activity.window().counts.at({Kind::upstream, "app"})[Figures::tries] == 30);
  for (int s = 2; s <= 10; ++s) activity.add(at(s), tries(130));
  CHECK(activity.window().seconds == 10);
  CHECK(activity.window().counts.size() == 1);
  activity.add(at(11), tries(130));
  CHECK(activity.window().counts.empty());
}

TEST_CASE("an upstream that left and came back with new cells counts nothing backwards") {
  Activity activity;
  activity.add(at(0), tries(1'000));
  activity.add(at(1), tries(10));
  CHECK(activity.window().counts.empty());
}

TEST_CASE("counted from the scrape's registry") {
  metrics::Registry registry(1);
  registry.counter(Name::upstream_tries_total, {"app", "first"}, 0).add(5);
  registry.counter(Name::upstream_tries_total, {"app", "retry"}, 0).add(2);
  registry.counter(Name::upstream_retries_total, {"app", "reset", "success"}, 0).add();
  registry.counter(Name::upstream_retries_total, {"app", "reset", "failed"}, 0).add();
  registry.counter(Name::upstream_retries_refused_total, {"app", "budget"}, 0).add(3);
  registry.counter(Name::upstream_retries_refused_total, {"app", "unsafe"}, 0).add(4);
  registry.counter(Name::upstream_errors_total, {"app", "no_local_port"}, 0).add(6);
  registry.counter(Name::worker_run_delay_seconds_total, {"0"}, 0).add(2'000'000);
  const ActivityCounts counts = count_activity(registry);
  const Figures& app = counts.at({Kind::upstream, "app"});
  CHECK(app[Figures::tries] == 7);
  CHECK(app[Figures::further_tries] == 2);
  CHECK(app[Figures::retries_ended] == 2);
  CHECK(app[Figures::retries_helped] == 1);
  CHECK(app[Figures::over_budget] == 3);
  CHECK(app[Figures::no_local_port] == 6);
  CHECK(counts.at({Kind::worker, "0"})[Figures::run_delay] == 2.0);
}

}  // namespace
