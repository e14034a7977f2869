#include "dns/schedule.h"

#include <algorithm>

#include "dns/directory.h"

namespace sluice::dns {
namespace {
base::Millis from_seconds(std::uint32_t n) { return base::seconds(static_cast<std::int64_t>(n)); }
}  // namespace

std::uint64_t Random::next() {
  std::uint64_t z = (state_ += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

base::Millis positive_ttl(std::uint32_t seconds, const DnsOptions& options) {
  return std::max({query_gap, options.min_ttl, std::min(from_seconds(seconds), options.max_ttl)});
}

base::Millis negative_ttl(std::optional<std::uint32_t> seconds, const DnsOptions& options) {
  const base::Millis told = seconds ? from_seconds(*seconds) : negative_ttl_default;
  return std::max(query_gap, std::min(told, options.negative_ttl_max));
}

base::Millis refresh_after(base::Millis ttl, Random& random) {
  const std::int64_t early = ttl.count * random.between(20, 100) / 1000;
  return std::max(query_gap, base::Millis{ttl.count - std::min(early, early_max.count)});
}

base::Millis retry_after(std::uint32_t failures, Random& random) {
  const std::uint32_t doublings = std::min(failures - 1, 10U);
  const std::int64_t span = std::min(base::seconds(1).count << doublings, retry_max.count);
  return base::Millis{span - span * random.between(0, 200) / 1000};
}

base::Millis hold_interval(base::Millis negative, const DnsOptions& options) {
  return std::max(query_gap, std::min(negative, base::Millis{options.nx_hold.count / 3}));
}

}  // namespace sluice::dns
