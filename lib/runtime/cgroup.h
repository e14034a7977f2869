// Limits that the cgroups of this process set, of version 2 and 1.
#pragma once

#include <functional>
#include <string_view>

namespace sluice::runtime {

// The first line of `file` in our cgroup and in each above it: the limit of a parent holds, too. `controller`: "" = version 2.
void walk_cgroups(std::string_view controller, std::string_view file, const std::function<void(std::string_view line)>& each);

}  // namespace sluice::runtime
