// ServerContext: loading, and the callbacks that BoringSSL makes during a server's handshake.
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>

#include "base/check.h"
#include "tls/cert_store.h"
#include "tls/context.h"
#include "tls/context_common.h"
#include "tls/tickets.h"
#include "tls/wire.h"

namespace sluice::tls {
namespace {

// What the callbacks find in each SSL_CTX of a listener.
struct Hooks {
  const CertStore* store;
  Tickets* tickets;
  const std::string* alpn;
};

int hooks_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

const Hooks& hooks_of(const SSL* ssl) {
  return *static_cast<const Hooks*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), hooks_index()));
}

ssl_select_cert_result_t select_certificate(const SSL_CLIENT_HELLO* hello) noexcept {
  const CertStore::Entry& entry = hooks_of(hello->ssl).store->select(client_server_name(*hello), client_offer(*hello));
  if (SSL_set_SSL_CTX(hello->ssl, entry.context.get()) == nullptr) return ssl_select_cert_error;
  Wire::current().certificate = entry.certificate.get();
  return ssl_select_cert_success;
}

// RFC 7301 3.2: nothing in common is a fatal alert.
int select_protocol(SSL*, const std::uint8_t** out, std::uint8_t* out_size, const std::uint8_t* in, unsigned in_size,
                    void* ours) noexcept {
  const auto& mine = *static_cast<const std::string*>(ours);
  const std::string_view theirs(reinterpret_cast<const char*>(in), in_size);
  for (std::size_t i = 0; i < mine.size(); i += 1 + static_cast<std::uint8_t>(mine[i])) {
    const std::string_view wanted = std::string_view(mine).substr(i, 1 + static_cast<std::uint8_t>(mine[i]));
    for (std::size_t j = 0; j < theirs.size(); j += 1 + static_cast<std::uint8_t>(theirs[j])) {
      if (!theirs.substr(j).starts_with(wanted)) continue;
      *out = in + j + 1;
      *out_size = static_cast<std::uint8_t>(wanted.size() - 1);
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int use_ticket_key(SSL* ssl, std::uint8_t* name, std::uint8_t* iv, EVP_CIPHER_CTX* cipher, HMAC_CTX* mac,
                   int encrypt) noexcept {
  Tickets& tickets = *hooks_of(ssl).tickets;
  const base::Micros now = base::steady_clock().now();
  Tickets::Found found;
  if (encrypt == 1) {
    found = {tickets.sealing_key(now), true};
    std::ranges::copy(found.key.name, name);
    if (RAND_bytes(iv, 16) != 1) return -1;
  } else {
    const auto known = tickets.opening_key(name, now);
    if (!known) return 0;
    found = *known;
  }
  const EVP_CIPHER* const kind = found.key.secret_bytes == 32 ? EVP_aes_256_cbc() : EVP_aes_128_cbc();
  if (HMAC_Init_ex(mac, found.key.mac.data(), found.key.secret_bytes, EVP_sha256(), nullptr) != 1) return -1;
  if (EVP_CipherInit_ex(cipher, kind, nullptr, found.key.cipher.data(), iv, encrypt) != 1) return -1;
  return found.newest ? 1 : 2;
}

constexpr std::int64_t lifetime_max_s = 7 * 86'400;  // RFC 8446 4.6.1

// A ticket resumes only where it was issued: same listener, same demands on client certificates.
using SessionScope = std::array<std::uint8_t, SHA256_DIGEST_LENGTH>;
static_assert(SHA256_DIGEST_LENGTH <= SSL_MAX_SID_CTX_LENGTH);

SessionScope session_scope(std::string_view listener, ClientAuth auth, std::string_view ca) {
  SessionScope scope;
  SHA256_CTX hash;
  SHA256_Init(&hash);
  const auto add = [&hash](std::string_view part) {
    const std::uint64_t size = part.size();
    SHA256_Update(&hash, &size, sizeof size);
    SHA256_Update(&hash, part.data(), part.size());
  };
  add(listener);
  add({reinterpret_cast<const char*>(&auth), sizeof auth});
  add(ca);
  SHA256_Final(scope.data(), &hash);
  return scope;
}

CertificatePtr former_of(const Certificate& fresh, const CertStore* previous, std::int64_t now) {
  if (previous == nullptr) return nullptr;
  for (const CertStore::Entry& entry : previous->entries()) {
    if (same_purpose(*entry.certificate, fresh) && keep_former(*entry.certificate, fresh, now))
      return entry.certificate;
  }
  return nullptr;
}

}  // namespace

struct ServerContextLoader {
  const ServerTlsOptions& options;
  const ServerContext::Setup& setup;
  Findings& warnings;
  std::shared_ptr<ServerContext> made;
  std::int64_t now;
  SessionScope scope{};

  base::Result<void> load() {
    made->alpn_wire_ = alpn_wire(setup.alpn);
    made->store_ = std::make_unique<CertStore>();
    if (options.certificates.empty()) return base::fail("no certificate");
    std::string ca;
    if (options.client_auth != ClientAuth::off) {
      if (options.client_ca.empty()) return base::fail("client_auth needs client_ca");
      auto text = read_file(options.client_ca);
      if (!text) return std::unexpected(std::move(text.error()));
      ca = std::move(*text);
    }
    scope = session_scope(setup.listener, options.client_auth, ca);
    if (auto done = choose_tickets(); !done) return done;
    made->hooks_ = std::make_shared<Hooks>(Hooks{made->store_.get(), made->tickets_.get(), &made->alpn_wire_});
    for (const CertificateFiles& files : options.certificates) {
      if (auto done = add(files); !done) return done;
    }
    return {};
  }

  base::Result<void> choose_tickets() {
    const ServerContext* const before = setup.previous;
    if (!options.ticket_keys.empty()) {
      auto keys = Tickets::from_file(options.ticket_keys, warnings);
      if (!keys) return std::unexpected(std::move(keys.error()));
      made->tickets_ = std::move(*keys);
    } else if (before != nullptr && before->own_ticket_lifetime_ == options.ticket_lifetime &&
               options.ticket_lifetime.count != 0) {
      made->tickets_ = before->tickets_;
    } else {
      made->tickets_ = std::make_shared<Tickets>(options.ticket_lifetime);
    }
    if (options.ticket_keys.empty()) made->own_ticket_lifetime_ = options.ticket_lifetime;
    return {};
  }

  base::Result<void> add(const CertificateFiles& files) {
    auto fresh = load_certificate(files);
    if (!fresh) return std::unexpected(std::move(fresh.error()));
    CertificatePtr certificate = std::move(*fresh);
    warn_of_dates(*certificate, now, warnings);
    warn_of_names(*certificate, warnings);
    warn_of_permissions(files.key, warnings);
    const CertificatePtr former =
        former_of(*certificate, setup.previous != nullptr ? setup.previous->store_.get() : nullptr, now);
    if (former != nullptr) {
      warnings.push_back(
          file_warning(files.cert, "the certificate \"" + former->name + "\" of before, which is valid, stays in use"));
      certificate = former;
    }
    auto context = make_server_context(*certificate);
    if (!context) return std::unexpected(std::move(context.error()));
    made->facts_.push_back({.name = certificate->name,
                            .file = files.cert,
                            .not_before = certificate->not_before,
                            .not_after = certificate->not_after,
                            .kept = former != nullptr});
    made->store_->add(std::move(certificate), std::move(*context));
    return {};
  }

  base::Result<bssl::UniquePtr<SSL_CTX>> make_server_context(const Certificate& certificate) {
    bssl::UniquePtr<SSL_CTX> context = make_context(options.min_version);
    SSL_CTX& c = *context;
    if (auto done = use_certificate(c, certificate); !done) return std::unexpected(std::move(done.error()));
    if (auto done = ask_for_clients(c); !done) return std::unexpected(std::move(done.error()));
    SSL_CTX_set_ex_data(&c, hooks_index(), made->hooks_.get());
    SSL_CTX_set_select_certificate_cb(&c, select_certificate);
    if (!made->alpn_wire_.empty()) SSL_CTX_set_alpn_select_cb(&c, select_protocol, &made->alpn_wire_);
    SSL_CTX_set_session_cache_mode(&c, SSL_SESS_CACHE_OFF);  // tickets only: nothing of a session is kept here
    CHECK(SSL_CTX_set_session_id_context(&c, scope.data(), scope.size()) == 1);
    const auto seconds =
        static_cast<std::uint32_t>(std::clamp<std::int64_t>(options.ticket_lifetime.count / 1000, 0, lifetime_max_s));
    if (seconds == 0) {
      SSL_CTX_set_options(&c, SSL_OP_NO_TICKET);
    } else {
      SSL_CTX_set_timeout(&c, seconds);
      SSL_CTX_set_session_psk_dhe_timeout(&c, seconds);
      CHECK(SSL_CTX_set_tlsext_ticket_key_cb(&c, use_ticket_key) == 1);
    }
    return context;
  }

  base::Result<void> ask_for_clients(SSL_CTX& c) const {
    if (options.client_auth == ClientAuth::off) return {};
    if (auto done = trust_file(c, options.client_ca); !done) return done;
    SSL_CTX_set_client_CA_list(&c, SSL_load_client_CA_file(options.client_ca.c_str()));
    const int strict = options.client_auth == ClientAuth::required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(&c, SSL_VERIFY_PEER | strict, nullptr);
    return {};
  }
};

ServerContext::ServerContext() = default;
ServerContext::~ServerContext() = default;

base::Result<std::shared_ptr<const ServerContext>> ServerContext::load(const ServerTlsOptions& options,
                                                                       const Setup& setup, Findings& warnings) {
  struct Makeable final : ServerContext {};
  ServerContextLoader loader{options, setup, warnings, std::make_shared<Makeable>(), unix_seconds(setup.wall)};
  if (auto done = loader.load(); !done) return std::unexpected(std::move(done.error()));
  return std::move(loader.made);
}

ssl_ctx_st* ServerContext::first() const { return store_->entries().front().context.get(); }

Findings verify_files(const ServerTlsOptions& options, base::Micros wall) {
  Findings findings;
  const ServerContext::Setup setup{.listener = "check", .alpn = {}, .previous = nullptr, .wall = wall};
  auto loaded = ServerContext::load(options, setup, findings);
  if (!loaded) findings.push_back(std::move(loaded.error()));
  return findings;
}

}  // namespace sluice::tls
