// Balancer: which endpoint takes the next request. A function of weights, shared load and health, a random source and
// the time; it knows no loop and no pool. One per worker and upstream. Cost of a pick does not grow with the endpoints
// while most are usable: p2c draws from an alias table, round_robin looks up whose turn it is in a sequence made when
// the set changes (every worker makes the same one; the turns are the process's), least_requests looks at all of up to
// `least_looks` endpoints and at that many draws of more. When draws meet only unusable ones, one pass over all
// endpoints decides (that is the exception: most are down).
//
// Endpoints of one priority form a tier. The lowest tier that has a usable endpoint (healthy, not set aside) takes
// everything: which one that is costs one look while the first is live, and one pass a turn after a failover.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "upstream/options.h"
#include "upstream/service_time.h"
#include "upstream/shared.h"

namespace sluice::upstream {

// xorshift128+; for choices, not for secrets.
class Random {
 public:
  explicit Random(std::uint64_t seed);
  std::uint64_t next();
  std::uint32_t below(std::uint32_t n);  // 0 .. n-1; n > 0

 private:
  std::uint64_t a_;
  std::uint64_t b_;
};

// Draws an index by weight in O(1) (Vose's alias method).
class AliasTable {
 public:
  void build(const std::vector<std::uint32_t>& weights);
  std::uint32_t draw(Random& random) const;  // only if something was built
  bool empty() const { return cells_.empty(); }

 private:
  struct Cell {
    std::uint32_t keep;  // keep the index if the low 32 random bits are not above this
    std::uint32_t alias;
  };
  std::vector<Cell> cells_;
};

// Indices spread evenly, each in proportion to its weight: at most `longest` entries or 8 per endpoint, whichever is
// more, so very unequal weights are rounded (nobody to zero).
inline constexpr std::uint32_t sequence_longest = 4096;
std::vector<std::uint32_t> interleave(const std::vector<std::uint32_t>& weights);

struct Candidate {
  const SharedEndpoint* endpoint = nullptr;
  std::uint32_t weight = 1;
  std::uint16_t priority = 0;
};

class Balancer {
 public:
  static constexpr std::uint32_t none = ~0u;
  static constexpr std::uint32_t least_looks = 16;
  static constexpr std::uint32_t draws_most = 8;  // redraws that may meet an unusable endpoint before the full pass

  struct Pick {
    base::Micros now{};
    bool panic = false;  // health bits are ignored
    std::uint32_t avoid = none;  // taken only if nothing else is usable
    base::Micros half_life = ServiceTime{}.half_life();  // of what failures count as load
  };

  Balancer(Balance kind, std::uint64_t seed, Turns& turns);
  // Indices of pick() refer to the order given here.
  void rebuild(std::vector<Candidate> candidates, Balance kind);
  std::uint32_t size() const { return static_cast<std::uint32_t>(candidates_.size()); }

  // An index, or `none`: no endpoint is usable at all.
  std::uint32_t pick(const Pick& how);
  // For the search after a pick that had no room: what another endpoint must be to stand in for it.
  enum class Standard : std::uint8_t { good, avoided, aside };
  Standard standard_of(std::uint32_t picked, const Pick& how) const;
  bool meets(Standard standard, std::uint32_t i, std::uint32_t picked, const Pick& how) const;
  // Is the endpoint's priority in use, or one before it? Others take no request that waits, but one that avoids the
  // last good endpoint of those before.
  bool in_use(std::uint32_t i, const Pick& how);
  // May pick() choose it while it has nothing against better ones?
  bool takes(std::uint32_t i, const Pick& how) { return good(i, how) && in_use(i, how); }
  // Is another endpoint than i usable and not set aside?
  bool another_usable(std::uint32_t i, const Pick& how) const;
  Random& random() { return random_; }
  std::uint64_t full_passes() const { return full_passes_; }  // picks that draws could not decide

 private:
  bool healthy(std::uint32_t i, const Pick& how) const { return how.panic || candidates_[i].endpoint->healthy(); }
  bool good(std::uint32_t i, const Pick& how) const {
    return i != how.avoid && healthy(i, how) && !candidates_[i].endpoint->aside(how.now);
  }
  // As the tiers see it: panic does not make a dead tier live while another one has a healthy endpoint.
  bool live(std::uint32_t i, base::Micros now) const {
    return candidates_[i].endpoint->healthy() && !candidates_[i].endpoint->aside(now);
  }
  // The endpoints of one priority.
  struct Tier {
    std::uint16_t priority = 0;
    std::vector<std::uint32_t> members;  // indices of candidates_
    AliasTable by_weight;  // over members
    std::vector<std::uint32_t> sequence;  // round_robin: of candidates
    std::uint32_t witness = 0;  // of members: was live when last looked at
  };
  void build(Tier& tier);
  bool live(Tier& tier, base::Micros now) const;
  std::uint32_t live_tier(base::Micros now);  // 0 if none is
  std::uint32_t draw(const Tier& tier) { return tier.members[tier.by_weight.draw(random_)]; }
  // Less load per weight, failures included?
  bool lighter(std::uint32_t a, std::uint32_t b, const Pick& how) const;
  std::uint32_t draw_good(const Tier& tier, const Pick& how, std::uint32_t other_than);
  std::uint32_t pick_p2c(const Tier& tier, const Pick& how);
  std::uint32_t pick_round_robin(const Tier& tier, const Pick& how);
  std::uint32_t pick_least(const Tier& tier, const Pick& how);
  std::uint32_t full_pass(const Pick& how);

  Balance kind_;
  Random random_;
  Turns& turns_;
  std::vector<Candidate> candidates_;
  std::vector<Tier> tiers_;  // by priority, the lowest first
  std::vector<std::uint32_t> tier_of_;  // by candidate
  std::uint32_t live_tier_ = 0;  // as of live_at_
  base::Micros live_at_{-1};
  std::uint64_t full_passes_ = 0;
};

}  // namespace sluice::upstream
