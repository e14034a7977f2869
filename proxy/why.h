// `sluice why`: what became of a request that has ended, as the admin listener of a running sluice tells it (GET
// /recent).
#pragma once

#include "options.h"

namespace sluice::proxy {

// Prints the sentences, or why there are none. Returns the exit code.
int why(const WhyCommand& command);

}  // namespace sluice::proxy
