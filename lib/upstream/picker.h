// Picker: how one kind of `balance` chooses an endpoint of a tier. Without a state of its own: what it reads is the
// Field of one pick. Its cost does not grow with the endpoints; it allocates nothing and takes no lock.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "upstream/avoid_list.h"
#include "upstream/endpoint_set.h"
#include "upstream/random.h"
#include "upstream/service_time.h"
#include "upstream/shared.h"

namespace sluice::upstream {

inline constexpr std::uint32_t no_endpoint = ~0u;

// What a pick is told.
struct Pick {
  base::Micros now{};
  bool panic = false;  // health bits and ejections are ignored
  const AvoidList* avoid = nullptr;  // taken only if nothing else is usable; nullptr: none
  base::Micros half_life = ServiceTime{}.half_life();  // of what failures count as load
  float usual_head = 0;  // p2c_ewma: microseconds to a head, for endpoints without a measure; 0 = not known
  std::uint64_t key = 0;  // ring_hash: of the request (upstream::ring_hash()); 0 = it has none
  std::uint32_t in_flight = 0;  // ring_hash: requests and connects of all workers here, this one not counted
};

// Slow start: an endpoint that is new or has recovered begins with this share of its weight (with none it would never
// be drawn, and so never warm up), which grows along a straight line over the window.
inline constexpr std::uint32_t slow_start_floor = 10;  // percent
inline constexpr std::uint32_t full_share = 100;

// One pick: the set as it stands now. Indices are those of EndpointSet::entries.
class Field {
 public:
  static constexpr std::uint32_t draws_most = 8;  // redraws that may meet an unusable endpoint before the full pass

  // Of a tier, for the bound of ring_hash: the weight of the endpoints that are good, shares counted, and what failures
  // count as at all of them, in requests.
  struct Usable {
    std::uint64_t weight = 0;
    std::uint64_t penalties = 0;
  };
  Field(const EndpointSet& set, const Pick& how, base::Micros slow_start, Random& random, Turns& turns,
        const Usable& usable)
      : set_(set), how_(how), slow_start_(slow_start), random_(random), turns_(turns), usable_(usable) {}

  const Pick& how() const { return how_; }
  Random& random() const { return random_; }
  Turns& turns() const { return turns_; }
  const SharedEndpoint& at(std::uint32_t i) const { return *set_.entries[i].endpoint; }
  bool healthy(std::uint32_t i) const { return at(i).may_serve(how_.panic); }
  // From 1, where it failed longest ago; 0: not to be avoided.
  std::uint32_t avoided(std::uint32_t i) const { return how_.avoid == nullptr ? 0 : how_.avoid->rank(at(i).id()); }
  bool good(std::uint32_t i) const { return avoided(i) == 0 && at(i).takes(how_.now, how_.panic); }
  // Percent of its weight that it takes now.
  std::uint32_t share(std::uint32_t i) const { return slow_start_.count == 0 ? full_share : ramp(i); }
  std::uint64_t weight(std::uint32_t i) const { return std::uint64_t{set_.entries[i].weight} * share(i); }
  const Usable& usable() const { return usable_; }
  std::uint64_t load(std::uint32_t i) const { return at(i).load_units(how_.now, how_.half_life); }
  // Less load per weight, failures included?
  bool lighter(std::uint32_t a, std::uint32_t b) const { return load(a) * weight(b) < load(b) * weight(a); }

  // Will a request be answered sooner there, by the time to head of both and what each has to do for its weight? The
  // request itself counts alike for both, as draws go by weight: of two that are idle the time alone decides.
  bool quicker(std::uint32_t a, std::uint32_t b) const {
    const auto weight_a = static_cast<float>(weight(a));
    const auto weight_b = static_cast<float>(weight(b));
    const float itself = 2.0f * SharedEndpoint::load_unit / (weight_a + weight_b);
    return head_time(a) * (static_cast<float>(load(a)) / weight_a + itself) <
           head_time(b) * (static_cast<float>(load(b)) / weight_b + itself);
  }

  std::uint32_t draw(const Tier& tier) const { return tier.members[tier.by_weight.draw(random_)]; }
  // Does a draw by full weights stand, as it may ramp? Half of the draws of one at half of its weight do.
  bool stands(std::uint32_t i) const {
    const std::uint32_t its = share(i);
    return its >= full_share || random_.below(full_share) < its;
  }
  // The same for a key: always the same keys, and more of them while its share grows.
  bool stands(std::uint32_t i, std::uint64_t key) const {
    const std::uint32_t its = share(i);
    return its >= full_share || Maglev::mix(key ^ Maglev::mix(i)) % full_share < its;
  }
  // By weight, a good one; no_endpoint: draws_most draws met none.
  std::uint32_t draw_good(const Tier& tier, std::uint32_t other_than) const;

 private:
  std::uint32_t ramp(std::uint32_t i) const;
  float head_time(std::uint32_t i) const {
    const float own = at(i).head_time().faded(how_.now);
    return std::max(own > 0 ? own : how_.usual_head, 1.0f);
  }

  const EndpointSet& set_;
  const Pick& how_;
  base::Micros slow_start_;
  Random& random_;
  Turns& turns_;
  Usable usable_;
};

class Picker {
 public:
  // A good endpoint, or no_endpoint: it met only others (the balancer then looks at all).
  virtual std::uint32_t pick(const Field& field, const Tier& tier) const = 0;

  // Is endpoint i, which has become free, as good as any for this request, or does it wait for its own?
  virtual bool prefers(const Field& field, const Tier& tier, std::uint32_t i) const;

  static const Picker& of(Balance balance);

 protected:
  ~Picker() = default;
};

}  // namespace sluice::upstream
