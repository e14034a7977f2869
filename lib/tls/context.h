// ServerContext, ClientContext: the settings of one listener or one upstream made ready for handshakes: certificates
// loaded and checked, CAs read, ticket keys. Immutable once made and shared by all workers; a reload makes a new one,
// and new connections take that. Connections keep theirs alive. Not for the data path.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "tls/options.h"

struct ssl_ctx_st;
struct ssl_session_st;

namespace sluice::tls {

class CertStore;
class Tickets;

// One certificate as metrics and logs show it. The order is that of the options.
struct CertificateFacts {
  std::string name;  // first DNS name, else common name, else the file's name
  std::string file;
  std::int64_t not_before = 0;  // Unix seconds
  std::int64_t not_after = 0;  // Unix seconds: certificate_expiry_timestamp_seconds
  bool kept = false;  // the file holds an expired one, so the valid one of before the reload is still served
};

// Errors and warnings name the file in Error::span.file and the reason in Error::message.
using Findings = std::vector<base::Error>;

class ServerContext {
 public:
  struct Setup {
    std::string_view listener;  // its name: a ticket of one listener does not resume on another
    std::vector<std::string> alpn;  // our preference, best first: "h2", "http/1.1"; empty: no ALPN
    const ServerContext* previous =
        nullptr;  // of the same listener before a reload: its ticket keys go on, and no valid
        // certificate of it gives way to an expired one
    base::Micros wall{};  // now, since the epoch
  };
  // Warnings (expired, not yet valid, expired and therefore the former one kept) are appended to `warnings`.
  static base::Result<std::shared_ptr<const ServerContext>> load(const ServerTlsOptions& options, const Setup& setup,
                                                                 Findings& warnings);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  std::span<const CertificateFacts> certificates() const { return facts_; }

  // For tls::Transport only.
  ssl_ctx_st* first() const;

 private:
  ServerContext();
  friend struct ServerContextLoader;

  std::unique_ptr<CertStore> store_;
  std::shared_ptr<Tickets> tickets_;
  std::shared_ptr<void> hooks_;  // what the handshake's callbacks find
  std::vector<CertificateFacts> facts_;
  std::string alpn_wire_;  // as in the extension: each name behind its length
  base::Millis own_ticket_lifetime_{0};  // 0: the keys are a fleet's
};

// Sessions to resume with one endpoint; owned by the endpoint, one per worker. It must outlive the retire() of every
// transport connected with it. Sessions of another ClientContext (after a reload) are forgotten, never used.
class SessionSlot {
 public:
  static constexpr std::size_t sessions_max = 4;  // the newest ones; a TLS 1.3 ticket is used once (RFC 8446 C.4)
  SessionSlot() = default;
  SessionSlot(const SessionSlot&) = delete;
  SessionSlot& operator=(const SessionSlot&) = delete;
  ~SessionSlot() { clear(); }
  void clear();
  std::size_t size() const { return count_; }

  // For tls::Transport only: take() gives one reference away (nullptr: none), put() takes one over.
  ssl_session_st* take(std::uint64_t context_id);
  void put(std::uint64_t context_id, ssl_session_st* session);

 private:
  ssl_session_st* sessions_[sessions_max] = {};
  std::size_t count_ = 0;
  std::uint64_t context_id_ = 0;
};

class ClientContext {
 public:
  // `alpn`: what to offer, best first; empty: no ALPN. Errors name the file. An expired client certificate is a
  // warning.
  static base::Result<std::shared_ptr<const ClientContext>> load(const ClientTlsOptions& options,
                                                                 std::span<const std::string> alpn, base::Micros wall,
                                                                 Findings& warnings);
  ~ClientContext();
  ClientContext(const ClientContext&) = delete;
  ClientContext& operator=(const ClientContext&) = delete;

  // Name to send and verify for an endpoint called `endpoint_name` (no port): options.server_name if set.
  std::string_view server_name(std::string_view endpoint_name) const {
    return server_name_.empty() ? endpoint_name : std::string_view(server_name_);
  }
  Verify verify() const { return verify_; }

  // For tls::Transport only.
  ssl_ctx_st* raw() const { return context_; }
  std::uint64_t id() const { return id_; }

 private:
  ClientContext() = default;

  ssl_ctx_st* context_ = nullptr;
  std::string server_name_;
  Verify verify_ = Verify::yes;
  std::uint64_t id_ = 0;  // unique in the process
};

// For `sluice check`: everything load() would say, without making anything. Errors and warnings, by severity.
Findings verify_files(const ServerTlsOptions& options, base::Micros wall);
Findings verify_files(const ClientTlsOptions& options, base::Micros wall);

unsigned boringssl_api_version();  // BoringSSL has no releases, only a number that grows with its API

}  // namespace sluice::tls
