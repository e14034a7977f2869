// `sluice top`: the state of a running sluice in a terminal, as its admin listener tells it (Accept: text/plain).
#pragma once

#include "options.h"

namespace sluice::proxy {

// Prints once, or draws anew each second until `q` or a signal. Returns the exit code.
int top(const TopCommand& command);

}  // namespace sluice::proxy
