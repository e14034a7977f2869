// Large: what the turns of a reload cost as the configuration grows. The budget of control-path.md 6, in work and not
// in time: a turn of a worker depends on what changed and not on what there is, one of control on little more.
#pragma once

namespace sluice::house {

// Prints the figures. Throws Broken.
void large();

}  // namespace sluice::house
