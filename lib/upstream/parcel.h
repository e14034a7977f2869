// Parcel: an idle connection that one worker hands to another, with the slot it counts for. Lost, it ends, and then the
// slot goes back.
#pragma once

#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "http/stream.h"
#include "upstream/connector.h"
#include "upstream/shared.h"
#include "upstream/way.h"

namespace sluice::upstream {

// One is asked for.
struct SpareWanted {
  std::uint64_t endpoint_id = 0;
  std::uint32_t worker = 0;  // who needs it
  std::uint64_t asked = 0;  // who had none: see SharedEndpoint::spare_bit
};

struct Parcel {
  PassedSlot slot;  // first: dies after the connection, so a cap is never passed
  WayPtr way;  // one that was made in another way is not taken
  std::unique_ptr<http::PackedSession> session;
  DialTimes times{};
  base::Micros began{};
  std::uint16_t life_permille = 1'000;
  bool only_http1 = false;
};

}  // namespace sluice::upstream
