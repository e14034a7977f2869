// ClientContext and SessionSlot: towards upstreams.
#include <openssl/err.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "tls/authorities.h"
#include "tls/context.h"
#include "tls/context_common.h"
#include "tls/wire.h"

namespace sluice::tls {
namespace {

constexpr const char* system_ca_file = "/etc/ssl/certs/ca-certificates.crt";
constexpr const char* system_ca_folder = "/etc/ssl/certs";
constexpr const char* system_ca_variable = "SSL_CERT_FILE";   // as OpenSSL, Go and curl have it

base::Result<void> trust_system(SSL_CTX& context) {
  const std::string place = system_authorities();
  if (place != system_ca_folder) return trust_file(context, place);
  if (SSL_CTX_load_verify_locations(&context, nullptr, system_ca_folder) == 1) return {};
  ERR_clear_error();
  return std::unexpected(
      file_error(system_ca_folder, "no CA certificates of the system: install ca-certificates, or set tls.ca"));
}

// One reference of `session` is ours if 1 is returned.
int keep_session(SSL*, SSL_SESSION* session) noexcept {
  const Wire& wire = Wire::current();
  if (wire.sessions == nullptr) return 0;
  wire.sessions->put(wire.context_id, session);
  return 1;
}

}  // namespace

std::string system_authorities() {
  if (const char* const chosen = ::getenv(system_ca_variable); chosen != nullptr && *chosen != '\0') return chosen;
  struct stat facts{};
  return ::stat(system_ca_file, &facts) == 0 ? system_ca_file : system_ca_folder;
}

void SessionSlot::clear() {
  for (std::size_t i = 0; i < count_; ++i) SSL_SESSION_free(sessions_[i]);
  count_ = 0;
}

ssl_session_st* SessionSlot::take(std::uint64_t context_id) {
  if (context_id != context_id_) clear();
  if (count_ == 0) return nullptr;
  ssl_session_st* const session = sessions_[count_ - 1];
  if (SSL_SESSION_should_be_single_use(session) == 1) {
    --count_;
  } else {
    SSL_SESSION_up_ref(session);
  }
  return session;
}

void SessionSlot::put(std::uint64_t context_id, ssl_session_st* session) {
  if (context_id != context_id_) clear();
  context_id_ = context_id;
  if (count_ == sessions_max) {
    SSL_SESSION_free(sessions_[0]);
    std::rotate(sessions_, sessions_ + 1, sessions_ + count_);
    --count_;
  }
  sessions_[count_++] = session;
}

ClientContext::~ClientContext() { SSL_CTX_free(context_); }

base::Result<std::shared_ptr<const ClientContext>> ClientContext::load(const ClientTlsOptions& options,
                                                                       std::span<const std::string> alpn,
                                                                       base::Micros wall, Findings& warnings) {
  static std::atomic<std::uint64_t> last_id{0};
  struct Makeable final : ClientContext {};
  auto made = std::make_shared<Makeable>();
  made->server_name_ = options.server_name;
  made->verify_ = options.verify;
  made->id_ = ++last_id;
  bssl::UniquePtr<SSL_CTX> context = make_context(Version::tls12);  // an upstream is not ours to choose
  SSL_CTX& c = *context;
  if (options.verify == Verify::yes) {
    const auto trusted = options.ca.empty() ? trust_system(c) : trust_file(c, options.ca);
    if (!trusted) return std::unexpected(trusted.error());
    SSL_CTX_set_verify(&c, SSL_VERIFY_PEER, nullptr);
  }
  if (options.cert.empty() != options.key.empty()) return base::fail("a client certificate needs both cert and key");
  if (!options.cert.empty()) {
    const auto certificate = load_certificate({options.cert, options.key});
    if (!certificate) return std::unexpected(certificate.error());
    warn_of_dates(**certificate, unix_seconds(wall), warnings);
    warn_of_permissions(options.key, warnings);
    if (auto done = use_certificate(c, **certificate); !done) return std::unexpected(std::move(done.error()));
  }
  const std::string offered = alpn_wire(alpn);
  CHECK(SSL_CTX_set_alpn_protos(&c, reinterpret_cast<const std::uint8_t*>(offered.data()),
                                static_cast<unsigned>(offered.size())) == 0);
  SSL_CTX_set_session_cache_mode(&c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(&c, keep_session);
  made->context_ = context.release();
  return made;
}

Findings verify_files(const ClientTlsOptions& options, base::Micros wall) {
  Findings findings;
  auto loaded = ClientContext::load(options, {}, wall, findings);
  if (!loaded) findings.push_back(std::move(loaded.error()));
  return findings;
}

}  // namespace sluice::tls
