// What a reload changes: two Snapshots compared, items by their names and by single keys. Pure. runtime/plan.h acts on
// it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/snapshot.h"

namespace sluice::config {

enum class Change : std::uint8_t { changed, added, removed };

// One listener, upstream or route that is not the same in both.
struct ItemChange {
  Change change = Change::changed;
  std::string name;
  std::vector<std::string> keys;  // changed: "pool.max_connections", "address", ...
};

struct Diff {
  std::vector<ItemChange> listeners;  // in their order, then the removed; likewise the next two
  std::vector<ItemChange> upstreams;
  std::vector<ItemChange> routes;
  bool route_order = false;  // those that are in both stand in another order
  std::vector<std::string> settings;  // changed keys outside of these tables: "drain.deadline"
  bool empty() const;
};

Diff diff(const Snapshot& before, const Snapshot& after);

// A key whose new value waits for a restart.
struct Waiting {
  std::string key;  // "runtime.workers"
  std::string value;  // as TOML
};
// Puts the values that run into `next` for all keys that a reload cannot take (Takes::restart), so that `next` says
// what will be in force. Returns those that differed.
std::vector<Waiting> keep_until_restart(const Snapshot& running, Snapshot& next);

// One line for the log: "listeners: +https ~http (idle_timeout); upstreams: -old; settings: drain.deadline", or
// "nothing changed".
std::string to_text(const Diff& diff);

}  // namespace sluice::config
