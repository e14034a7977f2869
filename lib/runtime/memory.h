// How much memory traffic may take (`[runtime] max_memory`).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::runtime {

// memory.max or memory.limit_in_bytes; UINT64_MAX: none.
uint64_t bytes_of_limit(std::string_view text);

// The least limit of our cgroups, of version 2 and 1; UINT64_MAX: none. `root`: see walk_cgroups().
uint64_t cgroup_memory(const std::string& root = "");

// `configured`, or, if it is 0, three quarters of the least limit of our cgroups, or of the machine's memory.
uint64_t memory_limit(uint64_t configured);

// What was freed and malloc keeps goes back to the system, as far as pages are free. Takes milliseconds, in which other
// threads may wait for memory: after much was freed at once.
void give_back_heap();

}  // namespace sluice::runtime
