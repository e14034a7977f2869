// TOML text to Node tree: the only file that knows the TOML library (header-only use, no exceptions); see tree.h.
#include "config/load.h"
#include "config/tree.h"

// Its assertions fire on plain bad input ("[!"), and with NDEBUG they turn into promises to the optimiser; the code
// behind them reports the error by itself. So: none of either, in any build.
#undef NDEBUG
#define TOML_ASSERT(expression) static_assert(true)
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>

namespace sluice::config {
namespace {

Position position(const toml::source_region& region) {
  Position at{region.begin.line, region.begin.column, 1};
  if (region.end.line == region.begin.line && region.end.column > region.begin.column) {
    at.length = region.end.column - region.begin.column;
  }
  return at;
}

Node convert(const toml::node& from) {
  Node to;
  to.at = position(from.source());
  if (const auto* table = from.as_table()) {
    to.kind = Kind::table;
    to.members.reserve(table->size());
    for (const auto& [key, value] : *table)
      to.members.push_back({std::string(key.str()), position(key.source()), convert(value)});
    std::sort(to.members.begin(), to.members.end(), [](const Member& a, const Member& b) {
      return a.at.line != b.at.line ? a.at.line < b.at.line : a.at.column < b.at.column;
    });
  } else if (const auto* array = from.as_array()) {
    to.kind = Kind::array;
    to.items.reserve(array->size());
    for (const auto& item : *array) to.items.push_back(convert(item));
  } else if (const auto* text = from.as_string()) {
    to.kind = Kind::text;
    to.text = text->get();
  } else if (const auto* integer = from.as_integer()) {
    to.kind = Kind::integer;
    to.integer = integer->get();
  } else if (const auto* real = from.as_floating_point()) {
    to.kind = Kind::real;
    to.real = real->get();
  } else if (const auto* boolean = from.as_boolean()) {
    to.kind = Kind::boolean;
    to.boolean = boolean->get();
  } else {
    to.kind = Kind::date;
  }
  return to;
}

}  // namespace

const Member* Node::find(std::string_view key) const {
  for (const Member& member : members) {
    if (member.key == key) return &member;
  }
  return nullptr;
}

std::string_view kind_words(Kind kind) {
  switch (kind) {
    case Kind::text: return "text";
    case Kind::integer: return "a number";
    case Kind::real: return "a fraction";
    case Kind::boolean: return "true or false";
    case Kind::date: return "a date or time";
    case Kind::array: return "an array";
    case Kind::table: return "a table";
  }
  return "a value";
}

base::Result<Node> parse(const Source& source) {
  Report report(source);
  if (auto refusal = prescan(source.text())) {
    report.error(refusal->at, std::move(refusal->why));
    return std::unexpected(report.take().front());
  }
  const toml::parse_result result = toml::parse(source.text());
  if (!result) {
    report.error(position(result.error().source()), std::string(result.error().description()));
    return std::unexpected(report.take().front());
  }
  return convert(result.table());
}

std::string tomlplusplus_version() {
  return std::to_string(TOML_LIB_MAJOR) + "." + std::to_string(TOML_LIB_MINOR) + "." + std::to_string(TOML_LIB_PATCH);
}

}  // namespace sluice::config
