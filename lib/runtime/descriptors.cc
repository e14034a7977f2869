#include "runtime/descriptors.h"

#include <algorithm>

namespace sluice::runtime {
namespace {

constexpr uint32_t own_of_process =
    24;  // standard streams, logs, signals, the admin listener and its clients, control's loop, c-ares
constexpr uint32_t own_of_worker = 5;  // its loop, and its schedstat
constexpr uint64_t spare_least = 8;
constexpr uint64_t spare_most = 224;
constexpr uint64_t spare_part = 8;  // one of so many
constexpr uint64_t kept_most = 32;

}  // namespace

uint32_t own_descriptors(uint32_t workers, uint32_t addresses) {
  return own_of_process + workers * (own_of_worker + addresses);
}

DescriptorShares share_descriptors(uint64_t limit, uint32_t own) {
  limit = std::min<uint64_t>(limit, UINT32_MAX);
  const uint64_t free = limit - std::min<uint64_t>(limit, own);
  const uint64_t spare = std::min(free, std::clamp(free / spare_part, spare_least, spare_most));
  const uint64_t clients = std::max<uint64_t>((free - spare + 1) / 2, 1);
  const uint64_t upstreams = (free - spare) / 2;
  return {static_cast<uint32_t>(clients), static_cast<uint32_t>(upstreams),
          static_cast<uint32_t>(limit - free + spare)};
}

uint32_t kept_descriptors(uint64_t limit) { return static_cast<uint32_t>(std::min(limit / spare_part / 2, kept_most)); }

}  // namespace sluice::runtime
