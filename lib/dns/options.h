// Settings of the resolver, as `[dns]` states them. Plain values; owned by the snapshot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace sluice::dns {

enum class AtStart : std::uint8_t { go_on, require };

struct DnsOptions {
  std::vector<std::string> servers;          // "ADDRESS:PORT"; empty = as the system is configured
  base::Millis timeout{2'000};               // one query
  std::uint32_t attempts = 2;
  base::Millis min_ttl{1'000};
  base::Millis max_ttl{300'000};
  base::Millis negative_ttl_max{30'000};     // RFC 2308: the SOA minimum, but not above this
  base::Millis stale_max{3'600'000};         // last good answers serve this long while DNS fails
  base::Millis nx_hold{30'000};              // "no such name" must repeat this long before addresses are given up
  AtStart required_at_start = AtStart::go_on;
  bool operator==(const DnsOptions&) const = default;
};

}  // namespace sluice::dns
