// The configuration as a picture: listeners, the routes of each, where they lead, and the routes that no request can
// reach. For `sluice explain FILE --graph`. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/snapshot.h"

namespace sluice::config {

// text: for a terminal. mermaid: a flowchart, for what renders Markdown. svg: a picture by itself.
enum class GraphFormat : std::uint8_t { text, mermaid, svg };
std::optional<GraphFormat> graph_format(std::string_view word);

// Whatever stands in names, hosts and paths is text in the picture, never markup of it.
std::string graph(const Snapshot& snapshot, GraphFormat format);

}  // namespace sluice::config
