// Way: everything that decides how a connection to an upstream is made. Connections made one way are no good for
// another; what is no part of it (time limits, counts) may change under them.
#pragma once

#include <memory>
#include <vector>

#include "net/address.h"
#include "net/proxy_protocol.h"
#include "tls/context.h"
#include "upstream/options.h"

namespace sluice::upstream {

struct Way {
  Protocol protocol = Protocol::http1;
  net::ProxyProtocolOut proxy_protocol = net::ProxyProtocolOut::off;
  std::vector<net::Address>
      source_addresses{};  // taken in turn; a family that does not fit the endpoint's is passed over
  std::shared_ptr<const tls::ClientContext>
      tls{};  // nullptr = in the clear. The same object while options and files stay
  bool operator==(const Way&) const = default;
};
using WayPtr = std::shared_ptr<const Way>;

}  // namespace sluice::upstream
