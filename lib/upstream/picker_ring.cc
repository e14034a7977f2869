#include "upstream/picker_ring.h"

#include <algorithm>

namespace sluice::upstream {

// The least room is for requests; what failed has none there, or who fails at once would have that many again and again
// while the others serve one.
bool RingHash::fits(const Field& field, std::uint32_t i, std::uint64_t more) {
  const std::uint64_t whole = field.usable().weight * 100;
  const std::uint64_t all = field.how().in_flight + field.usable().penalties + 1;
  const std::uint64_t bound = (all * field.weight(i) * bound_percent + whole - 1) / whole;
  const std::uint64_t requests = field.at(i).load() + more;
  if (requests > std::max(room_least, bound)) return false;
  const std::uint64_t units = field.load(i) + more * SharedEndpoint::load_unit;
  return units <= std::max(requests, bound) * SharedEndpoint::load_unit;
}

std::uint32_t RingHash::pick(const Field& field, const Tier& tier) const {
  const std::uint64_t key = field.how().key;
  if (key == 0) return of(Balance::p2c).pick(field, tier);
  std::uint32_t lightest = no_endpoint;
  for (std::uint32_t probe = 0; probe < probes; ++probe) {
    const std::uint32_t i = tier.ring.at(key, probe);
    if (!field.good(i)) continue;
    if (fits(field, i, 1) && field.stands(i, key)) return i;
    if (lightest == no_endpoint || field.lighter(i, lightest)) lightest = i;
  }
  return lightest;
}

// Its connect counts as load there already.
bool RingHash::prefers(const Field& field, const Tier& tier, std::uint32_t i) const {
  const std::uint64_t key = field.how().key;
  if (key == 0) return true;
  const std::uint32_t home = tier.ring.at(key, 0);
  return home == i || !field.good(home) || !field.stands(home, key) || !fits(field, home, 0);
}

}  // namespace sluice::upstream
