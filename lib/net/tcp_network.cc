// TcpNetwork: dials with TcpSocket.
#include "net/tcp_network.h"

#include "net/tcp_socket.h"

namespace sluice::net {

TransportPtr TcpNetwork::dial(Loop& loop, const Address& to, const DialOptions& options) {
  DialOptions ours = options;
  ours.takes = takes_;
  return dial_socket(loop, to, ours);
}

}  // namespace sluice::net
