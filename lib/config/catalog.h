// The whole schema as a list, and the settings of a Snapshot as a list of keys with their values: what explain, diff, the
// full.toml writer and did-you-mean look things up in. Made by Visitors over the schema.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/schema.h"

namespace sluice::config {

// The sections that have a key or table of this name: "upstream.pool", "[upstream]", "runtime".
const std::vector<std::string>& homes(std::string_view key);

// One key of one table of a Snapshot.
struct Setting {
  std::string path;   // by name: "upstream.app.pool.idle_timeout"
  std::string place;  // by index, as in Origins: "upstream[0].pool.idle_timeout"
  std::string value;  // TOML; "" = not set
  Key key;
};

// Every available key that is in force, in the order of the schema.
std::vector<Setting> settings(const Snapshot& snapshot, const Availability& available = Availability::built());

}  // namespace sluice::config
