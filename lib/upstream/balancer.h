// Balancer: which endpoint takes the next request. A function of the endpoint set, shared load and health, a random
// source and the time; it knows no loop and no pool. One per worker and upstream. The set's Picker chooses; when it
// meets only unusable endpoints, one pass over all decides (that is the exception: most are down).
//
// Endpoints of one priority form a tier. The lowest tier that has a usable endpoint (healthy, not set aside) takes
// everything: which one that is costs one look while the first is live, and one pass a turn after a failover.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "upstream/endpoint_set.h"
#include "upstream/options.h"
#include "upstream/picker.h"
#include "upstream/random.h"
#include "upstream/shared.h"

namespace sluice::upstream {

class Balancer {
 public:
  using Pick = upstream::Pick;
  static constexpr std::uint32_t none = no_endpoint;

  Balancer(std::uint64_t seed, Turns& turns);
  // Before the first pick, and when the set or the window changes. Indices of pick() are those of its entries.
  void use(EndpointSetPtr set, base::Millis slow_start);
  std::uint32_t size() const { return static_cast<std::uint32_t>(set_->entries.size()); }

  // An index, or `none`: no endpoint is usable at all.
  std::uint32_t pick(const Pick& how);
  // For the search after a pick that had no room: what another endpoint must be to stand in for it.
  enum class Standard : std::uint8_t { good, avoided, aside };
  Standard standard_of(std::uint32_t picked, const Pick& how) const;
  bool meets(Standard standard, std::uint32_t i, std::uint32_t picked, const Pick& how) const;
  // Is endpoint i, which has become free, as good as any for this request? Under ring_hash not while the key's own is
  // usable and within its bound.
  bool prefers(std::uint32_t i, const Pick& how);
  // Is the endpoint's priority in use, or one before it? Others take no request that waits, but one that avoids all
  // good endpoints of those before.
  bool in_use(std::uint32_t i, const Pick& how);
  // May pick() choose it while it has nothing against better ones?
  bool takes(std::uint32_t i, const Pick& how) { return good(i, how) && in_use(i, how); }
  // Is it healthy and not set aside?
  bool usable(std::uint32_t i, const Pick& how) const {
    return i != none && healthy(i, how) && !at(i).shunned(how.now, how.panic);
  }
  // Is another endpoint than i usable, not set aside and not to be avoided?
  bool another_usable(std::uint32_t i, const Pick& how) const;
  Random& random() { return random_; }
  std::uint64_t full_passes() const { return full_passes_; }  // picks that the picker could not decide

 private:
  const SharedEndpoint& at(std::uint32_t i) const { return *set_->entries[i].endpoint; }
  bool healthy(std::uint32_t i, const Pick& how) const { return at(i).may_serve(how.panic); }
  bool good(std::uint32_t i, const Pick& how) const {
    return !avoided(i, how) && healthy(i, how) && !at(i).shunned(how.now, how.panic);
  }
  bool avoided(std::uint32_t i, const Pick& how) const {
    return how.avoid != nullptr && how.avoid->rank(at(i).id()) != 0;
  }
  // As the tiers see it: panic does not make a dead tier live while another one has a healthy endpoint.
  bool live(std::uint32_t i, base::Micros now) const { return at(i).may_serve(false) && !at(i).aside(now); }
  bool tier_live(std::uint32_t tier, base::Micros now);
  std::uint32_t live_tier(base::Micros now);  // 0 if none is
  Field field(std::uint32_t tier, const Pick& how);
  Field::Usable usable(std::uint32_t tier, const Pick& how);
  std::uint32_t full_pass(const Field& field);

  Random random_;
  Turns& turns_;
  EndpointSetPtr set_;
  const Picker* picker_;  // the set's
  base::Micros slow_start_{};
  std::vector<std::uint32_t> witnesses_;  // by tier, of its members: was live when last looked at
  std::uint32_t live_tier_ = 0;  // as of live_at_
  base::Micros live_at_{-1};
  std::uint32_t counted_tier_ = none;  // ring_hash: what of a tier is usable, counted now and then
  base::Micros counted_at_{};
  Field::Usable usable_;
  std::uint64_t full_passes_ = 0;
};

}  // namespace sluice::upstream
