// Families made by hand out of the Registry and given to prometheus-cpp's serializer, which knows the format.
#include "metrics/exposition.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "metrics/openmetrics.h"
#include "metrics/process.h"
#include "metrics/registry.h"

namespace sluice::metrics {
namespace {

// The serializer escapes label values, but not this.
std::string escaped_help(std::string_view help) {
  std::string text;
  for (const char c : help) {
    if (c == '\n') {
      text += "\\n";
    } else if (c == '\\') {
      text += "\\\\";
    } else {
      text += c;
    }
  }
  return text;
}

prometheus::MetricType type_of(Type type) {
  switch (type) {
    case Type::counter: return prometheus::MetricType::Counter;
    case Type::gauge: return prometheus::MetricType::Gauge;
    case Type::histogram: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

bool shows(const Definition& definition, uint64_t bound) {
  return bound <= definition.longest && std::ranges::binary_search(definition.bounds(), bound);
}

double seconds(uint64_t micros) { return static_cast<double>(micros) / 1e6; }

void fill_histogram(prometheus::ClientMetric::Histogram& to, const Sample& sample, const Definition& definition,
                    std::vector<Exemplar>& exemplars) {
  uint64_t count = 0;
  Exemplar newest;  // of those that fall into the bucket that is shown
  for (size_t i = 0; i < sample.buckets.size(); ++i) {
    count += sample.buckets[i];
    if (!sample.exemplars.empty() && sample.exemplars[i].at > newest.at) newest = sample.exemplars[i];
    const bool last = i + 1 == sample.buckets.size();
    if (!last && !shows(definition, Histogram::bounds[i])) continue;
    to.bucket.push_back({count, last ? std::numeric_limits<double>::infinity() : seconds(Histogram::bounds[i])});
    exemplars.push_back(std::exchange(newest, {}));
  }
  to.sample_count = count;
  to.sample_sum = seconds(sample.sum);
}

// `exemplars`: as the buckets of all its series, one after the other.
prometheus::MetricFamily family_of(const Definition& definition, std::vector<Sample>&& samples,
                                   std::vector<Exemplar>& exemplars) {
  prometheus::MetricFamily family{
      "sluice_" + std::string(definition.name), escaped_help(definition.help), type_of(definition.type), {}};
  family.metric.reserve(samples.size());
  for (Sample& sample : samples) {
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    for (size_t i = 0; i < sample.labels.size(); ++i)
      metric.label.push_back({std::string(definition.labels[i]), std::move(sample.labels[i])});
    switch (definition.type) {
      case Type::counter: metric.counter.value = sample.value; break;
      case Type::gauge: metric.gauge.value = sample.value; break;
      case Type::histogram: fill_histogram(metric.histogram, sample, definition, exemplars); break;
    }
  }
  return family;
}

void add_process(std::vector<prometheus::MetricFamily>& to) {
  const ProcessFacts facts = read_process();
  const auto add = [&to](const char* name, const char* help, double value) {
    prometheus::ClientMetric metric;
    metric.gauge.value = value;
    to.push_back({name, help, prometheus::MetricType::Gauge, {metric}});
  };
  prometheus::ClientMetric cpu;
  cpu.counter.value = facts.cpu_seconds;
  to.push_back({"process_cpu_seconds_total", "User and system CPU time.", prometheus::MetricType::Counter, {cpu}});
  add("process_resident_memory_bytes", "Resident memory.", static_cast<double>(facts.resident_bytes));
  add("process_virtual_memory_bytes", "Virtual memory.", static_cast<double>(facts.virtual_bytes));
  add("process_open_fds", "Open file descriptors.", static_cast<double>(facts.open_fds));
  add("process_max_fds", "Limit of open file descriptors.", static_cast<double>(facts.max_fds));
  add("process_start_time_seconds", "Start of the process, as Unix time.", facts.start_time);
  add("process_threads", "Threads of the process.", static_cast<double>(facts.threads));
}

}  // namespace

const char* content_type(Format format) {
  return format == Format::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                       : "text/plain; version=0.0.4; charset=utf-8";
}

std::string exposition(const Registry& registry, Format format) {
  std::vector<prometheus::MetricFamily> families;
  std::vector<Exemplar> exemplars;
  for (const Definition& definition : definitions) {
    std::vector<Sample> samples = registry.collect(definition.id);
    if (!samples.empty()) families.push_back(family_of(definition, std::move(samples), exemplars));
  }
  add_process(families);
  if (format == Format::openmetrics) return openmetrics_text(families, exemplars);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace sluice::metrics
