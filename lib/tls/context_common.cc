// Protocol settings of both sides: TLS 1.3, or 1.2 with ECDHE and AEAD only if it was asked for; never renegotiation
// (BoringSSL's servers have none, its clients refuse it unless told otherwise).
#include "tls/context_common.h"

#include <openssl/err.h>

#include "base/check.h"
#include "base/log.h"
#include "tls/errors.h"
#include "tls/memory.h"

namespace sluice::tls {
namespace {

// Of TLS 1.2. In 1.3 BoringSSL orders: AES-128-GCM first where the processor has AES, else ChaCha20.
constexpr const char* ciphers12 =
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-"
    "POLY1305]:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
// A hybrid with ML-KEM comes first where the library has it, as in its own list; P-384 is for those who may use no
// other.
constexpr const char* groups = "X25519:P-256:P-384";
constexpr const char* groups_with_hybrid = "X25519MLKEM768:X25519:P-256:P-384";
constexpr std::uint16_t signatures[] = {
    SSL_SIGN_ECDSA_SECP256R1_SHA256, SSL_SIGN_ED25519,
    SSL_SIGN_ECDSA_SECP384R1_SHA384, SSL_SIGN_ECDSA_SECP521R1_SHA512,
    SSL_SIGN_RSA_PSS_RSAE_SHA256,    SSL_SIGN_RSA_PKCS1_SHA256,
    SSL_SIGN_RSA_PSS_RSAE_SHA384,    SSL_SIGN_RSA_PKCS1_SHA384,
    SSL_SIGN_RSA_PSS_RSAE_SHA512,    SSL_SIGN_RSA_PKCS1_SHA512,
};

}  // namespace

bssl::UniquePtr<SSL_CTX> make_context(Version min_version) {
  static const bool hooked = memory_hooked();  // asked here, so that the hooks are part of every executable
  if (!hooked) base::warn("BoringSSL does not use our memory hooks: it takes all memory from the heap");
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_method()));
  CHECK(context);
  SSL_CTX& c = *context;
  const std::uint16_t lowest = min_version == Version::tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
  CHECK(SSL_CTX_set_min_proto_version(&c, lowest) == 1 && SSL_CTX_set_max_proto_version(&c, TLS1_3_VERSION) == 1);
  CHECK(SSL_CTX_set_strict_cipher_list(&c, ciphers12) == 1);
  if (SSL_CTX_set1_curves_list(&c, groups_with_hybrid) != 1) {
    ERR_clear_error();
    CHECK(SSL_CTX_set1_curves_list(&c, groups) == 1);
  }
  CHECK(SSL_CTX_set_signing_algorithm_prefs(&c, signatures, std::size(signatures)) == 1);
  CHECK(SSL_CTX_set_verify_algorithm_prefs(&c, signatures, std::size(signatures)) == 1);
  SSL_CTX_set_mode(&c, SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_options(&c, SSL_OP_CIPHER_SERVER_PREFERENCE);
  return context;
}

base::Result<void> use_certificate(SSL_CTX& context, const Certificate& certificate) {
  const auto broken = [&certificate] {
    const std::uint32_t error = ERR_peek_error();
    ERR_clear_error();
    return std::unexpected(file_error(certificate.files.cert, "unusable certificate: " + describe(error)));
  };
  ERR_clear_error();
  if (SSL_CTX_use_certificate(&context, certificate.chain.front().get()) != 1) return broken();
  for (std::size_t i = 1; i < certificate.chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(&context, certificate.chain[i].get()) != 1) return broken();
  }
  if (SSL_CTX_use_PrivateKey(&context, certificate.key.get()) != 1) return broken();
  return {};
}

base::Result<void> trust_file(SSL_CTX& context, const std::string& path) {
  const auto chain = load_chain(path);
  if (!chain) return std::unexpected(chain.error());
  X509_STORE* const store = SSL_CTX_get_cert_store(&context);
  for (const auto& certificate : *chain) CHECK(X509_STORE_add_cert(store, certificate.get()) == 1);
  ERR_clear_error();  // a certificate that stands there twice is no error
  return {};
}

std::string alpn_wire(std::span<const std::string> names) {
  std::string wire;
  for (const std::string& name : names) {
    CHECK(!name.empty() && name.size() < 256);
    wire += static_cast<char>(name.size());
    wire += name;
  }
  return wire;
}

unsigned boringssl_api_version() { return BORINGSSL_API_VERSION; }

}  // namespace sluice::tls
