// Filling the tables, and the walk over the labels of a host name.
#include "route/matcher.h"

#include <algorithm>

#include "base/check.h"
#include "base/text.h"

namespace sluice::route {
namespace {

constexpr uint32_t exact_space = 0;
constexpr uint32_t wildcard_space = 1;

Hash hash_of(uint64_t seed, std::string_view text) {
  Hash hash(seed);
  for (const char c : text) hash.add(c);
  return hash;
}

}  // namespace

uint32_t TextTable::intern(uint32_t space, std::string_view text, uint64_t hash, uint32_t fresh) {
  CHECK(fresh != none);
  if (const uint32_t known = find(space, text, hash); known != none) return known;
  if (4 * (used_ + 1) > 3 * slots_.size()) grow();
  size_t i = hash & mask_;
  while (slots_[i].value != none) i = (i + 1) & mask_;
  slots_[i] = Slot{hash, texts_.emplace_back(text), space, fresh};
  ++used_;
  return fresh;
}

void TextTable::grow() {
  std::vector<Slot> old(std::max<size_t>(16, slots_.size() * 2));
  std::swap(old, slots_);
  mask_ = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.value == none) continue;
    size_t i = slot.hash & mask_;
    while (slots_[i].value != none) i = (i + 1) & mask_;
    slots_[i] = slot;
  }
}

// Names are hashed from their end, so one walk gives the hash of every suffix.
uint32_t HostTable::add(std::string_view pattern) {
  const bool wildcard = pattern.starts_with("*.");
  const std::string_view name = wildcard ? pattern.substr(2) : pattern;
  Hash hash(0);
  for (size_t i = name.size(); i-- > 0;) hash.add(name[i]);
  const uint32_t id = table_.intern(wildcard ? wildcard_space : exact_space, name, hash.mix(), size_);
  if (id == size_) ++size_;
  return id;
}

void HostTable::find(std::string_view host, Found& found) const {
  found.count = 0;
  if (!table_.empty() && !host.empty() && host.size() <= name_max) {
    char lower[name_max];
    uint32_t wildcards[name_max / 2 + 1];
    uint32_t known = 0;
    Hash hash(0);
    for (size_t i = host.size(); i-- > 0;) {
      lower[i] = base::to_lower(host[i]);
      if (lower[i] == '.' && i > 0 && i + 1 < host.size()) {  // what follows is a suffix by whole labels
        const uint32_t id = table_.find(wildcard_space, {lower + i + 1, host.size() - i - 1}, hash.mix());
        if (id != TextTable::none && known < std::size(wildcards)) wildcards[known++] = id;
      }
      hash.add(lower[i]);
    }
    const uint32_t id = table_.find(exact_space, {lower, host.size()}, hash.mix());
    found.exact = id != TextTable::none;
    if (found.exact) found.ids[found.count++] = id;
    while (known > 0) found.ids[found.count++] = wildcards[--known];  // the longest was found last
  }
  found.ids[found.count++] = any;
}

PathTable::Bounds& PathTable::bounds(uint32_t host) {
  if (host >= bounds_.size()) bounds_.resize(host + 1);
  return bounds_[host];
}

void PathTable::add(uint32_t space, uint32_t host, std::string_view text, uint32_t route) {
  const auto fresh = static_cast<uint32_t>(lists_.size());
  const uint32_t at = table_.intern(space, text, hash_of(host, text).mix(), fresh);
  if (at == fresh) {
    lists_.push_back({route, TextTable::none});
    return;
  }
  List& list = lists_[at];
  if (list.more == TextTable::none) {
    list.more = static_cast<uint32_t>(longer_.size());
    longer_.push_back({list.first});
  }
  longer_[list.more].push_back(route);
}

void PathTable::add_exact(uint32_t host, std::string_view path, uint32_t route) {
  Bounds& b = bounds(host);
  b.has_exact = true;
  b.exact_max = std::max(b.exact_max, static_cast<uint32_t>(path.size()));
  add(host * 2 + 1, host, path, route);
}

void PathTable::add_prefix(uint32_t host, std::string_view prefix, uint32_t route) {
  if (prefix == "/") prefix = {};          // every path starts with it
  Bounds& b = bounds(host);
  b.has_prefix = true;
  b.has_slashed = b.has_slashed || prefix.ends_with('/');
  b.prefix_max = std::max(b.prefix_max, static_cast<uint32_t>(prefix.size()));
  add(host * 2, host, prefix, route);
}

}  // namespace sluice::route
