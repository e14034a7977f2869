// Comparing two Snapshots; see diff.h.
#include "config/diff.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/text.h"
#include "config/catalog.h"

namespace sluice::config {
namespace {

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
      std::string key = item ? key_of(snapshot, setting) : setting.place;
      by_owner_[std::move(owner)].emplace(std::move(key), std::move(setting.value));
    }
  }

  const Values& of(std::string_view table, std::uint32_t index) const {
    return find(concat({table, "[", std::to_string(index), "]"}));
  }
  const Values& process() const { return find(""); }

 private:
  // What is in the item goes by name, too: "pool_class.slow.routes".
  static std::string key_of(const Snapshot& s, const Setting& setting) {
    const std::size_t bracket = setting.place.find(']');
    if (setting.place.find('[', bracket) == std::string::npos) return setting.place.substr(bracket + 2);
    const std::size_t open = setting.place.find('[') + 1;
    const auto index = base::parse_u64(std::string_view(setting.place).substr(open, bracket - open)).value_or(0);
    const std::string outer = concat({"upstream.", s.upstreams[index].name, "."});
    return setting.path.substr(outer.size());
  }

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

// `same(before, after)`: of the items at these indices.
template <class T, class Same>
std::vector<ItemChange> compare_items(std::string_view table, const std::vector<T>& before, const std::vector<T>& after,
                                      const ValueTable& old_values, const ValueTable& new_values, Same&& same) {
  std::unordered_map<std::string_view, std::uint32_t> old_index;
  for (std::uint32_t i = 0; i < before.size(); ++i) old_index.emplace(before[i].name, i);
  std::vector<ItemChange> changes;
  for (std::uint32_t i = 0; i < after.size(); ++i) {
    const auto had = old_index.find(after[i].name);
    if (had == old_index.end()) {
      changes.push_back({Change::added, after[i].name, {}});
      continue;
    }
    const std::uint32_t was = had->second;
    old_index.erase(had);
    if (same(before[was], after[i])) continue;
    changes.push_back(
        {Change::changed, after[i].name, changed_keys(old_values.of(table, was), new_values.of(table, i))});
  }
  for (const T& item : before) {
    if (old_index.contains(item.name)) changes.push_back({Change::removed, item.name, {}});
  }
  return changes;
}

constexpr std::size_t named_at_most = 20;   // items of one kind in one line of the log

std::string words(std::string_view what, const std::vector<ItemChange>& changes, bool reordered = false) {
  std::string text;
  for (std::size_t i = 0; i < changes.size() && i < named_at_most; ++i) {
    const ItemChange& change = changes[i];
    const char sign = change.change == Change::changed ? '~' : change.change == Change::added ? '+' : '-';
    text += " " + (sign + change.name);
    std::string keys;
    for (const std::string& key : change.keys) keys += (keys.empty() ? "" : ", ") + key;
    if (!keys.empty()) text += " (" + keys + ")";
  }
  if (changes.size() > named_at_most)
    text += concat({" and ", std::to_string(changes.size() - named_at_most), " more"});
  if (reordered) text += " another order";
  return text.empty() ? text : concat({what, ":", text, "; "});
}

std::string words(std::string_view what, const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) text += " " + key;
  return text.empty() ? text : concat({what, ":", text, "; "});
}

// By value; what the indices in them point at is compared by name.
bool same_route(const route::RouteOptions& before, const route::RouteOptions& after) {
  route::RouteOptions a = before;
  route::RouteOptions b = after;
  a.listener_indices.clear();
  b.listener_indices.clear();
  for (route::Target& target : a.targets) target.upstream_index = 0;
  for (route::Target& target : b.targets) target.upstream_index = 0;
  if (a.fallback) a.fallback->upstream_index = 0;
  if (b.fallback) b.fallback->upstream_index = 0;
  return a == b;
}

// Do the routes that both have stand in the same order?
bool same_order(const std::vector<route::RouteOptions>& before, const std::vector<route::RouteOptions>& after) {
  const auto shared = [](const auto& all, const auto& others) {
    std::unordered_set<std::string_view> names;
    for (const auto& other : others) names.insert(other.name);
    std::vector<std::string_view> in_both;
    for (const auto& one : all) {
      if (names.contains(one.name)) in_both.emplace_back(one.name);
    }
    return in_both;
  };
  return shared(before, after) == shared(after, before);
}

// Every key with Takes::restart, and nothing else: a test made from the schema says so.
void keep(const Snapshot& running, Snapshot& next) {
  next.runtime.workers = running.runtime.workers;
  next.runtime.warm_timeout = running.runtime.warm_timeout;
  next.admin.address = running.admin.address;
  next.admin.parsed = running.admin.parsed;
  next.admin.unix_mode = running.admin.unix_mode;
  next.access_log.output = running.access_log.output;
  next.access_log.path = running.access_log.path;
  next.dns.required_at_start = running.dns.required_at_start;
}

}  // namespace

bool Diff::empty() const {
  return listeners.empty() && upstreams.empty() && routes.empty() && !route_order && settings.empty();
}

Diff diff(const Snapshot& before, const Snapshot& after) {
  const ValueTable old_values(before);
  const ValueTable new_values(after);
  const auto equal = [](const auto& a, const auto& b) { return a == b; };
  Diff result;
  result.listeners = compare_items("listener", before.listeners, after.listeners, old_values, new_values, equal);
  result.upstreams = compare_items("upstream", before.upstreams, after.upstreams, old_values, new_values, equal);
  result.routes = compare_items("route", before.routes, after.routes, old_values, new_values, same_route);
  result.route_order = !same_order(before.routes, after.routes);
  result.settings = changed_keys(old_values.process(), new_values.process());
  return result;
}

std::vector<Waiting> keep_until_restart(const Snapshot& running, Snapshot& next) {
  std::vector<Setting> wanted = settings(next, Availability::everything());
  keep(running, next);
  const std::vector<Setting> kept = settings(next, Availability::everything());
  std::vector<Waiting> waiting;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].key.takes == Takes::restart && wanted[i].value != kept[i].value) {
      waiting.push_back({wanted[i].place, std::move(wanted[i].value)});
    }
  }
  return waiting;
}

std::string to_text(const Diff& diff) {
  std::string text = words("listeners", diff.listeners) + words("upstreams", diff.upstreams) +
                     words("routes", diff.routes, diff.route_order) + words("settings", diff.settings);
  if (text.empty()) return "nothing changed";
  return text.substr(0, text.size() - 2);
}

}  // namespace sluice::config
