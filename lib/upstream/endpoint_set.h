// The endpoints of an upstream at one time, and the tables that pickers read. Made by the control thread, immutable,
// sent to the workers by mailbox and shared by them: no worker builds a table on its loop.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "upstream/maglev.h"
#include "upstream/options.h"
#include "upstream/weights.h"

namespace sluice::upstream {

class SharedEndpoint;

struct EndpointEntry {
  std::shared_ptr<SharedEndpoint> endpoint;
  std::uint32_t weight = 1;  // 1..weight_max
  std::uint16_t priority = 0;
};

// The endpoints of one priority. All numbers but the alias table's are indices of EndpointSet::entries.
struct Tier {
  std::uint16_t priority = 0;
  std::vector<std::uint32_t> members;
  AliasTable by_weight;  // over members
  std::vector<std::uint32_t> sequence;  // round_robin: whose turn follows whose
  Maglev ring;  // ring_hash: whose a key is
};

struct EndpointSet {
  EndpointSet() = default;  // nobody, under p2c
  EndpointSet(std::vector<EndpointEntry> entries, Balance balance);

  std::vector<EndpointEntry> entries;
  Balance balance = Balance::p2c;  // whose tables these are
  std::vector<Tier> tiers;  // by priority, the lowest first
  std::vector<std::uint32_t> tier_of;  // by entry
};
using EndpointSetPtr = std::shared_ptr<const EndpointSet>;

}  // namespace sluice::upstream
