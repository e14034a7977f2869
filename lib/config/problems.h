// How `sluice check` shows problems: text for people, JSON for tools.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace sluice::config {

// Each as base::to_text shows it, one after another, every one ended by a newline.
std::string to_text(const std::vector<base::Error>& problems);

// [{"file", "line", "column", "severity", "message", "suggestion"}], one object a line; bytes that are no UTF-8 become
// U+FFFD.
std::string to_json(const std::vector<base::Error>& problems);

}  // namespace sluice::config
