// Tiers and their tables. See endpoint_set.h.
#include "upstream/endpoint_set.h"

#include <algorithm>
#include <utility>

#include "upstream/shared.h"

namespace sluice::upstream {
namespace {

// Name and address as every process has them; neither ids nor the order of the set.
std::uint64_t identity_of(const SharedEndpoint& endpoint) {
  return ring_hash(endpoint.name() + '\n' + endpoint.host() + '\n' + endpoint.address().text());
}

void build_ring(Tier& tier, const std::vector<EndpointEntry>& entries) {
  std::vector<Maglev::Owner> owners;
  owners.reserve(tier.members.size());
  for (const std::uint32_t i : tier.members) {
    owners.push_back({.identity = identity_of(*entries[i].endpoint), .weight = entries[i].weight, .index = i});
  }
  tier.ring.build(std::move(owners));
}

void build(Tier& tier, const std::vector<EndpointEntry>& entries, Balance balance) {
  std::vector<std::uint32_t> weights;
  weights.reserve(tier.members.size());
  for (const std::uint32_t i : tier.members) weights.push_back(entries[i].weight);
  tier.by_weight.build(weights);
  if (balance == Balance::ring_hash) build_ring(tier, entries);
  if (balance != Balance::round_robin) return;
  tier.sequence = interleave(weights);
  for (std::uint32_t& place : tier.sequence) place = tier.members[place];
}

}  // namespace

EndpointSet::EndpointSet(std::vector<EndpointEntry> of, Balance kind) : entries(std::move(of)), balance(kind) {
  std::vector<std::uint16_t> priorities;
  priorities.reserve(entries.size());
  for (const EndpointEntry& e : entries) priorities.push_back(e.priority);
  std::sort(priorities.begin(), priorities.end());
  priorities.erase(std::unique(priorities.begin(), priorities.end()), priorities.end());
  for (const std::uint16_t p : priorities) tiers.emplace_back().priority = p;
  tier_of.reserve(entries.size());
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    const auto at = std::lower_bound(priorities.begin(), priorities.end(), entries[i].priority) - priorities.begin();
    tier_of.push_back(static_cast<std::uint32_t>(at));
    tiers[tier_of.back()].members.push_back(i);
  }
  for (Tier& tier : tiers) build(tier, entries, kind);
}

}  // namespace sluice::upstream
