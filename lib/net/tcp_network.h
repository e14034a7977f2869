// TcpNetwork: the Network of real sockets.
#pragma once

#include "net/transport.h"

namespace sluice::net {

class TcpNetwork final : public Network {
 public:
  // `takes`: of all its connections.
  explicit TcpNetwork(Takes takes = Takes::what_traffic_may) : takes_(takes) {}
  TransportPtr dial(Loop& loop, const Address& to, const DialOptions& options) override;

 private:
  Takes takes_;
};

}  // namespace sluice::net
