// Plan: what a reload will do, made on the helper's thread from what is in force and what was loaded: the one place
// where two configurations are compared. On the loops it is only carried out.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "config/diff.h"
#include "runtime/generation.h"

namespace sluice::runtime {

struct Plan {
  GenerationPtr next;  // its snapshot says what will be in force: keys that wait keep the value that runs
  std::string words;  // what changes, in one line, for the log and the answer of POST /reload
  config::Problems warnings;
};

// `running` stays in force if this fails. Any thread, one at a time.
std::expected<Plan, config::Problems> make_plan(config::Loaded loaded, const Generation& running, uint32_t workers,
                                                base::Micros wall, Sockets sockets);

}  // namespace sluice::runtime
