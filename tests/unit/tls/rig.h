// A TLS client and server of ours on the two ends of a simulated wire, with users that record what they see.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "certs.h"
#include "net/transport.h"
#include "support/pipe.h"
#include "support/sim_loop.h"
#include "tls/context.h"
#include "tls/transport.h"

namespace sluice::test {

// Records everything; sends what is queued. Checks the order of the upcalls.
class Side final : public net::Transport::User {
 public:
  void bind(net::TransportPtr transport);
  void send(std::string_view bytes);             // queued until open, then at the next flush
  void on_open() override;
  void on_bytes(net::ByteQueue& in) override;
  void fill(net::ByteQueue& out, size_t room) override;
  void on_eof(bool authenticated) override;
  void on_drained() override { ++drained; }
  void on_end(net::EndReason why) override;

  net::TransportPtr transport;
  net::ByteQueue to_send;
  std::string got;
  unsigned opens = 0;
  unsigned deliveries = 0;                       // calls of on_bytes
  unsigned drained = 0;
  std::size_t pieces = 0;                        // slices of the last on_bytes
  std::size_t leave = 0;                         // on_bytes leaves all while fewer bytes than this are there
  std::optional<bool> eof;                       // authenticated?
  std::optional<net::EndReason> end;
  std::string detail;
  std::optional<net::Close> close_when_given;    // called inside fill() once everything was given
};

// Counts handshakes.
struct Events final : tls::TlsEvents {
  void on_handshake(const tls::HandshakeFacts& f) override { facts.push_back(f); }
  void on_handshake_error(tls::HandshakeError why) override { errors.push_back(why); }
  std::vector<tls::HandshakeFacts> facts;
  std::vector<tls::HandshakeError> errors;
};

std::int64_t now_seconds();
base::Micros wall_now();

std::shared_ptr<const tls::ServerContext> server_context(const tls::ServerTlsOptions& options,
                                                         std::vector<std::string> alpn = {},
                                                         const tls::ServerContext* previous = nullptr,
                                                         tls::Findings* warnings = nullptr,
                                                         std::string_view listener = "test");
std::shared_ptr<const tls::ClientContext> client_context(const tls::ClientTlsOptions& options,
                                                         const std::vector<std::string>& alpn = {});
tls::ServerTlsOptions server_options(std::vector<tls::CertificateFiles> certificates);
tls::ClientTlsOptions client_options();          // verifies against the tests' CA
// localhost, P-256.
const tls::CertificateFiles& localhost();

struct RigOptions {
  std::shared_ptr<const tls::ServerContext> server;   // empty: localhost()
  std::shared_ptr<const tls::ClientContext> client;   // empty: client_options()
  std::string name = "localhost";
  tls::SessionSlot* sessions = nullptr;
  base::Millis timeout{0};
  support::Tear tear_to_server;
  support::Tear tear_to_client;
};

class Rig {
 public:
  explicit Rig(support::SimLoop& sim, const RigOptions& options = {});
  // Both sides are open.
  bool open() const { return client.opens == 1 && server.opens == 1; }

  support::SimLoop& sim;
  Events client_events;
  Events server_events;
  Side client;
  Side server;
  std::shared_ptr<support::Wire> wire;           // a = client
};

}  // namespace sluice::test
