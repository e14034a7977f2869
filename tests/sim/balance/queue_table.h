// The second table of sim_balance: each queue policy and concurrency limit under loads from half to three times what
// the server can do.
#pragma once

#include <string>

namespace sluice::sim {

// Prints a line for each run of `seconds`. Plots, unless `plots` is empty, go into that folder; false: they could not
// be written. `faults` grows by one for each thing that docs/balancing.md says and that does not hold.
bool queue_table(double seconds, const std::string& plots, int& faults);

}  // namespace sluice::sim
