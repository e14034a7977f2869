// Prefixes are cut by whole segments, so the result starts with exactly one slash of its own.
#include "route/rewrite.h"

#include <algorithm>

#include "base/check.h"
#include "route/path.h"

namespace sluice::route {
namespace {

std::string_view query_of(std::string_view target) {
  const size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark);
}

// Bytes that `to` grows to, and the writing: one walk, twice.
template <class Put>
void expand(std::string_view to, const RedirectFacts& facts, Put&& put) {
  const std::string_view query = query_of(facts.target);
  const struct {
    std::string_view word;
    std::string_view value;
  } words[] = {{"{host}", host_of(facts.authority)},
               {"{authority}", facts.authority},
               {"{path}", facts.path},
               {"{query}", query.empty() ? query : query.substr(1)}};
  for (size_t i = 0; i < to.size();) {
    size_t used = 0;
    if (to[i] == '{') {
      for (const auto& [word, value] : words) {
        if (!to.substr(i).starts_with(word)) continue;
        put(value);
        used = word.size();
        break;
      }
    }
    if (used == 0) {
      const size_t next = to.find('{', i + 1);
      used = (next == std::string_view::npos ? to.size() : next) - i;
      put(to.substr(i, used));
    }
    i += used;
  }
}

}  // namespace

std::string_view rewrite_target(const RouteOptions& options, std::string_view target, std::string_view path,
                                base::Arena& arena) {
  if (options.strip_prefix.empty() && options.rewrite_prefix.empty()) return target;
  std::string_view strip = options.strip_prefix;
  if (!prefix_matches(strip, path)) return target;
  if (strip.ends_with('/')) strip.remove_suffix(1);  // its slash starts the rest
  std::string_view rest = path.substr(strip.size());
  std::string_view front = options.rewrite_prefix;
  if (front.empty() && rest.empty()) rest = "/";
  if (front.ends_with('/') && rest.starts_with('/')) front.remove_suffix(1);
  return arena.concat(front, rest, query_of(target));
}

std::string_view expand_redirect(const Redirect& redirect, const RedirectFacts& facts, base::Arena& arena) {
  std::string_view to = redirect.to;
  std::string_view fragment;  // the query stands before it
  if (const size_t hash = to.find('#'); hash != std::string_view::npos) {
    fragment = to.substr(hash);
    to = to.substr(0, hash);
  }
  const bool own_query = to.find('?') != std::string_view::npos || to.find("{query}") != std::string_view::npos;
  const std::string_view query = own_query ? std::string_view() : query_of(facts.target);
  size_t size = 0;
  expand(to, facts, [&size](std::string_view part) { size += part.size(); });
  auto* const text = arena.make_array<char>(size);
  char* at = text;
  expand(to, facts, [&at](std::string_view part) { at = std::copy(part.begin(), part.end(), at); });
  return arena.concat(std::string_view(text, size), query, fragment);
}

void edit(http::Fields& fields, const HeaderEdits& edits) {
  for (const std::string& name : edits.remove) fields.remove(name);
  for (const HeaderValue& h : edits.set) fields.set(h.name, h.value);
  for (const HeaderValue& h : edits.add) fields.add(h.name, h.value);
}

void edit_trailers(http::Fields& trailers, const HeaderEdits& edits) {
  for (const std::string& name : edits.remove) trailers.remove(name);
  for (const HeaderValue& h : edits.set) {
    if (trailers.remove(h.name) != 0) trailers.add(h.name, h.value);
  }
}

uint32_t pick_target(const RouteOptions& options, uint64_t random) {
  CHECK(!options.targets.empty());
  if (options.targets.size() == 1) return options.targets.front().upstream_index;
  uint64_t sum = 0;
  for (const Target& t : options.targets) sum += t.weight;
  CHECK(sum > 0 && sum <= UINT32_MAX);
  uint64_t draw = ((random >> 32) * sum) >> 32;  // 0..sum-1
  for (const Target& t : options.targets) {
    if (draw < t.weight) return t.upstream_index;
    draw -= t.weight;
  }
  UNREACHABLE();
}

}  // namespace sluice::route
