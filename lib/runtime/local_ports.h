// What only the kernel knows of what runs out: which local ports connects may take, and how many are taken by (source,
// destination), TIME_WAIT included; connections that wait to be accepted. Waits for the kernel: on the helper's thread
// only. Linux.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "net/address.h"

namespace sluice::runtime {

// Sockets of the network namespace that are looked at in one look; above that there is none.
inline constexpr std::uint32_t sockets_most = 1'000'000;
// Pairs of source and destination that are told apart in one look; others are left out.
inline constexpr std::size_t port_pairs_most = 16'384;

// What net.ipv4.ip_local_port_range and ip_local_reserved_ports say.
struct PortRange {
  std::uint32_t first = 32'768;
  std::uint32_t last = 60'999;
  std::vector<bool> reserved = {};  // by port - first
  bool has(std::uint16_t port) const {
    return port >= first && port <= last && (reserved.empty() || !reserved[port - first]);
  }
  std::uint32_t size() const;
};
// As the files hold them: "32768\t60999\n"; "8080,9000-9010\n". What cannot be read is left as it is by default.
PortRange parse_port_range(std::string_view range, std::string_view reserved);

struct PortUse {
  net::Address source;  // without port
  net::Address destination;
  std::uint32_t used = 0;  // TIME_WAIT included
  std::uint32_t time_wait = 0;
};

// Of all sockets that listen on one address: connections whose handshake is done and that nobody has accepted yet.
struct AcceptQueue {
  net::Address at;
  std::uint32_t waiting = 0;
  std::uint32_t most = 0;  // beyond it the kernel drops what comes: listen()'s backlog, net.core.somaxconn at most
};

struct PortsSeen {
  std::vector<PortUse> uses;
  std::uint32_t available = 0;  // ports of each of them
  std::vector<AcceptQueue> queues = {};
};

struct PortsWanted {
  std::vector<net::Address> destinations;
  std::vector<net::Address> listening;  // as bound
  bool empty() const { return destinations.empty() && listening.empty(); }
};

// Of sockets towards one of the destinations, or that listen there. Netlink sock_diag: needs no right.
base::Result<PortsSeen> read_local_ports(const PortsWanted& wanted);

}  // namespace sluice::runtime
