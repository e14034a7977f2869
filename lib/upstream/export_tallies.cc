// upstream_endpoint_requests_total and its like: what the workers' tallies and the checks say of each endpoint at the
// scrape. Bounded: the first endpoint_series_max of the set by name, the rest summed as "other". See metrics.h.
#include <array>
#include <iterator>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "upstream/metrics.h"

namespace sluice::upstream {
namespace {

using metrics::Name;

// Endpoints by the name that their series have. Several may have one: two names that lead to one address, and "other".
using Rows = std::map<std::string, std::vector<std::shared_ptr<const SharedEndpoint>>>;

// Of the second label: its value for each figure.
struct Figure {
  std::string_view label;
  double (*of)(const SharedEndpoint&);
};

template <class Each>
double summed(const SharedEndpoint& endpoint, Each&& each) {
  double sum = 0;
  for (const EndpointTally& tally : endpoint.tallies()) sum += static_cast<double>(each(tally));
  return sum;
}

template <std::size_t at>
double answers(const SharedEndpoint& e) {
  return summed(e, [](const EndpointTally& t) { return t.answers(at); });
}
template <EndpointTally::State state>
double connections(const SharedEndpoint& e) {
  return summed(e, [](const EndpointTally& t) { return t.connections(state); });
}
template <Health result>
double checks(const SharedEndpoint& e) {
  return static_cast<double>(e.checks(result).value());
}

constexpr std::array<Figure, EndpointTally::classes> by_class = {
    {{"1xx", answers<0>}, {"2xx", answers<1>}, {"3xx", answers<2>}, {"4xx", answers<3>}, {"5xx", answers<4>}}};
constexpr std::array<Figure, EndpointTally::states> by_state = {
    {{"active", connections<EndpointTally::State::active>},
     {"connecting", connections<EndpointTally::State::connecting>},
     {"idle", connections<EndpointTally::State::idle>},
     {"tunnel", connections<EndpointTally::State::tunnel>}}};
constexpr std::array<Figure, 2> by_result = {{{"failed", checks<Health::down>}, {"ok", checks<Health::up>}}};

struct Source {
  std::shared_ptr<SharedUpstream> shared;
  Rows rows;
  std::vector<SharedUpstream::Left> left;
};

void add(const Source& source, std::string_view endpoint, std::string_view label, double value,
         std::vector<metrics::Sample>& to) {
  metrics::Sample& sample = to.emplace_back();
  sample.labels = {source.shared->name(), std::string(endpoint)};
  if (!label.empty()) sample.labels.emplace_back(label);
  sample.value = value;
}

template <std::size_t count>
void add_figures(const Source& source, const std::array<Figure, count>& figures, std::vector<metrics::Sample>& to) {
  for (const auto& [name, endpoints] : source.rows) {
    for (const Figure& figure : figures) {
      double sum = 0;
      for (const auto& e : endpoints) sum += figure.of(*e);
      add(source, name, figure.label, sum, to);
    }
  }
}

void add_errors(const Source& source, std::vector<metrics::Sample>& to) {
  for (const auto& [name, endpoints] : source.rows) {
    std::map<std::string_view, double> errors;  // the words sort otherwise than the kinds
    for (unsigned i = 0; i < http::kinds; ++i) {
      const auto kind = static_cast<http::Kind>(i);
      double sum = 0;
      for (const auto& e : endpoints) sum += summed(*e, [kind](const EndpointTally& t) { return t.errors(kind); });
      if (sum != 0) errors[http::reason_word(kind)] += sum;
    }
    for (const auto& [reason, sum] : errors) add(source, name, reason, sum, to);
  }
}

void add_head_seconds(const Source& source, std::vector<metrics::Sample>& to) {
  for (const auto& [name, endpoints] : source.rows) {
    double micros = 0;
    for (const auto& e : endpoints) micros += summed(*e, [](const EndpointTally& t) { return t.head_micros(); });
    add(source, name, "", micros / 1e6, to);
  }
}

// Those of endpoints that left the set stand beside them, bounded likewise.
void add_connections(const Source& source, std::vector<metrics::Sample>& to) {
  add_figures(source, by_state, to);
  std::map<std::string, double> leaving;
  for (const SharedUpstream::Left& one : source.left) {
    const auto endpoint = one.endpoint.lock();
    if (endpoint == nullptr) continue;
    const double open = endpoint->connections() + endpoint->tunnels();
    if (open == 0) continue;
    const bool told = leaving.size() < endpoint_series_max || leaving.contains(endpoint->name());
    leaving[told ? endpoint->name() : std::string(metrics::overflow_label)] += open;
  }
  for (const auto& [name, open] : leaving) add(source, name, "leaving", open, to);
}

Rows rows_of(const EndpointSet& set) {
  Rows rows;
  for (const EndpointEntry& e : set.entries) {
    const bool told = rows.size() < endpoint_series_max || rows.contains(e.endpoint->name());
    rows[told ? e.endpoint->name() : std::string(metrics::overflow_label)].push_back(e.endpoint);
  }
  return rows;
}

}  // namespace

void export_tallies(metrics::Registry& registry, const std::shared_ptr<SharedUpstream>& shared, bool checked) {
  const auto source = std::make_shared<const Source>(Source{shared, rows_of(*shared->endpoints()), shared->left()});
  const std::string& name = shared->name();
  registry.listed(Name::upstream_endpoint_requests_total, {name, "", ""},
                  [source](std::vector<metrics::Sample>& to) { add_figures(*source, by_class, to); });
  registry.listed(Name::upstream_endpoint_errors_total, {name, "", ""},
                  [source](std::vector<metrics::Sample>& to) { add_errors(*source, to); });
  registry.listed(Name::upstream_endpoint_head_seconds_total, {name, ""},
                  [source](std::vector<metrics::Sample>& to) { add_head_seconds(*source, to); });
  registry.listed(Name::upstream_endpoint_connections, {name, "", ""},
                  [source](std::vector<metrics::Sample>& to) { add_connections(*source, to); });
  registry.listed(Name::health_checks_total, {name, "", ""}, [source, checked](std::vector<metrics::Sample>& to) {
    if (checked) add_figures(*source, by_result, to);
  });
}

}  // namespace sluice::upstream
