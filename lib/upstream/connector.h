// Connector: makes connections to endpoints: TCP or Unix socket, PROXY header, TLS, and by protocol or ALPN the client
// session on top. One per upstream and loop, owned by its user (a cluster or the health checks). With
// runtime/acceptor.cc its .cc is the only place that knows HTTP versions.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/options.h"
#include "http/stream.h"
#include "net/transport.h"
#include "tls/context.h"
#include "upstream/options.h"
#include "upstream/shared.h"
#include "upstream/way.h"

namespace sluice::upstream {

// How long the parts of a connect took.
struct DialTimes {
  base::Micros connect{};  // TCP
  base::Micros tls{};  // handshake; 0 without TLS
};

struct DialFailure {
  enum class Fault : std::uint8_t { theirs, ours };
  http::Kind kind = http::Kind::connect_failed;  // or connect_timeout, tls_failed, no_local_port, no_descriptor
  Fault fault = Fault::theirs;  // ours: local resources ran out, which says nothing about the endpoint
};

// Upcalls, at the loop: exactly one of the two, once, unless the dial is let go before.
class DialUser {
 public:
  virtual void on_dialled(http::ClientSessionPtr session, const DialTimes& times) = 0;
  virtual void on_dial_failed(const DialFailure& why) = 0;

 protected:
  ~DialUser() = default;
};

// A connect under way; letting go of it abandons it.
class Dial {
 public:
  virtual void retire() noexcept = 0;

 protected:
  ~Dial() = default;
};
using DialPtr = net::Owned<Dial>;

struct DialTarget {
  const SharedEndpoint& endpoint;  // outlives the dial
  tls::SessionSlot* sessions = nullptr;  // to resume with; outlives the connection; nullptr = none
  const net::Peer* client = nullptr;  // for the PROXY header, read in dial(); nullptr: ours (LOCAL, UNKNOWN)
  base::Millis timeout{
      1'000};  // TCP and TLS together; HTTP/2: as long may one be silent that is asked whether it lives
  bool only_http1 = false;  // HTTP/2 is not offered, where ALPN settles it
  base::Millis keepalive = net::DialOptions{}.keepalive;
  base::Millis user_timeout{0};
};

class Connector {
 public:
  virtual ~Connector() = default;
  // Never null. `host` gets the session's upcalls from on_dialled() on.
  virtual DialPtr dial(const DialTarget& target, DialUser& user, http::ClientHost& host) = 0;
  virtual const WayPtr& way() const = 0;  // how its connections are made
};

struct ConnectorSetup {
  std::string upstream;  // for the log
  net::Loop& loop;  // outlives its dials, as the network does
  net::Network& network;
  WayPtr way = std::make_shared<Way>();
  http::HttpLimits limits{};  // of answers
};
// What a client context for this protocol offers in ALPN.
std::vector<std::string> alpn_of(Protocol protocol);
// It may go while dials that it made are under way.
std::unique_ptr<Connector> make_connector(ConnectorSetup setup);

}  // namespace sluice::upstream
