// Who else listens: a bind() that fails with EADDRINUSE may have met a socket of our own, which SO_REUSEPORT allows, or
// one of another process, half of whose clients we would get.
#pragma once

#include "net/address.h"

namespace sluice::net {

// Whether another process in this network namespace listens at an address that takes clients of `address` (an IP
// address). True also when the system does not tell. Reads /proc: not for a loop.
bool another_listens(const Address& address);

}  // namespace sluice::net
