// ControlEnv: what the rooms of control share. All of it outlives them.
#pragma once

#include "admin/helper.h"
#include "exchange/ids.h"
#include "metrics/registry.h"
#include "net/loop.h"
#include "runtime/control_cells.h"
#include "runtime/crew.h"
#include "runtime/worker.h"

namespace sluice::runtime {

struct ControlEnv {
  net::Loop& loop;
  Crew& crew;
  admin::Helper& helper;
  metrics::Registry& registry;
  Shared& shared;
  ControlCells& cells;
  exchange::Random& random;                       // jitter
};

}  // namespace sluice::runtime
