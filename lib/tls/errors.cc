// BoringSSL's reasons -> our closed list and words.
#include "tls/errors.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/text.h"

namespace sluice::tls {
namespace {

constexpr int alert_offset = SSL_AD_REASON_OFFSET;

bool is_alert(std::uint32_t packed) {
  return ERR_GET_LIB(packed) == ERR_LIB_SSL && ERR_GET_REASON(packed) >= alert_offset;
}

HandshakeError classify_alert(int alert) {
  switch (alert) {
    case SSL_AD_NO_CERTIFICATE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED: return HandshakeError::bad_certificate;
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_INSUFFICIENT_SECURITY: return HandshakeError::no_shared_cipher;
    case SSL_AD_PROTOCOL_VERSION: return HandshakeError::version;
    case SSL_AD_NO_APPLICATION_PROTOCOL: return HandshakeError::unknown_protocol;
    default: return HandshakeError::other;
  }
}

}  // namespace

HandshakeError classify(std::uint32_t packed) {
  if (packed == 0 || ERR_GET_LIB(packed) != ERR_LIB_SSL) return HandshakeError::other;
  const int reason = ERR_GET_REASON(packed);
  if (reason >= alert_offset) return classify_alert(reason - alert_offset);
  switch (reason) {
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUP:
    case SSL_R_NO_COMMON_SIGNATURE_ALGORITHMS:
    case SSL_R_HANDSHAKE_FAILURE_ON_CLIENT_HELLO: return HandshakeError::no_shared_cipher;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return HandshakeError::bad_certificate;
    case SSL_R_NO_APPLICATION_PROTOCOL: return HandshakeError::unknown_protocol;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL: return HandshakeError::version;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST: return HandshakeError::http_request;
    default: return HandshakeError::other;
  }
}

std::uint32_t take_error() {
  std::uint32_t best = 0;
  const auto worth = [](std::uint32_t error) {
    if (error == 0) return 0;
    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
      return 1;   // a cause below TLS: "bad signature" under "certificate verify failed"
    return classify(error) == HandshakeError::other ? 2 : 3;
  };
  while (const std::uint32_t error = ERR_get_error()) {
    if (worth(error) > worth(best)) best = error;
  }
  return best;
}

std::string describe(std::uint32_t packed) {
  if (packed == 0) return "TLS error";
  if (is_alert(packed))
    return std::string("the peer sent alert: ") + SSL_alert_desc_string_long(ERR_GET_REASON(packed) - alert_offset);
  if (classify(packed) == HandshakeError::http_request) return "plain HTTP on a TLS port";
  const char* const reason = ERR_reason_error_string(packed);
  std::string words = base::to_lower(reason == nullptr ? "TLS error" : reason);
  for (char& c : words) {
    if (c == '_') c = ' ';
  }
  return words;
}

std::string_view word(HandshakeError error) {
  switch (error) {
    case HandshakeError::timeout: return "timeout";
    case HandshakeError::no_shared_cipher: return "no_shared_cipher";
    case HandshakeError::bad_certificate: return "bad_certificate";
    case HandshakeError::unknown_protocol: return "unknown_protocol";
    case HandshakeError::version: return "version";
    case HandshakeError::http_request: return "http_request";
    case HandshakeError::eof: return "eof";
    case HandshakeError::reset: return "reset";
    case HandshakeError::other: return "other";
  }
  return "other";
}

}  // namespace sluice::tls
