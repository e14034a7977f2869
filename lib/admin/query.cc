#include "admin/query.h"

#include <algorithm>

#include "base/text.h"

namespace sluice::admin {
namespace {

constexpr size_t shown_max = 64;                   // of what was sent, in an answer

struct Part {
  std::string_view name, value;
};

std::string_view query_of(std::string_view target) {
  const size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

// The next of its parts; advances `rest`, which is not empty.
Part next_part(std::string_view& rest) {
  const size_t end = rest.find('&');
  const std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  const size_t equals = part.find('=');
  return {part.substr(0, equals), equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1)};
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  base::append_escaped(out, text.substr(0, shown_max));
  return out + (text.size() > shown_max ? "...\"" : "\"");
}

std::string refusal(std::string_view path, std::string_view name, std::span<const std::string_view> known) {
  if (known.empty()) return std::string(path) + " takes no query, and this one has " + quoted(name);
  std::string text = std::string(path) + " knows no " + quoted(name) + " in its query; it knows ";
  for (size_t i = 0; i < known.size(); ++i) text += (i == 0 ? "" : ", ") + std::string(known[i]);
  return text;
}

}  // namespace

std::expected<Query, std::string> Query::read(std::string_view target, std::span<const std::string_view> known) {
  const std::string_view text = query_of(target);
  const std::string_view path = target.substr(0, target.find('?'));
  std::string_view seen;                           // what stands before `rest`
  for (std::string_view rest = text; !rest.empty();) {
    seen = text.substr(0, text.size() - rest.size());
    const std::string_view name = next_part(rest).name;
    if (std::ranges::find(known, name) == known.end()) return std::unexpected(refusal(path, name, known));
    if (Query(seen).value(name)) return std::unexpected(quoted(name) + " stands twice in the query");
  }
  return Query(text);
}

std::optional<std::string_view> Query::value(std::string_view name) const {
  for (std::string_view rest = text_; !rest.empty();) {
    const Part part = next_part(rest);
    if (part.name == name) return part.value;
  }
  return std::nullopt;
}

}  // namespace sluice::admin
