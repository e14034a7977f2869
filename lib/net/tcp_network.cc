// TcpNetwork: dials with TcpSocket.
#include "net/tcp_network.h"

#include "net/tcp_socket.h"

namespace sluice::net {

TransportPtr TcpNetwork::dial(Loop& loop, const Address& to, const DialOptions& options) { return dial_socket(loop, to, options); }

}  // namespace sluice::net
