#include "invariants.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sluice::house {
namespace {

using metrics::Name;

constexpr uint64_t look_closely_every = 512;
constexpr uint64_t look_every = 64;                // steps between two looks at what costs more

// What a turn may cost, in calls of malloc, with the few names and clients of a story: many times what it does (a
// handshake of TLS has hundreds). How it grows with the configuration is another question: large.cc.
constexpr uint64_t work_of_a_turn = 20'000;

constexpr std::array shares{Name::downstream_connections,       Name::requests_in_flight,
                            Name::upstream_connections,         Name::upstream_pool_waiting,
                            Name::upstream_connections_leaving, Name::upstream_endpoint_in_flight};

std::string labels_of(const metrics::Sample& sample) {
  std::string text;
  for (const std::string& label : sample.labels) text += (text.empty() ? "" : ", ") + label;
  return text;
}

}  // namespace

void Invariants::after_step() {
  note_ways();
  cap();
  turns();
  if (house_.steps() % look_every != 0) return;
  gauges();
  pools();
  if (house_.steps() % look_closely_every == 0) slots();
}

// A cap that was lowered is reached by what ends; until then nothing comes on top.
void Invariants::cap() {
  if (off("cap")) return;
  const uint32_t now = house_.connections();
  if (now > house_.shared.places.most && now > connections_) {
    throw Broken{fmt::format("{} clients at max_connections = {}", now, house_.shared.places.most.load())};
  }
  connections_ = now;
}

void Invariants::turns() {
  const House::Turn turn = house_.last_turn();
  if (off("turns") || turn.runner == House::Runner::helper || turn.work <= work_of_a_turn) return;
  throw Broken{fmt::format("a turn of {} took {} calls of malloc",
                           turn.runner == House::Runner::control ? "control" : "a worker", turn.work)};
}

void Invariants::gauges() const {
  if (off("gauges")) return;
  if (const size_t cells = house_.registry.written_after_reclaim(); cells != 0) {
    throw Broken{fmt::format("{} metric cells were written after they had been given back", cells)};
  }
  for (const Name name : shares) {
    for (const metrics::Sample& sample : house_.registry.collect(name)) {
      if (sample.value < 0) {
        throw Broken{fmt::format("{}{{{}}} = {}", metrics::definition_of(name).name, labels_of(sample), sample.value)};
      }
    }
  }
}

void Invariants::reloaded() {
  const config::Snapshot& snapshot = *house_.control->generation()->snapshot;
  if (off("taken")) return;
  if (house_.shared.places.most != snapshot.runtime.max_connections) {
    throw Broken{fmt::format("\"reloaded\", but max_connections is {}, not {}", house_.shared.places.most.load(),
                             snapshot.runtime.max_connections)};
  }
}

// What else than time limits and counts a connection is made by.
void Invariants::note_ways() {
  if (std::exchange(noted_, house_.control->generation()) == house_.control->generation()) return;
  const config::Snapshot& snapshot = *noted_->snapshot;
  std::map<std::string, std::string> ways;
  for (const auto& upstream : snapshot.upstreams) {
    std::string way =
        fmt::format("{} {} ", static_cast<int>(upstream.protocol), static_cast<int>(upstream.proxy_protocol));
    for (const runtime::Source& source : runtime::sources_of(upstream))
      way += (source.fixed ? source.fixed->name : source.text) + " ";
    ways[upstream.name] = std::move(way);
  }
  for (const auto& [name, way] : ways_) {
    if (!ways.contains(name) || ways[name] != way) rewired_.insert(name);
  }
  ways_ = std::move(ways);
}

void Invariants::pools() const {
  if (off("pools")) return;
  for (const metrics::Sample& sample : house_.registry.collect(Name::upstream_connections_closed_total)) {
    const std::string& upstream = sample.labels.at(0);
    if (sample.labels.at(1) == "reload" && sample.value > 0 && !rewired_.contains(upstream)) {
      throw Broken{fmt::format("{} connections of {} were closed by a reload that left them as they were", sample.value,
                               upstream)};
    }
  }
}

// What the caps count are the connections there are, whoever has them; a slot may be under way between two workers.
void Invariants::slots() {
  if (off("slots") || !house_.no_mail()) return;
  for (const runtime::Backing& backing : house_.control->generation()->upstreams) {
    for (const auto& entry : backing.shared->endpoints()->entries) endpoints_[entry.endpoint->id()] = entry.endpoint;
  }
  std::map<uint64_t, uint64_t> connections;
  for (uint32_t i = 0; i < House::workers; ++i) {
    for (const auto& cluster : house_.worker(i).clusters()) {
      for (const auto& e : cluster.endpoints) connections[e.id] += e.connecting + e.active + e.idle;
    }
  }
  std::erase_if(endpoints_, [](const auto& known) { return known.second.expired(); });
  for (const auto& [id, known] : endpoints_) {
    const auto endpoint = known.lock();
    const uint64_t counted = endpoint->connections() + endpoint->tunnels();
    if (counted != connections[id]) {
      throw Broken{
          fmt::format("{} slots of {} are taken for {} connections", counted, endpoint->name(), connections[id])};
    }
  }
}

void Invariants::at_rest() {
  slots();
  gauges();
  pools();
  no_dead_series();
  nothing_left();
  registration();
  if (house_.control->reloads().trial()) throw Broken{"a confirmation is awaited for ever"};
}

// What /readyz says every worker does.
void Invariants::registration() const {
  if (off("registration")) return;
  const bool away = house_.control->pages().ready().reason == "deregistered";
  for (uint32_t i = 0; i < House::workers; ++i) {
    if (house_.worker(i).arrivals().counting() != away)
      throw Broken{fmt::format("/readyz says {}, worker {} does otherwise", away ? "deregistered" : "ready", i)};
  }
}

// Every series stands for something that is configured.
void Invariants::no_dead_series() const {
  if (off("series")) return;
  const config::Snapshot& snapshot = *house_.control->generation()->snapshot;
  const auto has = [](const auto& all, const std::string& name) {
    return name == metrics::no_value || std::ranges::any_of(all, [&](const auto& one) { return one.name == name; });
  };
  for (const metrics::Definition& definition : metrics::definitions) {
    for (const metrics::Sample& sample : house_.registry.collect(definition.id)) {
      for (size_t i = 0; i < sample.labels.size(); ++i) {
        const std::string_view label = definition.labels[i];
        const std::string& value = sample.labels[i];
        const bool known = label == "listener"   ? has(snapshot.listeners, value)
                           : label == "route"    ? has(snapshot.routes, value)
                           : label == "upstream" ? has(snapshot.upstreams, value)
                                                 : true;
        if (!known)
          throw Broken{fmt::format("at rest {}{{{}}} stands for nothing", definition.name, labels_of(sample))};
      }
    }
  }
}

void Invariants::nothing_left() const {
  if (off("rest")) return;
  if (house_.connections() != 0) throw Broken{fmt::format("{} clients are left", house_.connections())};
  for (const Name name : {Name::downstream_connections, Name::requests_in_flight, Name::upstream_pool_waiting,
                          Name::upstream_connections_leaving, Name::upstream_endpoint_in_flight}) {
    for (const metrics::Sample& sample : house_.registry.collect(name)) {
      if (sample.value != 0) {
        throw Broken{
            fmt::format("at rest {}{{{}}} = {}", metrics::definition_of(name).name, labels_of(sample), sample.value)};
      }
    }
  }
  if (const size_t retired = house_.registry.retired(); retired != 0) {
    throw Broken{fmt::format("at rest {} series that left still hold their cells", retired)};
  }
}

}  // namespace sluice::house
