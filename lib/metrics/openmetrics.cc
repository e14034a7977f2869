#include "metrics/openmetrics.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <string_view>
#include <unordered_set>

namespace sluice::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricType;

constexpr std::string_view total = "_total";

// As Go prints it, with a point in it: buckets are told apart by their text.
std::string number(double value) {
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (std::isnan(value)) return "NaN";
  std::string text = fmt::format("{}", value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

class Text {
 public:
  Text(const std::vector<prometheus::MetricFamily>& families, std::span<const Exemplar> exemplars)
      : exemplars_(exemplars) {
    for (const prometheus::MetricFamily& family : families) names_.insert(family.name);
  }
  void family(const prometheus::MetricFamily& family) {
    std::string_view name = family.name;
    MetricType type = family.type;
    // A counter's family is named without the suffix that its samples have. Where that is the name of another one
    // (downstream_connections, a gauge), it cannot say that it is a counter.
    if (type == MetricType::Counter) {
      const std::string_view base = name.substr(0, name.size() - total.size());
      names_.contains(base) ? void(type = MetricType::Untyped) : void(name = base);
    }
    const char* const word = type == MetricType::Counter     ? "counter"
                             : type == MetricType::Gauge     ? "gauge"
                             : type == MetricType::Histogram ? "histogram"
                                                             : "unknown";
    put("# HELP {} {}\n# TYPE {} {}\n", name, family.help, name, word);
    for (const ClientMetric& metric : family.metric) sample(name, family.type, type, metric);
  }
  std::string end() && { return std::move(text_) + "# EOF\n"; }

 private:
  template <class... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }

  // `value`: where it stands; `told`: what the family says of itself.
  void sample(std::string_view name, MetricType value, MetricType told, const ClientMetric& metric) {
    if (value == MetricType::Histogram) return histogram(name, metric);
    text_ += name;
    if (told == MetricType::Counter) text_ += total;
    labels(metric, "");
    put(" {}\n", number(value == MetricType::Counter ? metric.counter.value : metric.gauge.value));
  }
  void histogram(std::string_view name, const ClientMetric& metric) {
    for (const ClientMetric::Bucket& bucket : metric.histogram.bucket) {
      put("{}_bucket", name);
      labels(metric, number(bucket.upper_bound));
      put(" {}", bucket.cumulative_count);
      exemplar();
      text_ += '\n';
    }
    put("{}_count", name);
    labels(metric, "");
    put(" {}\n{}_sum", metric.histogram.sample_count, name);
    labels(metric, "");
    put(" {}\n", number(metric.histogram.sample_sum));
  }
  // Of the next bucket.
  void exemplar() {
    if (exemplars_.empty()) return;
    const Exemplar& one = exemplars_.front();
    exemplars_ = exemplars_.subspan(1);
    if (one.trace.empty()) return;
    put(" # {{trace_id=\"{}\"}} {} {:.3f}", one.trace, number(one.value.seconds()), one.at.seconds());
  }
  void labels(const ClientMetric& metric, std::string_view le) {
    if (metric.label.empty() && le.empty()) return;
    char before = '{';
    for (const ClientMetric::Label& label : metric.label) {
      put("{}{}=\"", before, label.name);
      value(label.value);
      text_ += '"';
      before = ',';
    }
    if (!le.empty()) put("{}le=\"{}\"", before, le);
    text_ += '}';
  }
  void value(std::string_view text) {
    for (const char c : text) {
      if (c == '\n') {
        text_ += "\\n";
      } else {
        if (c == '"' || c == '\\') text_ += '\\';
        text_ += c;
      }
    }
  }

  std::unordered_set<std::string_view> names_;
  std::span<const Exemplar> exemplars_;
  std::string text_;
};

}  // namespace

std::string openmetrics_text(const std::vector<prometheus::MetricFamily>& families,
                             std::span<const Exemplar> exemplars) {
  Text text(families, exemplars);
  for (const prometheus::MetricFamily& family : families) text.family(family);
  return std::move(text).end();
}

}  // namespace sluice::metrics
