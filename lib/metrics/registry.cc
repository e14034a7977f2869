// Series by metric, cells by writer. A metric has its own lock, so a scrape that copies one holds up nobody but a
// thread that asks for a new series of just that one.
#include "metrics/registry.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "base/check.h"

namespace sluice::metrics {
namespace {

std::string key_of(Labels labels) {
  std::string key;
  for (const std::string_view label : labels) {
    key += label.empty() ? no_value : label;
    key += '\0';  // sorts shorter values first
  }
  return key;
}

// The values in a key, in their order.
template <class Each>
void each_value(std::string_view key, Each&& visit) {
  for (size_t i = 0; !key.empty(); ++i) {
    const size_t end = key.find('\0');
    visit(i, key.substr(0, end));
    key.remove_prefix(end + 1);
  }
}

std::string_view value_at(std::string_view key, size_t place) {
  std::string_view found;
  each_value(key, [&](size_t i, std::string_view value) {
    if (i == place) found = value;
  });
  return found;
}

// What stands for one name in the set of those that are gone.
std::string name_of(std::string_view label, std::string_view value) {
  std::string name(label);
  name.push_back('\0');
  return name.append(value);
}

// The place of that label; label_count(): the metric has none of that name.
size_t index_of(const Definition& definition, std::string_view label) {
  size_t i = 0;
  while (i < definition.label_count() && definition.labels[i] != label) ++i;
  return i;
}

// Cells of one kind for one writer. Chunks are aligned to cache lines, so writers never share one.
template <class Cell, size_t chunk_cells>
class Pool {
 public:
  Cell& take() {
    if (!free_.empty()) {
      Cell* cell = free_.back();
      free_.pop_back();
      cell->clear();
      return *cell;
    }
    if (used_ == chunk_cells || chunks_.empty()) {
      chunks_.push_back(std::make_unique<Chunk>());
      used_ = 0;
    }
    return chunks_.back()->cells[used_++];
  }
  void give(Cell& cell) {
    cell.give_back();
    free_.push_back(&cell);
  }
  size_t touched() const {
    return static_cast<size_t>(std::ranges::count_if(free_, [](const Cell* cell) { return !cell->given_back(); }));
  }

 private:
  struct alignas(64) Chunk {
    std::array<Cell, chunk_cells> cells;
  };
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<Cell*> free_;
  size_t used_ = 0;
};

// A mutex that goes to who waits for it before it goes to who has just let go: who walks in spans takes it again at
// once, and would always win.
class FairMutex {
 public:
  void lock() {
    const std::lock_guard next(next_);
    held_.lock();
  }
  void unlock() { held_.unlock(); }

 private:
  std::mutex next_;  // to whom it goes next
  std::mutex held_;
};

}  // namespace

struct Registry::Pools {
  std::mutex mutex;  // taken inside a Family's
  Pool<Counter, 64> counters;
  Pool<Gauge, 64> gauges;
  Pool<Histogram, 16> histograms;

  auto& of(const Counter*) { return counters; }
  auto& of(const Gauge*) { return gauges; }
  auto& of(const Histogram*) { return histograms; }
};

// Small: a large configuration has hundreds of thousands. Its labels are its key.
struct Registry::Series {
  struct Computed {  // one of both
    std::function<double()> value;
    std::function<void(std::vector<Sample>&)> list;
  };
  std::unique_ptr<void*[]> cells;  // by writer, of the kind that the family's type says; nullptr = none yet
  std::unique_ptr<const Computed> read;
  std::vector<std::unique_ptr<Exemplars>> exemplars;  // by writer, or empty

  template <class Cell, class Each>
  void each(unsigned writers, Each&& visit) const {
    if (cells == nullptr) return;
    for (unsigned writer = 0; writer < writers; ++writer) {
      if (cells[writer] != nullptr) visit(*static_cast<Cell*>(cells[writer]), writer);
    }
  }
};

struct Registry::Family {
  using Map = std::map<std::string, Series, std::less<>>;  // by key_of; nodes never move
  explicit Family(const Definition& d) : definition(d) {}

  // All of `map`, in spans; what is there from the first to the last is visited once. `visit(here)` may take it out.
  template <class Visit>
  void each(Map& map, Visit&& visit) {
    std::string last;
    std::unique_lock lock(mutex);
    for (auto it = map.begin(); it != map.end();) {
      for (size_t n = 0; n < locked_series && it != map.end(); ++n) {
        const auto here = it++;
        if (n + 1 == locked_series) last = here->first;
        visit(here);
      }
      if (it == map.end()) return;
      lock.unlock();
      lock.lock();
      it = map.upper_bound(last);
    }
  }

  const Definition& definition;
  FairMutex mutex;
  Map live;
  Map retired;
  uint64_t overflows = 0;
};

Registry::Registry(unsigned workers) : writers_(workers + 1) {
  for (unsigned i = 0; i < names; ++i) families_[i] = std::make_unique<Family>(definitions[i]);
  for (unsigned i = 0; i < writers_; ++i) pools_.push_back(std::make_unique<Pools>());
}

Registry::~Registry() = default;

Registry::Family& Registry::family(Name name) const { return *families_[static_cast<unsigned>(name)]; }

// Under the family's lock.
Registry::Series& Registry::find(Family& family, Labels labels) const {
  CHECK(labels.size() == family.definition.label_count());
  std::string key = key_of(labels);
  if (const auto found = family.live.find(key); found != family.live.end()) return found->second;
  if (const auto found = family.retired.find(key); found != family.retired.end()) return found->second;
  auto& place = gone(family.definition, key) ? family.retired : family.live;
  if (place.size() >= family.definition.series_max) {
    ++family.overflows;
    key.clear();
    for (size_t i = 0; i < labels.size(); ++i) key.append(overflow_label).push_back('\0');
    return family.live[std::move(key)];
  }
  return place[std::move(key)];
}

template <class Cell>
Cell& Registry::cell(Name name, Labels labels, unsigned writer) {
  CHECK(writer < writers_);
  Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  Series& series = find(f, labels);
  if (series.cells == nullptr) series.cells = std::make_unique<void*[]>(writers_);
  if (series.cells[writer] == nullptr) {
    Pools& pools = *pools_[writer];
    const std::lock_guard pools_lock(pools.mutex);
    series.cells[writer] = &pools.of(static_cast<Cell*>(nullptr)).take();
  }
  return *static_cast<Cell*>(series.cells[writer]);
}

Counter& Registry::counter(Name name, Labels labels, unsigned writer) {
  CHECK(definition_of(name).type == Type::counter);
  return cell<Counter>(name, labels, writer);
}

Gauge& Registry::gauge(Name name, Labels labels, unsigned writer) {
  CHECK(definition_of(name).type == Type::gauge);
  return cell<Gauge>(name, labels, writer);
}

Histogram& Registry::histogram(Name name, Labels labels, unsigned writer) {
  CHECK(definition_of(name).type == Type::histogram);
  return cell<Histogram>(name, labels, writer);
}

Exemplars& Registry::exemplars(Name name, Labels labels, unsigned writer) {
  Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  Series& series = find(f, labels);
  series.exemplars.resize(writers_);
  std::unique_ptr<Exemplars>& cell = series.exemplars[writer];
  if (cell == nullptr) cell = std::make_unique<Exemplars>();
  return *cell;
}

void Registry::declare(Name name, Labels labels) {
  Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  find(f, labels);
}

void Registry::computed(Name name, Labels labels, std::function<double()> read) {
  CHECK(definition_of(name).type != Type::histogram);
  auto reader = std::make_unique<const Series::Computed>(Series::Computed{std::move(read), {}});
  Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  find(f, labels).read.swap(reader);
}

void Registry::listed(Name name, Labels labels, std::function<void(std::vector<Sample>&)> list) {
  CHECK(definition_of(name).type != Type::histogram);
  auto reader = std::make_unique<const Series::Computed>(Series::Computed{{}, std::move(list)});
  Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  find(f, labels).read.swap(reader);
}

// `visit` gets each family that has the label, with the label's place.
template <class Visit>
void Registry::each_with(std::string_view label, Visit&& visit) {
  for (const auto& family : families_) {
    const size_t place = index_of(family->definition, label);
    if (place != family->definition.label_count()) visit(*family, place);
  }
}

bool Registry::gone(const Definition& definition, std::string_view key) const {
  const std::lock_guard lock(gone_mutex_);
  if (gone_.empty()) return false;
  bool found = false;
  each_value(key, [&](size_t i, std::string_view value) {
    found = found || gone_.contains(name_of(definition.labels[i], value));
  });
  return found;
}

void Registry::retire(std::string_view label, const Values& values) {
  {
    const std::lock_guard lock(gone_mutex_);
    for (const std::string_view value : values) gone_.insert(name_of(label, value));
  }
  each_with(label, [&](Family& family, size_t place) {
    family.each(family.live, [&](auto here) {
      if (!values.contains(value_at(here->first, place))) return;
      if (here->second.cells == nullptr) {
        family.live.erase(here);
      } else {
        here->second.read = nullptr;
        family.retired.insert(family.live.extract(here));
      }
    });
  });
}

void Registry::revive(std::string_view label, const Values& values) {
  {
    const std::lock_guard lock(gone_mutex_);
    for (const std::string_view value : values) gone_.erase(name_of(label, value));
  }
  each_with(label, [&](Family& family, size_t place) {
    family.each(family.retired, [&](auto here) {
      if (!values.contains(value_at(here->first, place)) || gone(family.definition, here->first)) return;
      if (here->second.cells == nullptr) {
        family.retired.erase(here);  // computed of what it was: whoever is there again says anew what is computed
      } else {
        family.live.insert(family.retired.extract(here));
      }
    });
  });
}

void Registry::reclaim(std::string_view label, const Values& values) {
  {
    const std::lock_guard lock(gone_mutex_);
    for (const std::string_view value : values) gone_.erase(name_of(label, value));
  }
  each_with(label, [&](Family& family, size_t place) {
    family.each(family.retired, [&](auto here) {
      if (!values.contains(value_at(here->first, place))) return;
      give_back(family.definition, here->second);
      family.retired.erase(here);
    });
  });
}

void Registry::remove(std::string_view label, std::string_view value, std::string_view label2, const Values& values2) {
  each_with(label, [&](Family& family, size_t place) {
    const size_t place2 = index_of(family.definition, label2);
    if (place2 == family.definition.label_count()) return;
    family.each(family.live, [&](auto here) {
      if (value_at(here->first, place) != value || !values2.contains(value_at(here->first, place2))) return;
      give_back(family.definition, here->second);
      family.live.erase(here);
    });
  });
}

void Registry::remove(Name name, Labels labels) {
  Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  const auto found = f.live.find(key_of(labels));
  if (found == f.live.end()) return;
  give_back(f.definition, found->second);
  f.live.erase(found);
}

void Registry::give_back(const Definition& definition, const Series& series) {
  const auto give = [this](auto& cell, size_t writer) {
    Pools& pools = *pools_[writer];
    const std::lock_guard pools_lock(pools.mutex);
    pools.of(&cell).give(cell);
  };
  switch (definition.type) {
    case Type::counter: series.each<Counter>(writers_, give); break;
    case Type::gauge: series.each<Gauge>(writers_, give); break;
    case Type::histogram: series.each<Histogram>(writers_, give); break;
  }
}

std::vector<Sample> Registry::collect(Name name) const {
  if (name == Name::metrics_series_overflow_total) return collect_overflow();
  Family& f = family(name);
  std::vector<Sample> samples;
  f.each(f.live, [&](auto here) {
    const Series& series = here->second;
    if (series.read != nullptr && series.read->list) return series.read->list(samples);
    Sample& sample = samples.emplace_back();
    each_value(here->first, [&](size_t, std::string_view value) { sample.labels.emplace_back(value); });
    switch (f.definition.type) {
      case Type::counter:
        series.each<Counter>(writers_,
                             [&](const Counter& c, unsigned) { sample.value += static_cast<double>(c.value()); });
        break;
      case Type::gauge:
        series.each<Gauge>(writers_, [&](const Gauge& g, unsigned) { sample.value += g.value(); });
        break;
      case Type::histogram:
        sample.buckets.resize(Histogram::buckets);
        series.each<Histogram>(writers_, [&](const Histogram& h, unsigned) {
          for (size_t i = 0; i < Histogram::buckets; ++i) sample.buckets[i] += h.bucket(i);
          sample.sum += h.sum();
        });
        collect_exemplars(series, sample);
        break;
    }
    if (f.definition.counts_time()) sample.value /= 1e6;
    if (series.read != nullptr) sample.value = series.read->value();
  });
  return samples;
}

// Of each bucket the newest one.
void Registry::collect_exemplars(const Series& series, Sample& to) const {
  if (series.exemplars.empty()) return;
  to.exemplars.resize(Histogram::buckets);
  for (const auto& of_writer : series.exemplars) {
    for (size_t i = 0; of_writer != nullptr && i < Histogram::buckets; ++i) {
      if (auto one = of_writer->read(i); one && one->at >= to.exemplars[i].at) to.exemplars[i] = *std::move(one);
    }
  }
}

std::vector<Sample> Registry::collect_overflow() const {
  std::vector<Sample> samples;
  for (const auto& family : families_) {
    const std::lock_guard lock(family->mutex);
    if (family->overflows == 0) continue;
    Sample& sample = samples.emplace_back();
    sample.labels = {std::string(family->definition.name)};
    sample.value = static_cast<double>(family->overflows);
  }
  return samples;
}

size_t Registry::retired() const {
  size_t count = 0;
  for (const auto& family : families_) {
    const std::lock_guard lock(family->mutex);
    count += family->retired.size();
  }
  return count;
}

size_t Registry::written_after_reclaim() const {
  size_t count = 0;
  for (const auto& pools : pools_) {
    const std::lock_guard lock(pools->mutex);
    count += pools->counters.touched() + pools->gauges.touched() + pools->histograms.touched();
  }
  return count;
}

size_t Registry::series(Name name) const {
  Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  return f.live.size();
}

}  // namespace sluice::metrics
