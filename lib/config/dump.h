// The settings of a Snapshot, and the schema itself, as text: GET /config, config/full.toml, the reference in
// docs/configuration.md.
#pragma once

#include <string>
#include <string_view>

#include "config/availability.h"
#include "config/snapshot.h"

namespace sluice::config {

// Every setting in force, defaults too, as TOML that load() takes again. Values that look like secrets (edits and
// matches of Authorization, Cookie, ...-Token, ... fields) are shown as "***".
std::string dump(const Snapshot& snapshot, const Availability& available = Availability::built());

// The text of config/full.toml: every key with its default and its reason; what is not available yet is commented out.
std::string full_toml(const Availability& available = Availability::built());

// The tables of docs/configuration.md (Markdown).
std::string reference(const Availability& available = Availability::built());

}  // namespace sluice::config
