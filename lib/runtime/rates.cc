#include "runtime/rates.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice::runtime {
namespace {

using metrics::Histogram;

constexpr std::size_t route_label = 1;  // of requests_total
constexpr std::size_t code_label = 3;

std::uint64_t less(std::uint64_t now, std::uint64_t before) { return now < before ? 0 : now - before; }

Rate rate_of(const RouteCounts& counts, double seconds) {
  Rate rate;
  if (counts.requests == 0 || seconds <= 0) return rate;
  const auto all = static_cast<double>(counts.requests);
  rate.per_second = all / seconds;
  rate.failed = static_cast<double>(counts.failed) / all;
  rate.left = static_cast<double>(counts.left) / all;
  rate.cut = static_cast<double>(counts.cut) / all;
  const auto time = static_cast<double>(std::accumulate(counts.phase.begin(), counts.phase.end(), std::uint64_t{0}));
  for (std::size_t i = 0; time > 0 && i < exchange::phases; ++i)
    rate.phase[i] = static_cast<double>(counts.phase[i]) / time;
  rate.p50 = quantile(counts, 0.5);
  rate.p99 = quantile(counts, 0.99);
  return rate;
}

void count_cuts_and_phases(const metrics::Registry& registry, Counted& all) {
  for (const metrics::Sample& sample : registry.collect(metrics::Name::responses_cut_total))
    all[sample.labels[0]].cut += static_cast<std::uint64_t>(sample.value);
  for (const metrics::Sample& sample : registry.collect(metrics::Name::request_phase_seconds_total)) {
    for (std::size_t i = 0; i < exchange::phases; ++i) {
      if (sample.labels[1] == exchange::phase_word(static_cast<exchange::Phase>(i)))
        all[sample.labels[0]].phase[i] += static_cast<std::uint64_t>(std::llround(sample.value * 1e6));
    }
  }
}

}  // namespace

RouteCounts& RouteCounts::operator+=(const RouteCounts& other) {
  requests += other.requests;
  failed += other.failed;
  left += other.left;
  cut += other.cut;
  for (std::size_t i = 0; i < phase.size(); ++i) phase[i] += other.phase[i];
  for (std::size_t i = 0; i < times.size(); ++i) times[i] += other.times[i];
  return *this;
}

RouteCounts RouteCounts::operator-(const RouteCounts& before) const {
  RouteCounts rest;
  rest.requests = less(requests, before.requests);
  rest.failed = less(failed, before.failed);
  rest.left = less(left, before.left);
  rest.cut = less(cut, before.cut);
  for (std::size_t i = 0; i < phase.size(); ++i) rest.phase[i] = less(phase[i], before.phase[i]);
  for (std::size_t i = 0; i < times.size(); ++i) rest.times[i] = less(times[i], before.times[i]);
  return rest;
}

Counted count_routes(const metrics::Registry& registry) {
  Counted all;
  for (const metrics::Sample& sample : registry.collect(metrics::Name::requests_total)) {
    RouteCounts& counts = all[sample.labels[route_label]];
    const auto n = static_cast<std::uint64_t>(sample.value);
    const std::string& code = sample.labels[code_label];
    counts.requests += n;
    if (code == "499") counts.left += n;
    if (code.size() == 3 && code.front() == '5') counts.failed += n;
  }
  for (const metrics::Sample& sample : registry.collect(metrics::Name::request_duration_seconds)) {
    RouteCounts& counts = all[sample.labels[0]];
    for (std::size_t i = 0; i < std::min(counts.times.size(), sample.buckets.size()); ++i)
      counts.times[i] += sample.buckets[i];
  }
  count_cuts_and_phases(registry, all);
  return all;
}

base::Micros quantile(const RouteCounts& counts, double share) {
  const auto all = std::accumulate(counts.times.begin(), counts.times.end(), std::uint64_t{0});
  double left = share * static_cast<double>(all);
  for (std::size_t i = 0; i < Histogram::bounds.size(); ++i) {
    const auto here = static_cast<double>(counts.times[i]);
    if (here < left || here == 0) {
      left -= here;
      continue;
    }
    const auto low = i == 0 ? 0.0 : static_cast<double>(Histogram::bounds[i - 1]);
    const auto high = static_cast<double>(Histogram::bounds[i]);
    return base::Micros{static_cast<std::int64_t>(low + (high - low) * left / here)};
  }
  return base::Micros{static_cast<std::int64_t>(Histogram::bounds.back())};  // above it nothing is known
}

void Rates::add(base::Micros at, Counted counted) {
  if (begun_) {
    Look look{at - at_, {}};
    for (const auto& [route, counts] : counted) {
      const auto before = last_.find(route);
      const RouteCounts came = before == last_.end() ? counts : counts - before->second;
      if (came.requests != 0) look.came.emplace(route, came);
    }
    looks_.push_back(std::move(look));
    if (looks_.size() > looks_most) looks_.pop_front();
  }
  begun_ = true;
  at_ = at;
  last_ = std::move(counted);
}

Counted Rates::window() const {
  Counted all;
  for (const Look& look : looks_) {
    for (const auto& [route, counts] : look.came) all[route] += counts;
  }
  return all;
}

double Rates::seconds() const {
  base::Micros all{};
  for (const Look& look : looks_) all = all + look.took;
  return all.seconds();
}

Rate Rates::all() const {
  RouteCounts sum;
  for (const auto& [route, counts] : window()) sum += counts;
  return rate_of(sum, seconds());
}

std::vector<std::pair<std::string, Rate>> Rates::routes(std::size_t most) const {
  std::vector<std::pair<std::string, Rate>> all;
  for (const auto& [route, counts] : window()) all.emplace_back(route, rate_of(counts, seconds()));
  std::ranges::stable_sort(all, [](const auto& a, const auto& b) { return a.second.per_second > b.second.per_second; });
  if (all.size() > most) all.resize(most);
  return all;
}

}  // namespace sluice::runtime
