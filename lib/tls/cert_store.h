// CertStore: the certificates of one listener by name. Picks one for a ClientHello: exact name, then wildcard, then the
// first of the configuration with its namesakes; among several keys of a name the one that this client can verify, the
// cheapest first. Immutable; owned by a ServerContext. Inside lib/tls only.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tls/certificate.h"

namespace sluice::tls {

// Kinds of keys that a client can verify.
struct ClientOffer {
  bool p256 = false;
  bool p384 = false;
  bool p521 = false;
  bool ed25519 = false;
  bool rsa = false;

  bool takes(KeyKind kind) const;
};
// From signature_algorithms (RFC 8446 4.2.3) and, for a client of TLS 1.2 only, from its cipher suites too.
ClientOffer client_offer(const SSL_CLIENT_HELLO& hello);
// server_name of a ClientHello, lower case, without a final dot; "" = none or malformed (BoringSSL then ends the
// handshake).
std::string client_server_name(const SSL_CLIENT_HELLO& hello);

class CertStore {
 public:
  struct Entry {
    CertificatePtr certificate;
    bssl::UniquePtr<SSL_CTX> context;
  };

  void add(CertificatePtr certificate, bssl::UniquePtr<SSL_CTX> context);
  // Never fails: if no key suits the client, its first candidate is returned and the handshake fails by itself.
  const Entry& select(std::string_view sni, const ClientOffer& offer) const;
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  using Candidates = std::vector<std::uint32_t>;
  const Candidates& candidates(std::string_view sni) const;

  std::vector<Entry> entries_;
  std::map<std::string, Candidates, std::less<>> by_name_;  // exact names and wildcards as written
  Candidates default_;
};

}  // namespace sluice::tls
