// Helpers shared by the schema_*.cc files: how tables and arrays of tables are walked. Nobody else includes this.
#pragma once

#include <optional>
#include <vector>

#include "config/schema.h"

namespace sluice::config {

void visit_upstream(Visitor& visitor, upstream::UpstreamOptions& options);
void visit_route(Visitor& visitor, route::RouteOptions& options);

template <class T, class Walk>
void visit_table(Visitor& visitor, const TableKey& table, T& options, Walk walk) {
  if (!visitor.enter(table, Visitor::Held::yes)) return;
  walk(visitor, options);
  visitor.leave();
}

// A table whose presence means something.
template <class T, class Make, class Walk>
void visit_optional(Visitor& visitor, const TableKey& table, std::optional<T>& options, Make make, Walk walk) {
  if (!visitor.enter(table, options ? Visitor::Held::yes : Visitor::Held::no)) return;
  if (!options) options = make();
  walk(visitor, *options);
  visitor.leave();
}

template <class T, class Make, class Walk>
void visit_array(Visitor& visitor, const TableKey& table, std::vector<T>& options, Make make, Walk walk) {
  const std::size_t count = visitor.enter_array(table, options.size());
  options.reserve(count);
  while (options.size() < count) options.push_back(make());
  for (std::size_t i = 0; i < count; ++i) {
    visitor.item(table, i);
    walk(visitor, options[i]);
    visitor.leave();
  }
}

}  // namespace sluice::config
