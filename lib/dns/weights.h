// From SRV records and the addresses of their targets to endpoints with weights: a pure function (docs/dns.md, "SRV").
#pragma once

#include <vector>

#include "dns/directory.h"

namespace sluice::dns {

struct Candidate {
  ServiceRecord record;
  std::vector<net::Address> addresses;   // of the target, without port; empty: nobody of it yet
};

inline constexpr std::uint32_t weight_max = 65'535;

// Within a priority: a target's weight is shared by its addresses; a weight of 0 beside others becomes 1/65535 of the
// largest ("a very small chance", RFC 2782); only zeros: all alike. Weights stay as they are when nothing of this is
// needed. An address that comes twice stands once, in its best priority, with the sum of its weights there. Sorted as
// Resolved is.
std::vector<Endpoint> spread(std::vector<Candidate> candidates);

// Sorted by priority, then address.
void sort_endpoints(std::vector<Endpoint>& endpoints);

}  // namespace sluice::dns
