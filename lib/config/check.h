// The cross checks of a configuration whose single values are already read: names that refer to each other, values that
// contradict each other, files, routes that can never be reached. Fills in what follows from other values: names,
// indices, prefixes.
#pragma once

#include "config/load.h"
#include "config/tree.h"

namespace sluice::config {

// `root` is the tree `snapshot` was read from: it gives the places. The Snapshot is fit for use if the report has no
// error after.
void check(Snapshot& snapshot, const Node& root, Report& report, const FileChecks& files);

// The routes no request can reach, with the earlier route that takes all of theirs (route i -> result[i], or its own
// index when it can be reached). Within a host the first match of the file wins, so only routes of the same host hide
// each other.
std::vector<std::uint32_t> hidden_by(const std::vector<route::RouteOptions>& routes);

}  // namespace sluice::config
