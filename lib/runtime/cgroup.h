// The limits that the cgroups of this process set, of version 2 and 1, whichever are mounted, and wherever.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::runtime {

// Calls `each` with the folder of our cgroup and of each above it, up to the mount: the limit of a parent holds, too.
// `controller`: "" = version 2, else one of version 1 ("cpu"). Not mounted: no call. `root` stands before every path
// (tests; "" = the machine's).
void walk_cgroups(std::string_view controller, const std::string& root,
                  const std::function<void(const std::string& folder)>& each);

// The first line of a file, without its end; nullopt: it cannot be read.
std::optional<std::string> first_line(const std::string& file);

}  // namespace sluice::runtime
