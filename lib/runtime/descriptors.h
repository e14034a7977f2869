// How the descriptors of the process are shared out. Pure.
#pragma once

#include <cstdint>

namespace sluice::runtime {

struct DescriptorShares {
  uint32_t clients = 0;
  uint32_t upstreams = 0;
  uint32_t reserve =
      0;  // what the process holds itself, and what it needs now and then: admin, logs, a reload, DNS, health checks
};

// What a process holds without traffic, with so many workers and addresses to listen on.
uint32_t own_descriptors(uint32_t workers, uint32_t addresses);

// `limit`: RLIMIT_NOFILE. Half of what is left beside the reserve is for clients, since each request has a connection
// on either side. One descriptor more is one more for somebody, and one less for nobody. Never less than one client.
DescriptorShares share_descriptors(uint64_t limit, uint32_t own);

// Of the reserve the last so many are never a client's or an upstream's, whatever their shares say:
// net::keep_descriptors().
uint32_t kept_descriptors(uint64_t limit);

}  // namespace sluice::runtime
