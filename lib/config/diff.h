// What a reload changes: old and new Snapshot compared by the names of listeners and upstreams and by single keys. Pure; the
// runtime acts on it: what is kept keeps its sockets, connections, pools and health.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/snapshot.h"

namespace sluice::config {

enum class Change : std::uint8_t { kept, changed, added, removed };

inline constexpr std::uint32_t no_index = 0xffffffff;

// One listener or upstream that is in the old Snapshot, the new one, or both.
struct ItemChange {
  Change change = Change::kept;
  std::string name;
  std::uint32_t before = no_index;  // index in the old Snapshot; no_index when added
  std::uint32_t after = no_index;   // index in the new Snapshot; no_index when removed
  std::vector<std::string> keys;    // changed: "pool.max_connections", "address", ...
};

// One bound address. A socket is kept when the same address stands in both Snapshots, whatever the listener's name became.
struct SocketChange {
  Change change = Change::kept;  // never changed
  std::string address;
  std::uint32_t before = no_index;  // index of the listener
  std::uint32_t after = no_index;
};

struct Diff {
  std::vector<ItemChange> listeners;   // new ones in their order, then the removed
  std::vector<ItemChange> upstreams;
  std::vector<SocketChange> sockets;
  bool routes = false;                 // any route added, removed, moved or changed
  std::vector<std::string> settings;   // changed keys outside of listeners, upstreams and routes: "drain.deadline"
  std::vector<std::string> restart;    // those of them that take effect at the next start only
  bool empty() const;
};

Diff diff(const Snapshot& before, const Snapshot& after);

// One line for the log: "listeners: +https ~http; upstreams: -old; routes changed; needs a restart: runtime.workers", or "no change".
std::string to_text(const Diff& diff);

}  // namespace sluice::config
