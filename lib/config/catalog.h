// The whole schema as a list, and the settings of a Snapshot as a list of keys with their values: what explain, diff,
// the full.toml writer and did-you-mean look things up in. Made by Visitors over the schema.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/schema.h"

namespace sluice::config {

// The sections that have a key or table of this name: "upstream.pool", "[upstream]", "runtime".
const std::vector<std::string>& homes(std::string_view key);

// Whether a key has any effect: its feature is built, and the table it stands in is there.
enum class Force : std::uint8_t { yes, table_absent, not_built };

// One key of one table of a Snapshot.
struct Setting {
  std::string path;  // by name: "upstream.app.pool.idle_timeout"
  std::string place;  // by index, as in Origins: "upstream[0].pool.idle_timeout"
  std::string value;  // TOML; "" = not set
  Key key;
  Force force = Force::yes;
};

// Every key of every table of `snapshot`, in the order of the schema; a table that is absent has its defaults.
std::vector<Setting> all_settings(const Snapshot& snapshot, const Availability& available = Availability::built());
// Those in force.
std::vector<Setting> settings(const Snapshot& snapshot, const Availability& available = Availability::built());

}  // namespace sluice::config
