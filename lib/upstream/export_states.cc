// upstream_endpoint_state and its since: one series for each endpoint, of up to endpoint_series_max of them; the rest,
// those in use first, are counted under endpoint="other". See metrics.h.
#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "upstream/endpoint_state.h"
#include "upstream/metrics.h"

namespace sluice::upstream {
namespace {

struct Row {
  std::string name;
  EndpointState state;
};

// What a look at one upstream needs. The clock and the upstream outlive the series.
struct Source {
  std::shared_ptr<SharedUpstream> shared;
  EndpointSetPtr set;
  std::vector<SharedUpstream::Left> left;
  bool checks = false;
  const base::Clock& clock;
};

// Those that need a look first. Several endpoints may have one name (two names that lead to one address): it has one
// row, of the worst of them.
std::vector<Row> rows_of(const Source& source) {
  const base::Micros now = source.clock.now();
  std::vector<Row> rows;
  std::unordered_set<std::string_view> in_set;
  for (const EndpointEntry& e : source.set->entries) {
    rows.push_back({e.endpoint->name(), state_of(*e.endpoint, source.shared->ejections(), source.checks, now)});
    in_set.insert(e.endpoint->name());
  }
  for (const SharedUpstream::Left& one : source.left) {
    const auto endpoint = one.endpoint.lock();
    if (endpoint == nullptr || endpoint->connections() + endpoint->tunnels() == 0) continue;
    if (in_set.contains(endpoint->name())) continue;  // it is back
    const auto by = one.by_dns ? EndpointState::By::dns : EndpointState::By::the_operator;
    rows.push_back({endpoint->name(), {EndpointState::Is::leaving, by, one.at}});
  }
  const auto calm = [](const Row& row) {
    return row.state.is == EndpointState::Is::in_use || row.state.is == EndpointState::Is::unchecked;
  };
  std::ranges::sort(rows, [&](const Row& a, const Row& b) {
    return std::pair(calm(a), std::string_view(a.name)) < std::pair(calm(b), std::string_view(b.name));
  });
  std::unordered_set<std::string> seen;
  std::erase_if(rows, [&](const Row& row) { return !seen.insert(row.name).second; });
  return rows;
}

metrics::Sample sample_of(const Source& source, std::string_view endpoint, const EndpointState* state, double value) {
  metrics::Sample sample;
  sample.labels = {source.shared->name(), std::string(endpoint)};
  if (state != nullptr) {
    sample.labels.emplace_back(state_word(state->is));
    sample.labels.emplace_back(by_word(state->by));
  }
  sample.value = value;
  return sample;
}

void add_states(const Source& source, std::vector<metrics::Sample>& to) {
  std::map<std::pair<EndpointState::Is, EndpointState::By>, double> others;
  std::vector<metrics::Sample> samples;
  for (const Row& row : rows_of(source)) {
    if (samples.size() < endpoint_series_max) {
      samples.push_back(sample_of(source, row.name, &row.state, 1));
    } else {
      others[{row.state.is, row.state.by}] += 1;
    }
  }
  std::ranges::sort(samples, {}, &metrics::Sample::labels);
  for (const auto& [what, count] : others) {
    const EndpointState state{what.first, what.second, {}};
    samples.push_back(sample_of(source, metrics::overflow_label, &state, count));
  }
  std::ranges::move(samples, std::back_inserter(to));
}

void add_since(const Source& source, std::vector<metrics::Sample>& to) {
  const base::Micros zero = source.clock.wall() - source.clock.now();
  std::vector<metrics::Sample> samples;
  for (const Row& row : rows_of(source)) {
    if (samples.size() >= endpoint_series_max) break;
    samples.push_back(sample_of(source, row.name, nullptr, (zero + row.state.since).seconds()));
  }
  std::ranges::sort(samples, {}, &metrics::Sample::labels);
  std::ranges::move(samples, std::back_inserter(to));
}

void add_counts(const Source& source, std::vector<metrics::Sample>& to) {
  std::map<std::string_view, double> counts;
  for (unsigned i = 0; i < EndpointState::kinds; ++i) counts[state_word(static_cast<EndpointState::Is>(i))] = 0;
  for (const Row& row : rows_of(source)) counts[state_word(row.state.is)] += 1;
  for (const auto& [state, count] : counts) {
    metrics::Sample& sample = to.emplace_back();
    sample.labels = {source.shared->name(), std::string(state)};
    sample.value = count;
  }
}

double oldest_leaving(const Source& source) {
  const base::Micros now = source.clock.now();
  double oldest = 0;
  for (const SharedUpstream::Left& one : source.left) {
    const auto endpoint = one.endpoint.lock();
    if (endpoint == nullptr || endpoint->connections() + endpoint->tunnels() == 0) continue;
    oldest = std::max(oldest, (now - one.at).seconds());
  }
  return oldest;
}

}  // namespace

void export_states(metrics::Registry& registry, const std::shared_ptr<SharedUpstream>& shared,
                   const UpstreamOptions& options, const base::Clock& clock) {
  for (const EndpointEntry& e : shared->endpoints()->entries) e.endpoint->note_came(clock.now());
  const Source source{shared, shared->endpoints(), shared->left(), options.health.has_value(), clock};
  registry.listed(metrics::Name::upstream_endpoint_state, {shared->name(), "", "", ""},
                  [source](std::vector<metrics::Sample>& to) { add_states(source, to); });
  registry.listed(metrics::Name::upstream_endpoint_state_since_timestamp_seconds, {shared->name(), ""},
                  [source](std::vector<metrics::Sample>& to) { add_since(source, to); });
  registry.listed(metrics::Name::upstream_endpoints, {shared->name(), ""},
                  [source](std::vector<metrics::Sample>& to) { add_counts(source, to); });
  registry.computed(metrics::Name::upstream_oldest_leaving_seconds, {shared->name()},
                    [source] { return oldest_leaving(source); });
}

}  // namespace sluice::upstream
