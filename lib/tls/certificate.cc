// Reading and checking of PEM files; what names a certificate covers.
#include "tls/certificate.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "net/address.h"
#include "tls/errors.h"

namespace sluice::tls {
namespace {

int no_password(char*, int, int, void* asked) noexcept {
  *static_cast<bool*>(asked) = true;
  return -1;
}

bool at_end_of_pem() {
  const std::uint32_t error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

std::string pem_reason() {
  const std::uint32_t error = ERR_peek_error();
  ERR_clear_error();
  return describe(error);
}

bssl::UniquePtr<BIO> memory_bio(std::string_view text) {
  return bssl::UniquePtr<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

base::Result<bssl::UniquePtr<EVP_PKEY>> load_key(const std::string& path) {
  base::Result<SecretText> text = read_secret(path);
  if (!text) return std::unexpected(std::move(text.error()));
  bssl::UniquePtr<BIO> bio = memory_bio(text->view());
  bool asked = false;
  bssl::UniquePtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, &asked));
  if (key) return key;
  const bool none = at_end_of_pem();
  const std::string reason = pem_reason();
  if (asked)
    return std::unexpected(file_error(path, "the private key is encrypted: a key without a password is needed"));
  if (none) return std::unexpected(file_error(path, "no private key in it (PEM is expected)"));
  return std::unexpected(file_error(path, "malformed private key: " + reason));
}

base::Result<KeyKind> kind_of(const EVP_PKEY& key, const std::string& path) {
  const int id = EVP_PKEY_id(&key);
  if (id == EVP_PKEY_RSA) return KeyKind::rsa;
  if (id == EVP_PKEY_ED25519) return KeyKind::ed25519;
  if (id == EVP_PKEY_EC) {
    const EC_KEY* const ec = EVP_PKEY_get0_EC_KEY(&key);
    switch (EC_GROUP_get_curve_name(EC_KEY_get0_group(ec))) {
      case NID_X9_62_prime256v1: return KeyKind::p256;
      case NID_secp384r1: return KeyKind::p384;
      case NID_secp521r1: return KeyKind::p521;
      default: break;
    }
  }
  return std::unexpected(
      file_error(path, "unsupported kind of key: RSA, ECDSA (P-256, P-384, P-521) and Ed25519 are known"));
}

std::int64_t unix_seconds(const ASN1_TIME* time) {
  const bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0;
  int seconds = 0;
  if (time == nullptr || !epoch || ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) return 0;
  return std::int64_t{days} * 86'400 + seconds;
}

std::string text_of(const ASN1_STRING* text) {
  const auto* const bytes = ASN1_STRING_get0_data(text);
  return {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string common_name(const X509& leaf) {
  const X509_NAME* const subject = X509_get_subject_name(&leaf);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  return text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

void read_names(Certificate& to) {
  const X509& leaf = *to.chain.front();
  const bssl::UniquePtr<GENERAL_NAMES> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&leaf, NID_subject_alt_name, nullptr, nullptr)));
  for (std::size_t i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) to.dns_names.push_back(base::to_lower(text_of(name->d.dNSName)));
    if (name->type == GEN_IPADD) to.addresses.push_back(text_of(name->d.iPAddress));
  }
  const std::string common = common_name(leaf);      // to show it; it stands for nothing (RFC 9525 6.3)
  to.name = !to.dns_names.empty() ? to.dns_names.front() : !common.empty() ? common : to.files.cert;
}

std::string day(std::int64_t unix_time) {
  const auto t = static_cast<std::time_t>(unix_time);
  std::tm parts{};
  char text[32];
  gmtime_r(&t, &parts);
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

bool covers_name(std::string_view pattern, std::string_view host) {
  if (pattern == host) return true;
  if (!pattern.starts_with("*.")) return false;
  const std::size_t dot = host.find('.');
  return dot != std::string_view::npos && dot != 0 && host.substr(dot) == pattern.substr(1);
}

}  // namespace

base::Error file_error(const std::string& path, std::string message) {
  base::Error error;
  error.message = std::move(message);
  error.span.file = path;
  return error;
}

base::Error file_warning(const std::string& path, std::string message) {
  base::Error warning = file_error(path, std::move(message));
  warning.severity = base::Severity::warning;
  return warning;
}

base::Result<std::string> read_file(const std::string& path) {
  return base::read_file(path, pem_file_bytes_max, "larger than 1 MiB: not a certificate or key file");
}

void SecretText::wipe() { OPENSSL_cleanse(text_.data(), text_.size()); }

base::Result<SecretText> read_secret(const std::string& path) {
  base::Result<std::string> text = read_file(path);
  if (!text) return std::unexpected(std::move(text.error()));
  return SecretText(std::move(*text));
}

void warn_of_permissions(const std::string& path, Findings& warnings) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) return;     // whoever reads it says so
  const mode_t mode = facts.st_mode & 07777;
  const char* const who = (mode & S_IWOTH) != 0   ? "everybody can change"
                          : (mode & S_IROTH) != 0 ? "everybody can read"
                          : (mode & S_IWGRP) != 0 ? "its group can change"
                                                  : nullptr;
  if (who != nullptr)
    warnings.push_back(file_warning(path, fmt::format("{} this key (mode {:04o}): chmod g-w,o-rwx", who, mode)));
}

base::Result<std::vector<bssl::UniquePtr<X509>>> load_chain(const std::string& path) {
  const base::Result<std::string> text = read_file(path);
  if (!text) return std::unexpected(text.error());
  const bssl::UniquePtr<BIO> bio = memory_bio(*text);
  std::vector<bssl::UniquePtr<X509>> chain;
  ERR_clear_error();
  while (X509* const x = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) chain.emplace_back(x);
  const bool whole = at_end_of_pem();
  const std::string reason = pem_reason();
  if (!whole) return std::unexpected(file_error(path, "malformed certificate: " + reason));
  if (chain.empty()) return std::unexpected(file_error(path, "no certificate in it (PEM is expected)"));
  return chain;
}

base::Result<CertificatePtr> load_certificate(const CertificateFiles& files) {
  auto certificate = std::make_shared<Certificate>();
  certificate->files = files;
  auto chain = load_chain(files.cert);
  if (!chain) return std::unexpected(std::move(chain.error()));
  auto key = load_key(files.key);
  if (!key) return std::unexpected(std::move(key.error()));
  const base::Result<KeyKind> kind = kind_of(**key, files.key);
  if (!kind) return std::unexpected(kind.error());
  certificate->chain = std::move(*chain);
  certificate->key = std::move(*key);
  certificate->kind = *kind;
  X509& leaf = *certificate->chain.front();
  if (X509_check_private_key(&leaf, certificate->key.get()) != 1) {
    ERR_clear_error();
    return std::unexpected(file_error(files.key, "the private key does not fit the certificate in " + files.cert));
  }
  certificate->not_before = unix_seconds(X509_get0_notBefore(&leaf));
  certificate->not_after = unix_seconds(X509_get0_notAfter(&leaf));
  read_names(*certificate);
  return certificate;
}

void warn_of_dates(const Certificate& c, std::int64_t now, Findings& warnings) {
  if (now > c.not_after)
    warnings.push_back(file_warning(c.files.cert, "certificate \"" + c.name + "\" expired on " + day(c.not_after)));
  if (now < c.not_before) {
    warnings.push_back(
        file_warning(c.files.cert, "certificate \"" + c.name + "\" is not valid before " + day(c.not_before)));
  }
}

void warn_of_names(const Certificate& c, Findings& warnings) {
  if (!c.dns_names.empty() || !c.addresses.empty()) return;
  warnings.push_back(file_warning(
      c.files.cert, "certificate \"" + c.name + "\" has no subjectAltName: it covers no name, and clients refuse it"));
}

bool covers(const Certificate& certificate, std::string_view host) {
  if (const auto ip = net::Address::parse_ip(host)) {
    const auto bytes = ip->ip_bytes();
    return std::ranges::any_of(certificate.addresses, [&](const std::string& entry) {
      return entry.size() == bytes.size() && std::memcmp(entry.data(), bytes.data(), bytes.size()) == 0;
    });
  }
  if (host.ends_with('.')) host.remove_suffix(1);
  return std::ranges::any_of(certificate.dns_names,
                             [host](const std::string& name) { return covers_name(name, host); });
}

bool keep_former(const Certificate& former, const Certificate& fresh, std::int64_t now) {
  return former.valid_at(now) && !fresh.valid_at(now);
}

bool same_names(const Certificate& a, const Certificate& b) {
  if (a.dns_names.empty() && a.addresses.empty()) return false;
  return std::ranges::is_permutation(a.dns_names, b.dns_names) && std::ranges::is_permutation(a.addresses, b.addresses);
}

bool same_purpose(const Certificate& a, const Certificate& b) {
  return a.files == b.files || (a.kind == b.kind && same_names(a, b));
}

}  // namespace sluice::tls
