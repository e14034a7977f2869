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
