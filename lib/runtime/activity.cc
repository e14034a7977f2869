#include "runtime/activity.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace sluice::runtime {
namespace {

using metrics::Name;
using Kind = ActivityKey::Kind;

// Adds each sample of a metric, whose first label is the subject, to the figures that `which` says of its labels.
template <class Which>
void add_all(const metrics::Registry& registry, Name name, Kind kind, ActivityCounts& to, Which&& which) {
  for (const metrics::Sample& sample : registry.collect(name)) {
    const std::string subject = sample.labels.empty() ? std::string() : sample.labels.front();
    which(sample.labels, [&](Figures::Of what) { to[{kind, subject}][what] += sample.value; });
  }
}

}  // namespace

Figures& Figures::operator+=(const Figures& other) {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += other.sums[i];
  return *this;
}

Figures Figures::operator-(const Figures& before) const {
  Figures rest;
  for (std::size_t i = 0; i < sums.size(); ++i) rest.sums[i] = std::max(sums[i] - before.sums[i], 0.0);
  return rest;
}

ActivityCounts count_activity(const metrics::Registry& registry) {
  ActivityCounts all;
  const auto is = [&](Figures::Of what) { return [what](const auto&, const auto& add) { add(what); }; };
  add_all(registry, Name::upstream_tries_total, Kind::upstream, all, [](const auto& labels, const auto& add) {
    add(Figures::tries);
    if (labels[1] == "retry") add(Figures::further_tries);
  });
  add_all(registry, Name::upstream_retries_total, Kind::upstream, all, [](const auto& labels, const auto& add) {
    add(Figures::retries_ended);
    if (labels[2] == "success") add(Figures::retries_helped);
  });
  add_all(registry, Name::upstream_retries_refused_total, Kind::upstream, all, [](const auto& labels, const auto& add) {
    if (labels[1] == "budget") add(Figures::over_budget);
  });
  add_all(registry, Name::upstream_errors_total, Kind::upstream, all, [](const auto& labels, const auto& add) {
    if (labels[1] == "no_local_port") add(Figures::no_local_port);
    if (labels[1] == "no_descriptor") add(Figures::no_descriptor);
    if (labels[1] == "connect_timeout") add(Figures::connect_timeouts);
  });
  add_all(registry, Name::worker_run_delay_seconds_total, Kind::worker, all, is(Figures::run_delay));
  add_all(registry, Name::worker_busy_seconds_total, Kind::worker, all, is(Figures::busy));
  add_all(registry, Name::cpu_throttled_seconds_total, Kind::process, all, is(Figures::throttled));
  return all;
}

void Activity::add(base::Micros at, ActivityCounts counted) {
  if (begun_) {
    Look look{at - at_, {}};
    for (const auto& [key, figures] : counted) {
      const auto before = last_.find(key);
      const Figures came = before == last_.end() ? figures : figures - before->second;
      if (!(came == Figures{})) look.came.emplace(key, came);
    }
    looks_.push_back(std::move(look));
    if (looks_.size() > looks_most) looks_.pop_front();
  }
  begun_ = true;
  at_ = at;
  last_ = std::move(counted);
}

ActivityWindow Activity::window() const {
  ActivityWindow window;
  for (const Look& look : looks_) {
    window.seconds += look.took.seconds();
    for (const auto& [key, figures] : look.came) window.counts[key] += figures;
  }
  return window;
}

}  // namespace sluice::runtime
