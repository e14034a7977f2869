// Registry: all series of the process. Every worker, and control, has its own cell of a series; the scrape sums them.
// Owned by the process's top (control); shared by all threads. Finding or making a cell takes the lock of its metric,
// so it is done when a configuration arrives or a label value shows up for the first time, never per request: keep the
// reference.
#pragma once

#include <array>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "metrics/cell.h"
#include "metrics/exemplars.h"
#include "metrics/names.h"

namespace sluice::metrics {

// Label values in the order of the definition; as many as it has labels.
using Labels = std::initializer_list<std::string_view>;

// The value of every label of what is too much to be told apart.
inline constexpr std::string_view overflow_label = "other";

// What stands for a value that is empty: Prometheus would drop the label, and the series would pass for another one.
inline constexpr std::string_view no_value = "none";

// One series, summed over its writers, as the exposition wants it.
struct Sample {
  std::vector<std::string> labels;
  double value = 0;  // counter, gauge
  std::vector<uint64_t> buckets;  // histogram: not cumulative, as Histogram::bounds, +Inf last
  uint64_t sum = 0;  // histogram: microseconds
  std::vector<Exemplar> exemplars;  // as buckets, or empty
};

class Registry {
 public:
  static constexpr size_t locked_series = 512;  // looked at before the lock of a metric is given to others

  // Writers 0..workers-1 are the worker threads, writer `workers` is control().
  explicit Registry(unsigned workers);
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry();

  unsigned control() const { return writers_ - 1; }

  // The cell of one writer, made at the first call; only that writer's thread may change it. Its address stays until
  // reclaim() or remove(). Of a name that is retired it is made too, but does not stand in the scrape: an old request
  // ends. Beyond the metric's series_max every new series is the one whose labels are all "other". Writers that must
  // not differ for a gauge (a value set, not a share added) agree on one of them.
  Counter& counter(Name name, Labels labels, unsigned writer);
  Gauge& gauge(Name name, Labels labels, unsigned writer);
  Histogram& histogram(Name name, Labels labels, unsigned writer);
  // Beside the histogram of that writer, which was asked for before, and as long.
  Exemplars& exemplars(Name name, Labels labels, unsigned writer);
  // The series stands in the scrape from now on, at zero, before any writer asks for its cell: a rate over a series
  // that only now appears misses its first event.
  void declare(Name name, Labels labels);

  // A gauge or counter computed at each scrape, on the scrape's thread: `read` must be thread-safe, quick, and not call
  // the Registry. A second call for the same labels replaces the first. After retire() has returned it is not called
  // any more.
  void computed(Name name, Labels labels, std::function<double()> read);

  // Likewise several gauges or counters of one metric, whose labels are known only at the scrape: `list` adds them,
  // sorted, in the place of the series of these labels (those that are not known are ""). It bounds their number
  // itself.
  void listed(Name name, Labels labels, std::function<void(std::vector<Sample>&)> list);

  using Values = std::unordered_set<std::string_view>;
  // A reload dropped what `label` = one of `values` stood for ("upstream", "app"): these series leave the scrape, and
  // those without cells (computed, declared) are gone. Cells stay valid, as old requests still count into them. One
  // look at each series, however many leave, in spans of locked_series: nobody who needs a cell meanwhile waits for
  // more. Likewise the next two, and collect().
  void retire(std::string_view label, const Values& values);
  // What was retired is there again, with its counts; before its cells are asked for.
  void revive(std::string_view label, const Values& values);
  // What was retired is used by no thread any more, and none will ask for it: its cells go to others.
  void reclaim(std::string_view label, const Values& values);
  // At once: series of which no thread but the caller's holds a cell (computed ones, control's own). Those with both
  // labels.
  void remove(std::string_view label, std::string_view value, std::string_view label2, const Values& values2);
  void remove(Name name, Labels labels);

  // All series of a metric, sorted by labels. Any thread.
  std::vector<Sample> collect(Name name) const;
  size_t series(Name name) const;  // live ones
  size_t retired() const;  // of all metrics: those whose cells are not given back yet
  // Cells that somebody has written since reclaim() took them: a fault, whoever gets them next counts wrongly. A debug
  // build ends where they are written (cell.h). For tests.
  size_t written_after_reclaim() const;

 private:
  struct Series;
  struct Family;
  struct Pools;
  Family& family(Name name) const;
  Series& find(Family& family, Labels labels) const;
  template <class Cell>
  Cell& cell(Name name, Labels labels, unsigned writer);
  std::vector<Sample> collect_overflow() const;
  void collect_exemplars(const Series& series, Sample& to) const;
  bool gone(const Definition& definition, std::string_view key) const;
  void give_back(const Definition& definition, const Series& series);
  template <class Visit>
  void each_with(std::string_view label, Visit&& visit);

  unsigned writers_;
  std::array<std::unique_ptr<Family>, names> families_;
  mutable std::mutex gone_mutex_;  // taken inside a Family's
  std::unordered_set<std::string> gone_;  // label and value of all that is retired
  std::vector<std::unique_ptr<Pools>> pools_;  // by writer
};

}  // namespace sluice::metrics
