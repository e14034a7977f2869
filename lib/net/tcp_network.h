// TcpNetwork: the Network of real sockets.
#pragma once

#include "net/transport.h"

namespace sluice::net {

class TcpNetwork final : public Network {
 public:
  TransportPtr dial(Loop& loop, const Address& to, const DialOptions& options) override;
};

}  // namespace sluice::net
