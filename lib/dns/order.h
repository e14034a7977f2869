// The one order in which addresses are kept and shown: IPv4 before IPv6, then by bytes, then by port.
#pragma once

#include <algorithm>

#include "net/address.h"

namespace sluice::dns {

inline bool address_before(const net::Address& a, const net::Address& b) {
  if (a.family() != b.family()) return a.family() < b.family();
  const auto left = a.ip_bytes(), right = b.ip_bytes();
  const auto order = std::lexicographical_compare_three_way(left.begin(), left.end(), right.begin(), right.end());
  return order != 0 ? order < 0 : a.port() < b.port();
}

}  // namespace sluice::dns
