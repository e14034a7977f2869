// RingHash: the same key meets the same endpoint, in every worker and every process with the same set (Maglev), while
// that endpoint is usable and not busier than its share allows (bounded loads: Mirrokni, Thorup, Zadimoghaddam, SODA
// 2018). Beyond that the key goes to its next place.
#pragma once

#include "upstream/picker.h"

namespace sluice::upstream {

class RingHash final : public Picker {
 public:
  // An endpoint takes up to 1.25 times its share by weight of all requests in flight here, this one included, rounded
  // up. Exact with one worker; of several, those that pick at the same moment do not see each other.
  static constexpr std::uint64_t bound_percent = 125;
  // But so many always: with few requests in flight a share is less than one, and a client that asks for two things at
  // a time would meet two endpoints.
  static constexpr std::uint64_t room_least = 4;
  static constexpr std::uint32_t probes = 32;  // beyond: the lightest of those that were met
  std::uint32_t pick(const Field& field, const Tier& tier) const override;
  bool prefers(const Field& field, const Tier& tier, std::uint32_t i) const override;

 private:
  static bool fits(const Field& field, std::uint32_t i, std::uint64_t more);  // may it have so many more?
};

}  // namespace sluice::upstream
