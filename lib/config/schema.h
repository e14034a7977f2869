// The schema, written once: visit() walks every table and key of a Snapshot in the order of the documentation and hands
// each to a Visitor with its codec, what it means and why its default is what it is. Loading, dumping, diffing,
// explaining, config/full.toml and the reference in docs/configuration.md are Visitors, so a key is added in one place.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "config/availability.h"
#include "config/snapshot.h"
#include "config/value.h"

namespace sluice::config {

// When a changed value is in force.
class Takes {
 public:
  enum Value : std::uint8_t {
    now,
    restart
  };  // with a reload (for connections and requests from then on); with the next start
  constexpr Takes(Value value)
      : value_(value) {}  // NOLINT: a key is written with one of the two; without it does not compile
  constexpr operator Value() const { return value_; }  // NOLINT

 private:
  Value value_;
};

struct Key {
  std::string_view name;
  Takes takes;
  std::string_view what;  // what it limits or chooses
  std::string_view why;  // why the default; for a key without one, what is good to know
  Feature needs = Feature::none;
  std::string_view example = {};  // TOML, for a key that has no default
};

struct TableKey {
  std::string_view name;
  std::string_view what;
  Feature needs = Feature::none;
};

class Visitor {
 public:
  virtual void key(const Key& key, Codec& codec) = 0;

  // A table of the current one. `held`: whether the options hold it now. Returns whether to go into it (then leave()
  // follows).
  enum class Held : std::uint8_t { no, yes };
  virtual bool enter(const TableKey& table, Held held) = 0;
  virtual void leave() = 0;

  // An array of tables: returns how many there are, given how many the options hold. item(i) and leave() enclose each.
  virtual std::size_t enter_array(const TableKey& table, std::size_t held) = 0;
  virtual void item(const TableKey& table, std::size_t index) = 0;

 protected:
  ~Visitor() = default;
};

// Walks the whole schema over `snapshot`, which a loader fills. `available` decides what a new listener or upstream
// starts from.
void visit(Visitor& visitor, Snapshot& snapshot, const Availability& available);

// What a table that is not in the file starts from.
ListenerOptions default_listener(const Availability& available);
upstream::UpstreamOptions default_upstream(const Availability& available);

}  // namespace sluice::config
