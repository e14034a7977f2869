#include "upstream/picker_ring.h"

#include <algorithm>

namespace sluice::upstream {

// Requests that the endpoint may have in flight.
std::uint64_t RingHash::room(const Field& field, std::uint32_t i) {
  const std::uint64_t whole = field.usable().weight * 100;
  const std::uint64_t all = field.how().in_flight + field.usable().penalties + 1;
  return std::max(room_least, (all * field.weight(i) * bound_percent + whole - 1) / whole);
}

// What failed counts as load where a key is not at home, so that nobody's overflow goes to who fails at once; its own
// keys are no more than its share.
std::uint32_t RingHash::pick(const Field& field, const Tier& tier) const {
  const std::uint64_t key = field.how().key;
  if (key == 0) return of(Balance::p2c).pick(field, tier);
  std::uint32_t lightest = no_endpoint;
  for (std::uint32_t probe = 0; probe < probes; ++probe) {
    const std::uint32_t i = tier.ring.at(key, probe);
    if (!field.good(i)) continue;
    const std::uint64_t load =
        probe == 0 ? std::uint64_t{field.at(i).load()} * SharedEndpoint::load_unit : field.load(i);
    const bool fits = load + SharedEndpoint::load_unit <= room(field, i) * SharedEndpoint::load_unit;
    if (fits && field.stands(i, key)) return i;
    if (lightest == no_endpoint || field.lighter(i, lightest)) lightest = i;
  }
  return lightest;
}

// Its connect counts as load there already.
bool RingHash::prefers(const Field& field, const Tier& tier, std::uint32_t i) const {
  const std::uint64_t key = field.how().key;
  if (key == 0) return true;
  const std::uint32_t home = tier.ring.at(key, 0);
  return home == i || !field.good(home) || !field.stands(home, key) || field.at(home).load() > room(field, home);
}

}  // namespace sluice::upstream
