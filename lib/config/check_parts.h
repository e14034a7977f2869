// What the check_*.cc files share: finding the place of a value in the tree. Nobody else includes this.
#pragma once

#include <initializer_list>
#include <string_view>
#include <unordered_map>

#include "config/check.h"
#include "config/value.h"

namespace sluice::config {

// The node at `keys` below `from`, null if it is not in the file.
inline const Node* look(const Node* from, std::initializer_list<std::string_view> keys) {
  for (std::string_view key : keys) {
    const Member* member = from != nullptr && from->kind == Kind::table ? from->find(key) : nullptr;
    from = member == nullptr ? nullptr : &member->value;
  }
  return from;
}

// Item `index` of an array node, null if there is none.
inline const Node* item_of(const Node* array, std::size_t index) {
  return array != nullptr && array->kind == Kind::array && index < array->items.size() ? &array->items[index] : nullptr;
}

// The place of the value at `keys` below `from`, or of `from` itself where the file leaves it out.
inline Position place(const Node* from, std::initializer_list<std::string_view> keys) {
  const Node* node = look(from, keys);
  if (node == nullptr) node = from;
  return node == nullptr ? Position{} : node->at;
}

// Names that are defined, with the index of each; for look-ups and did-you-mean.
using Names = std::unordered_map<std::string_view, std::uint32_t>;
inline std::string near_name(std::string_view name, const Names& names, const Report& report) {
  if (report.full()) return {};
  std::vector<std::string_view> all;
  for (const auto& [known, index] : names) all.push_back(known);
  return std::string(nearest(name, all));
}

// The place of the item of an array that is this text.
inline Position place_of_text(const Node* from, std::string_view key, std::string_view text) {
  const Node* array = look(from, {key});
  for (std::size_t i = 0; array != nullptr && i < array->items.size(); ++i) {
    if (array->items[i].kind == Kind::text && array->items[i].text == text) return array->items[i].at;
  }
  return place(from, {key});
}

void show_file_problems(Report& report, Position at, std::vector<base::Error> problems);
void check_listeners(Snapshot& snapshot, const Node& root, Report& report, const FileChecks& files);
// Of all listeners and routes: how many there are, and that they can be read.
void check_error_pages(const Snapshot& snapshot, const Node& root, Report& report, const FileChecks& files);
void check_upstreams(Snapshot& snapshot, const Node& root, Report& report, const FileChecks& files);
void check_routes(Snapshot& snapshot, const Node& root, Report& report);
// After check_routes(), which names the routes.
void check_pool_classes(const Snapshot& snapshot, const Node& root, Report& report);
// After all others: names are resolved.
void check_arithmetic(const Snapshot& snapshot, const Node& root, Report& report);

}  // namespace sluice::config
