// Looks at the connections of addresses that left until there are none. See departures.h.
#include "runtime/departures.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace sluice::runtime {
namespace {

std::uint64_t connections(const Departures::Endpoints& endpoints) {
  std::uint64_t sum = 0;
  for (const auto& e : endpoints) sum += e->connections() + e->tunnels();
  return sum;
}

}  // namespace

struct Departures::Open {
  std::uint64_t count() const {
    const std::lock_guard lock(mutex);
    std::uint64_t sum = 0;
    for (const auto& change : changes) sum += connections(change->endpoints);
    return sum;
  }
  mutable std::mutex mutex;   // over the list; the scrape reads it
  std::vector<std::shared_ptr<Change>> changes;
};

void Departures::Change::applied() {
  if (workers_to_go > 0) --workers_to_go;
}

Departures::Departures(net::Loop& loop, metrics::Registry& registry)
    : loop_(loop), registry_(registry), timer_(this, net::timer_call<&Departures::look>) {}

Departures::~Departures() = default;

void Departures::watch(const std::string& upstream) {
  std::shared_ptr<Open>& open = open_[upstream];
  if (open == nullptr) open = std::make_shared<Open>();
  registry_.computed(metrics::Name::upstream_connections_leaving, {upstream},
                     [open] { return static_cast<double>(open->count()); });
}

void Departures::forget(const std::string& upstream) { open_.erase(upstream); }

std::shared_ptr<Departures::Change> Departures::begin(const std::string& upstream, Endpoints endpoints,
                                                      base::Micros changed, std::uint32_t workers) {
  auto change = std::make_shared<Change>();
  change->changed = changed;
  change->workers_to_go = workers;
  change->endpoints = std::move(endpoints);
  if (open_.find(upstream) == open_.end()) watch(upstream);
  Open& open = *open_[upstream];
  {
    const std::lock_guard lock(open.mutex);
    open.changes.push_back(change);
  }
  timer_.arm(loop_, look_first);
  return change;
}

void Departures::look() {
  const base::Micros now = loop_.now();
  std::int64_t youngest = std::numeric_limits<std::int64_t>::max();
  for (auto& [upstream, open] : open_) {
    std::vector<base::Micros> over;
    {
      const std::lock_guard lock(open->mutex);
      std::erase_if(open->changes, [&](const std::shared_ptr<Change>& change) {
        if (change->workers_to_go == 0 && connections(change->endpoints) == 0) {
          over.push_back(now - change->changed);
          return true;
        }
        youngest = std::min(youngest, (now - change->changed).count);
        return false;
      });
    }
    for (const base::Micros took : over) {
      registry_.histogram(metrics::Name::dns_propagation_seconds, {upstream}, registry_.control()).observe(took);
    }
  }
  if (youngest == std::numeric_limits<std::int64_t>::max()) return;
  timer_.arm(loop_, std::clamp(base::Millis{youngest / 1'000 / look_share}, look_first, look_most));
}

}  // namespace sluice::runtime
