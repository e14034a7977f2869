// Comparing two Snapshots; see diff.h.
#include "config/diff.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>

#include "config/catalog.h"

namespace sluice::config {
namespace {

// Settings that a running process cannot take over.
constexpr std::string_view restart_keys[] = {"runtime.workers", "admin.address", "admin.unix_mode"};

// Keys and printed values of everything, in one map per item: "listener.https." -> { "address" -> "\"...\"" }.
using Values = std::map<std::string, std::string, std::less<>>;

// The settings of the item at `place` ("upstream[3]").
class ValueTable {
 public:
  explicit ValueTable(const Snapshot& snapshot) {
    for (Setting& setting : settings(snapshot, Availability::everything())) {
      const std::size_t bracket = setting.place.find(']');
      const bool item = bracket != std::string::npos;
      std::string owner = item ? setting.place.substr(0, bracket + 1) : std::string();
      std::string key = item ? setting.place.substr(bracket + 2) : setting.place;
      by_owner_[std::move(owner)].emplace(std::move(key), std::move(setting.value));
    }
  }

  const Values& of(std::string_view table, std::uint32_t index) const { return find(concat({table, "[", std::to_string(index), "]"})); }
  const Values& process() const { return find(""); }

 private:
  const Values& find(const std::string& owner) const {
    static const Values none;
    const auto found = by_owner_.find(owner);
    return found == by_owner_.end() ? none : found->second;
  }

  std::unordered_map<std::string, Values> by_owner_;
};

std::vector<std::string> changed_keys(const Values& before, const Values& after) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : after) {
    const auto had = before.find(key);
    if (had == before.end() || had->second != value) keys.push_back(key);
  }
  for (const auto& [key, value] : before) {
    if (!after.contains(key)) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

template <class T>
std::vector<ItemChange> compare_items(std::string_view table, const std::vector<T>& before, const std::vector<T>& after,
                                      const ValueTable& old_values, const ValueTable& new_values) {
  std::unordered_map<std::string_view, std::uint32_t> old_index;
  for (std::uint32_t i = 0; i < before.size(); ++i) old_index.emplace(before[i].name, i);
  std::vector<ItemChange> changes;
  for (std::uint32_t i = 0; i < after.size(); ++i) {
    ItemChange change{.name = after[i].name, .after = i};
    const auto had = old_index.find(after[i].name);
    if (had == old_index.end()) {
      change.change = Change::added;
    } else {
      change.before = had->second;
      old_index.erase(had);
      if (!(before[change.before] == after[i])) {
        change.change = Change::changed;
        change.keys = changed_keys(old_values.of(table, change.before), new_values.of(table, i));
      }
    }
    changes.push_back(std::move(change));
  }
  for (std::uint32_t i = 0; i < before.size(); ++i) {
    if (old_index.contains(before[i].name)) changes.push_back({.change = Change::removed, .name = before[i].name, .before = i});
  }
  return changes;
}

// Addresses by their text; port 0 (any port) is told apart by its listener's name, so a reload keeps the port it got.
std::map<std::string, std::uint32_t> sockets_of(const Snapshot& snapshot) {
  std::map<std::string, std::uint32_t> sockets;
  for (std::uint32_t i = 0; i < snapshot.listeners.size(); ++i) {
    for (const ListenAddress& address : snapshot.listeners[i].addresses) {
      const bool any_port = address.parsed.is_ip() && address.parsed.port() == 0;
      sockets.emplace(any_port ? concat({address.parsed.text(), " of ", snapshot.listeners[i].name}) : address.parsed.text(), i);
    }
  }
  return sockets;
}

std::vector<SocketChange> compare_sockets(const Snapshot& before, const Snapshot& after) {
  const auto old_sockets = sockets_of(before);
  const auto new_sockets = sockets_of(after);
  std::vector<SocketChange> changes;
  for (const auto& [address, index] : new_sockets) {
    const auto had = old_sockets.find(address);
    const bool kept = had != old_sockets.end();
    changes.push_back({kept ? Change::kept : Change::added, address, kept ? had->second : no_index, index});
  }
  for (const auto& [address, index] : old_sockets) {
    if (!new_sockets.contains(address)) changes.push_back({Change::removed, address, index, no_index});
  }
  return changes;
}

bool all_kept(const std::vector<ItemChange>& changes) {
  return std::all_of(changes.begin(), changes.end(), [](const ItemChange& change) { return change.change == Change::kept; });
}

std::string words(std::string_view what, const std::vector<ItemChange>& changes) {
  std::string text;
  for (const ItemChange& change : changes) {
    switch (change.change) {
      case Change::kept: break;
      case Change::changed: text += " ~" + change.name; break;
      case Change::added: text += " +" + change.name; break;
      case Change::removed: text += " -" + change.name; break;
    }
  }
  return text.empty() ? text : concat({what, ":", text, "; "});
}

std::string words(std::string_view what, const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) text += " " + key;
  return text.empty() ? text : concat({what, ":", text, "; "});
}

// Routes by value; what the indices in them point at is compared by name.
bool same_routes(const Snapshot& before, const Snapshot& after) {
  if (before.routes.size() != after.routes.size()) return false;
  for (std::size_t i = 0; i < before.routes.size(); ++i) {
    route::RouteOptions a = before.routes[i];
    route::RouteOptions b = after.routes[i];
    a.listener_indices.clear();
    b.listener_indices.clear();
    for (route::Target& target : a.targets) target.upstream_index = 0;
    for (route::Target& target : b.targets) target.upstream_index = 0;
    if (!(a == b)) return false;
  }
  return true;
}

}  // namespace

bool Diff::empty() const { return all_kept(listeners) && all_kept(upstreams) && !routes && settings.empty(); }

Diff diff(const Snapshot& before, const Snapshot& after) {
  const ValueTable old_values(before);
  const ValueTable new_values(after);
  Diff result;
  result.listeners = compare_items("listener", before.listeners, after.listeners, old_values, new_values);
  result.upstreams = compare_items("upstream", before.upstreams, after.upstreams, old_values, new_values);
  result.sockets = compare_sockets(before, after);
  result.routes = !same_routes(before, after);
  result.settings = changed_keys(old_values.process(), new_values.process());
  for (const std::string& key : result.settings) {
    if (std::find(std::begin(restart_keys), std::end(restart_keys), key) != std::end(restart_keys)) result.restart.push_back(key);
  }
  return result;
}

std::string to_text(const Diff& diff) {
  std::string text = words("listeners", diff.listeners) + words("upstreams", diff.upstreams);
  if (diff.routes) text += "routes changed; ";
  text += words("settings", diff.settings) + words("needs a restart", diff.restart);
  if (text.empty()) return "no change";
  return text.substr(0, text.size() - 2);
}

}  // namespace sluice::config
