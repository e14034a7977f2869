// Where a request came in.
#pragma once

#include <cstdint>

namespace sluice::exchange {

struct Origin {
  uint32_t listener = 0;
  uint64_t conn = 0;  // number of the client's connection, unique in the process
  uint32_t request = 0;  // its number there, from 1
};

}  // namespace sluice::exchange
