#include "dns/weights.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "dns/order.h"

namespace sluice::dns {
namespace {

bool before(const Endpoint& a, const Endpoint& b) {
  if (a.priority != b.priority) return a.priority < b.priority;
  if (a.address != b.address) return address_before(a.address, b.address);
  return a.host < b.host;
}

// All of one priority, none without addresses.
void weigh(std::span<const Candidate> group, std::vector<Endpoint>& to) {
  const auto weight = [](const Candidate& c) { return c.record.weight; };
  const bool zeros = std::any_of(group.begin(), group.end(), [&](const Candidate& c) { return weight(c) == 0; });
  const bool all_zero = std::all_of(group.begin(), group.end(), [&](const Candidate& c) { return weight(c) == 0; });
  const bool uneven = std::any_of(group.begin(), group.end(),
                                  [&](const Candidate& c) { return c.addresses.size() != group[0].addresses.size(); });
  const auto share = [&](const Candidate& c) {
    return (all_zero ? 1.0 : weight(c)) / static_cast<double>(c.addresses.size());
  };
  double largest = 0;
  for (const Candidate& c : group) largest = std::max(largest, share(c));
  for (const Candidate& c : group) {
    double w = all_zero ? 1 : weight(c);
    if (uneven || (zeros && !all_zero)) w = std::round(share(c) * weight_max / largest);
    for (net::Address address : c.addresses) {
      address.set_port(c.record.port);
      to.push_back({address, c.record.priority, std::max(1U, static_cast<std::uint32_t>(w)), c.record.target});
    }
  }
}

void merge_twins(std::vector<Endpoint>& all) {
  std::vector<Endpoint> kept;
  std::vector<const Endpoint*> by_address;
  for (const Endpoint& e : all) by_address.push_back(&e);
  std::sort(by_address.begin(), by_address.end(), [](const Endpoint* a, const Endpoint* b) {
    return a->address != b->address ? address_before(a->address, b->address) : before(*a, *b);
  });
  for (const Endpoint* e : by_address) {
    if (kept.empty() || kept.back().address != e->address) {
      kept.push_back(*e);
    } else if (kept.back().priority == e->priority) {
      kept.back().weight = std::min(weight_max, kept.back().weight + e->weight);
    }
  }
  all = std::move(kept);
}

}  // namespace

void sort_endpoints(std::vector<Endpoint>& endpoints) { std::sort(endpoints.begin(), endpoints.end(), before); }

std::vector<Endpoint> spread(std::vector<Candidate> candidates) {
  std::erase_if(candidates, [](const Candidate& c) { return c.addresses.empty() || c.record.target.empty(); });
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.record < b.record; });
  std::vector<Endpoint> all;
  for (auto first = candidates.begin(); first != candidates.end();) {
    const auto last = std::find_if(first, candidates.end(),
                                   [&](const Candidate& c) { return c.record.priority != first->record.priority; });
    weigh({first, last}, all);
    first = last;
  }
  merge_twins(all);
  sort_endpoints(all);
  return all;
}

}  // namespace sluice::dns
