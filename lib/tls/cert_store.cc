// Selection of a certificate; reading of the ClientHello as far as it needs that.
#include "tls/cert_store.h"

#include <openssl/bytestring.h>

#include <algorithm>

#include "base/check.h"
#include "base/text.h"

namespace sluice::tls {
namespace {

bool extension(const SSL_CLIENT_HELLO& hello, std::uint16_t type, CBS& body) {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  if (SSL_early_callback_ctx_extension_get(&hello, type, &data, &size) != 1) return false;
  CBS_init(&body, data, size);
  return true;
}

bool offers_tls13(const SSL_CLIENT_HELLO& hello) {
  CBS body;
  CBS versions;
  if (!extension(hello, TLSEXT_TYPE_supported_versions, body) || !CBS_get_u8_length_prefixed(&body, &versions))
    return false;
  std::uint16_t version = 0;
  while (CBS_get_u16(&versions, &version)) {
    if (version == TLS1_3_VERSION) return true;
  }
  return false;
}

void add_signature_algorithm(std::uint16_t id, ClientOffer& to) {
  switch (id) {
    case SSL_SIGN_ECDSA_SECP256R1_SHA256: to.p256 = true; break;
    case SSL_SIGN_ECDSA_SECP384R1_SHA384: to.p384 = true; break;
    case SSL_SIGN_ECDSA_SECP521R1_SHA512: to.p521 = true; break;
    case SSL_SIGN_ED25519: to.ed25519 = true; break;
    case SSL_SIGN_RSA_PSS_RSAE_SHA256:
    case SSL_SIGN_RSA_PSS_RSAE_SHA384:
    case SSL_SIGN_RSA_PSS_RSAE_SHA512: to.rsa = true; break;
    default: break;
  }
}

// A client of TLS 1.2 names the key's kind in its cipher suites (RFC 8422 5.1).
void restrict_to_ciphers(const SSL_CLIENT_HELLO& hello, ClientOffer& offer) {
  bool ecdsa = false;
  bool rsa = false;
  CBS suites;
  CBS_init(&suites, hello.cipher_suites, hello.cipher_suites_len);
  std::uint16_t id = 0;
  while (CBS_get_u16(&suites, &id)) {
    const SSL_CIPHER* const cipher = SSL_get_cipher_by_value(id);
    if (cipher == nullptr || SSL_CIPHER_get_kx_nid(cipher) != NID_kx_ecdhe || !SSL_CIPHER_is_aead(cipher)) continue;
    ecdsa = ecdsa || SSL_CIPHER_get_auth_nid(cipher) == NID_auth_ecdsa;
    rsa = rsa || SSL_CIPHER_get_auth_nid(cipher) == NID_auth_rsa;
  }
  if (!ecdsa) offer.p256 = offer.p384 = offer.p521 = offer.ed25519 = false;
  if (!rsa) offer.rsa = false;
}

unsigned cost(KeyKind kind) {
  switch (kind) {
    case KeyKind::p256: return 0;
    case KeyKind::ed25519: return 1;
    case KeyKind::p384: return 2;
    case KeyKind::rsa: return 3;
    case KeyKind::p521: return 4;
  }
  UNREACHABLE();
}

}  // namespace

bool ClientOffer::takes(KeyKind kind) const {
  switch (kind) {
    case KeyKind::p256: return p256;
    case KeyKind::p384: return p384;
    case KeyKind::p521: return p521;
    case KeyKind::ed25519: return ed25519;
    case KeyKind::rsa: return rsa;
  }
  UNREACHABLE();
}

ClientOffer client_offer(const SSL_CLIENT_HELLO& hello) {
  ClientOffer offer;
  const bool tls13 = offers_tls13(hello);
  CBS body;
  CBS algorithms;
  if (!extension(hello, TLSEXT_TYPE_signature_algorithms, body) || !CBS_get_u16_length_prefixed(&body, &algorithms)) {
    if (tls13) return offer;  // malformed; BoringSSL says so
    offer.p256 = offer.p384 = offer.p521 = offer.rsa = true;
  } else {
    std::uint16_t id = 0;
    while (CBS_get_u16(&algorithms, &id)) {
      add_signature_algorithm(id, offer);
      const bool pkcs1 =
          id == SSL_SIGN_RSA_PKCS1_SHA256 || id == SSL_SIGN_RSA_PKCS1_SHA384 || id == SSL_SIGN_RSA_PKCS1_SHA512;
      if (!tls13 && pkcs1) offer.rsa = true;
    }
  }
  if (!tls13) restrict_to_ciphers(hello, offer);
  return offer;
}

std::string client_server_name(const SSL_CLIENT_HELLO& hello) {
  CBS body;
  CBS list;
  CBS host;
  std::uint8_t type = 0;
  if (!extension(hello, TLSEXT_TYPE_server_name, body) || !CBS_get_u16_length_prefixed(&body, &list) ||
      !CBS_get_u8(&list, &type) || type != TLSEXT_NAMETYPE_host_name || !CBS_get_u16_length_prefixed(&list, &host)) {
    return {};
  }
  std::string name = base::to_lower({reinterpret_cast<const char*>(CBS_data(&host)), CBS_len(&host)});
  if (name.ends_with('.')) name.pop_back();
  return name;
}

void CertStore::add(CertificatePtr certificate, bssl::UniquePtr<SSL_CTX> context) {
  const auto index = static_cast<std::uint32_t>(entries_.size());
  for (const std::string& name : certificate->dns_names) {
    Candidates& to = by_name_[name];
    if (std::ranges::find(to, index) == to.end()) to.push_back(index);
  }
  // The default: the first, and further keys of the same names.
  if (index == 0 || same_names(*certificate, *entries_.front().certificate)) default_.push_back(index);
  entries_.push_back({std::move(certificate), std::move(context)});
}

const CertStore::Candidates& CertStore::candidates(std::string_view sni) const {
  if (sni.empty()) return default_;
  if (const auto exact = by_name_.find(sni); exact != by_name_.end()) return exact->second;
  if (const std::size_t dot = sni.find('.'); dot != std::string_view::npos && dot != 0) {
    std::string wildcard = "*";
    wildcard += sni.substr(dot);
    if (const auto found = by_name_.find(wildcard); found != by_name_.end()) return found->second;
  }
  return default_;
}

const CertStore::Entry& CertStore::select(std::string_view sni, const ClientOffer& offer) const {
  const Candidates& among = candidates(sni);
  CHECK(!among.empty());
  const Entry* best = nullptr;
  for (const std::uint32_t index : among) {
    const Entry& entry = entries_[index];
    if (!offer.takes(entry.certificate->kind)) continue;
    if (best == nullptr || cost(entry.certificate->kind) < cost(best->certificate->kind)) best = &entry;
  }
  return best != nullptr ? *best : entries_[among.front()];
}

}  // namespace sluice::tls
