// The two tables of the router: host names to hosts, and (host, path) to the routes that have it, in file order. Open
// addressing with the whole hash in the slot: a look-up touches one slot as a rule, whatever the number of routes.
// Filled once, then constant.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"

namespace sluice::route {

// FNV-1a, byte by byte, because a hash of every prefix (or suffix) is needed on the way; mix() makes its bits usable.
struct Hash {
  uint64_t state;
  constexpr explicit Hash(uint64_t seed) : state(0xcbf29ce484222325U ^ (seed * 0x9E3779B97F4A7C15U)) {}
  constexpr void add(char c) { state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3U; }
  constexpr uint64_t mix() const {
    const uint64_t h = (state ^ (state >> 32)) * 0xD6E8FEB86659FD93U;
    return h ^ (h >> 32);
  }
};

// A table from (space, text) to a number; `space` keeps kinds of keys apart and goes into the hash as its seed.
class TextTable {
 public:
  static constexpr uint32_t none = UINT32_MAX;

  // The number of that key; a new key gets `fresh`.
  uint32_t intern(uint32_t space, std::string_view text, uint64_t hash, uint32_t fresh);
  uint32_t find(uint32_t space, std::string_view text, uint64_t hash) const {
    if (slots_.empty()) return none;
    for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
      const Slot& slot = slots_[i];
      if (slot.value == none) return none;
      if (slot.hash == hash && slot.space == space && slot.text == text) return slot.value;
    }
  }
  bool empty() const { return used_ == 0; }

 private:
  struct Slot {
    uint64_t hash = 0;
    std::string_view text{};
    uint32_t space = 0;
    uint32_t value = none;
  };
  void grow();

  std::vector<Slot> slots_;
  size_t mask_ = 0;
  size_t used_ = 0;
  std::deque<std::string> texts_;  // what the slots point to; they die on another thread than they were made on
};

// ---- hosts ------------------------------------------------------------------------------------------------------

class HostTable {
 public:
  static constexpr size_t name_max = 255;  // longer names are under no host of ours
  static constexpr uint32_t any = 0;  // the host of routes without one

  // The hosts a request belongs to, most specific first, `any` last.
  struct Found {
    uint32_t ids[name_max / 2 + 3];
    uint32_t count = 0;
    bool exact = false;  // ids[0] was found by its full name
    std::span<const uint32_t> all() const { return {ids, count}; }
  };

  // "example.com" or "*.example.com", lower case -> its number: 1, 2, ...
  uint32_t add(std::string_view pattern);
  uint32_t size() const { return size_; }
  // `host` without port, in any case.
  void find(std::string_view host, Found& found) const;

 private:
  TextTable table_;
  uint32_t size_ = 1;
};

// ---- paths ------------------------------------------------------------------------------------------------------

// The routes of one host by path. Candidates come as lists of route numbers in file order.
class PathTable {
 public:
  void add_exact(uint32_t host, std::string_view path, uint32_t route);
  void add_prefix(uint32_t host, std::string_view prefix, uint32_t route);

  // Calls visit(list) for each list of routes whose exact path or prefix fits `path`, no order meant.
  template <class Visit>
  void find(uint32_t host, std::string_view path, Visit&& visit) const {
    if (host >= bounds_.size() || !path.starts_with('/')) return;
    const Bounds& b = bounds_[host];
    const bool exact = b.has_exact && path.size() <= b.exact_max;
    const size_t to = exact ? path.size() : (path.size() < b.prefix_max ? path.size() : b.prefix_max);
    if (!exact && !b.has_prefix) return;
    Hash hash(host);
    for (size_t i = 0; i <= path.size(); ++i) {
      // A prefix ends before a slash or at the end of the path ...
      if (b.has_prefix && i <= b.prefix_max && (i == path.size() || path[i] == '/'))
        look(host * 2, path.substr(0, i), hash, visit);
      if (i >= to) break;
      hash.add(path[i]);
      // ... or, if it was written so, with one.
      if (b.has_slashed && path[i] == '/' && i > 0) look(host * 2, path.substr(0, i + 1), hash, visit);
    }
    if (exact) look(host * 2 + 1, path, hash, visit);
  }

 private:
  struct Bounds {  // longest of a host, so that long paths cost no more than they must
    uint32_t exact_max = 0;
    uint32_t prefix_max = 0;
    bool has_exact = false;
    bool has_prefix = false;
    bool has_slashed = false;  // a prefix other than "/" that ends with a slash
  };
  // Nearly all lists hold one route, which stands here; longer ones are in longer_, whole. Fewer cache lines that way.
  struct List {
    uint32_t first;
    uint32_t more;
  };
  Bounds& bounds(uint32_t host);
  void add(uint32_t space, uint32_t host, std::string_view text, uint32_t route);
  template <class Visit>
  void look(uint32_t space, std::string_view text, const Hash& hash, Visit&& visit) const {
    const uint32_t at = table_.find(space, text, hash.mix());
    if (at == TextTable::none) return;
    const List& list = lists_[at];
    if (list.more == TextTable::none) return visit(std::span<const uint32_t>(&list.first, 1));
    visit(std::span<const uint32_t>(longer_[list.more]));
  }

  TextTable table_;
  std::vector<List> lists_;
  std::vector<std::vector<uint32_t>> longer_;
  std::vector<Bounds> bounds_;  // by host
};

}  // namespace sluice::route
