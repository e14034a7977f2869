// Series by metric, cells by writer. A metric has its own lock, so a scrape that copies one holds up nobody but a
// thread that asks for a new series of just that one.
#include "metrics/registry.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "base/check.h"

namespace sluice::metrics {
namespace {

constexpr std::string_view overflow_label = "other";

std::string key_of(Labels labels) {
  std::string key;
  for (const std::string_view label : labels) {
    key += label;
    key += '\0';  // sorts shorter values first
  }
  return key;
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

struct Registry::Series {
  std::vector<std::string> labels;
  std::vector<void*> cells;  // by writer, of the kind that the family's type says; nullptr = none yet
  std::function<double()> read;  // computed()

  template <class Cell, class Each>
  void each(Each&& visit) const {
    for (size_t writer = 0; writer < cells.size(); ++writer) {
      if (cells[writer] != nullptr) visit(*static_cast<Cell*>(cells[writer]), writer);
    }
  }
};

struct Registry::Family {
  explicit Family(const Definition& d) : definition(d) {}

  const Definition& definition;
  mutable std::mutex mutex;
  std::map<std::string, Series> live;  // by key_of; nodes never move
  std::map<std::string, Series> retired;
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
  std::vector<std::string> values(labels.begin(), labels.end());
  auto& place = gone(family.definition, values) ? family.retired : family.live;
  if (place.size() >= family.definition.series_max) {
    ++family.overflows;
    key.clear();
    for (size_t i = 0; i < labels.size(); ++i) key.append(overflow_label).push_back('\0');
    const auto [other, made] = family.live.try_emplace(key);
    if (made) other->second.labels.assign(labels.size(), std::string(overflow_label));
    return other->second;
  }
  Series& series = place[std::move(key)];
  series.labels = std::move(values);
  return series;
}

template <class Cell>
Cell& Registry::cell(Name name, Labels labels, unsigned writer) {
  CHECK(writer < writers_);
  Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  Series& series = find(f, labels);
  series.cells.resize(writers_);
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

void Registry::computed(Name name, Labels labels, std::function<double()> read) {
  CHECK(definition_of(name).type != Type::histogram);
  Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  find(f, labels).read = std::move(read);
}

// `visit` gets each family that has the label, under its lock, with the label's place.
template <class Visit>
void Registry::each_with(std::string_view label, Visit&& visit) {
  for (const auto& family : families_) {
    const size_t place = index_of(family->definition, label);
    if (place == family->definition.label_count()) continue;
    const std::lock_guard lock(family->mutex);
    visit(*family, place);
  }
}

bool Registry::gone(const Definition& definition, const std::vector<std::string>& labels) const {
  const std::lock_guard lock(gone_mutex_);
  if (gone_.empty()) return false;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (gone_.contains(name_of(definition.labels[i], labels[i]))) return true;
  }
  return false;
}

void Registry::retire(std::string_view label, const Values& values) {
  {
    const std::lock_guard lock(gone_mutex_);
    for (const std::string_view value : values) gone_.insert(name_of(label, value));
  }
  each_with(label, [&](Family& family, size_t place) {
    for (auto it = family.live.begin(); it != family.live.end();) {
      const auto here = it++;
      if (!values.contains(here->second.labels[place])) continue;
      here->second.read = nullptr;
      family.retired.insert(family.live.extract(here));
    }
  });
}

void Registry::revive(std::string_view label, const Values& values) {
  {
    const std::lock_guard lock(gone_mutex_);
    for (const std::string_view value : values) gone_.erase(name_of(label, value));
  }
  each_with(label, [&](Family& family, size_t place) {
    for (auto it = family.retired.begin(); it != family.retired.end();) {
      const auto here = it++;
      if (!values.contains(here->second.labels[place]) || gone(family.definition, here->second.labels)) continue;
      family.live.insert(family.retired.extract(here));
    }
  });
}

void Registry::reclaim(std::string_view label, const Values& values) {
  {
    const std::lock_guard lock(gone_mutex_);
    for (const std::string_view value : values) gone_.erase(name_of(label, value));
  }
  each_with(label, [&](Family& family, size_t place) {
    std::erase_if(family.retired, [&](const auto& entry) {
      if (!values.contains(entry.second.labels[place])) return false;
      give_back(family.definition, entry.second);
      return true;
    });
  });
}

void Registry::remove(std::string_view label, std::string_view value, std::string_view label2, const Values& values2) {
  each_with(label, [&](Family& family, size_t place) {
    const size_t place2 = index_of(family.definition, label2);
    if (place2 == family.definition.label_count()) return;
    std::erase_if(family.live, [&](const auto& entry) {
      if (entry.second.labels[place] != value || !values2.contains(entry.second.labels[place2])) return false;
      give_back(family.definition, entry.second);
      return true;
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
    case Type::counter: series.each<Counter>(give); break;
    case Type::gauge: series.each<Gauge>(give); break;
    case Type::histogram: series.each<Histogram>(give); break;
  }
}

std::vector<Sample> Registry::collect(Name name) const {
  if (name == Name::metrics_series_overflow_total) return collect_overflow();
  const Family& f = family(name);
  std::vector<Sample> samples;
  const std::lock_guard lock(f.mutex);
  samples.reserve(f.live.size());
  for (const auto& [key, series] : f.live) {
    Sample& sample = samples.emplace_back();
    sample.labels = series.labels;
    switch (f.definition.type) {
      case Type::counter:
        series.each<Counter>([&](const Counter& c, size_t) { sample.value += static_cast<double>(c.value()); });
        break;
      case Type::gauge: series.each<Gauge>([&](const Gauge& g, size_t) { sample.value += g.value(); }); break;
      case Type::histogram:
        sample.buckets.resize(Histogram::buckets);
        series.each<Histogram>([&](const Histogram& h, size_t) {
          for (size_t i = 0; i < Histogram::buckets; ++i) sample.buckets[i] += h.bucket(i);
          sample.sum += h.sum();
        });
        break;
    }
    if (series.read) sample.value = series.read();
  }
  return samples;
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
  const Family& f = family(name);
  const std::lock_guard lock(f.mutex);
  return f.live.size();
}

}  // namespace sluice::metrics
