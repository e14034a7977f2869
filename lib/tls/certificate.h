// Certificate: one chain with its key as read from files, checked, and what the rest wants to know of it. Immutable;
// shared by the contexts before and after a reload. Inside lib/tls only (its header needs BoringSSL's).
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tls/context.h"
#include "tls/options.h"

namespace sluice::tls {

inline constexpr std::size_t pem_file_bytes_max = 1024 * 1024;

enum class KeyKind : std::uint8_t { p256, p384, p521, ed25519, rsa };

struct Certificate {
  CertificateFiles files;
  std::vector<bssl::UniquePtr<X509>> chain;  // leaf first
  bssl::UniquePtr<EVP_PKEY> key;
  KeyKind kind = KeyKind::rsa;
  std::vector<std::string> dns_names;  // of subjectAltName and nothing else; lower case, wildcards as written
  std::vector<std::string> addresses;  // 4 or 16 raw bytes each
  std::string name;  // for logs and metrics
  std::int64_t not_before = 0;  // Unix seconds
  std::int64_t not_after = 0;

  bool valid_at(std::int64_t now) const { return not_before <= now && now <= not_after; }
};
using CertificatePtr = std::shared_ptr<const Certificate>;

// Whole regular file, at most pem_file_bytes_max; the error names file and reason.
base::Result<std::string> read_file(const std::string& path);

// Text of a file with a secret in it; wiped when it goes.
class SecretText {
 public:
  explicit SecretText(std::string&& text) : text_(std::move(text)) {}
  SecretText(SecretText&& o) noexcept : text_(std::move(o.text_)) {}
  SecretText& operator=(SecretText&&) = delete;
  ~SecretText() { wipe(); }
  std::string_view view() const { return text_; }

 private:
  void wipe();
  std::string text_;
};
base::Result<SecretText> read_secret(const std::string& path);
// Warns if others may read the file of a key or change it. Its group may read it: that is how a service gets at its
// key.
void warn_of_permissions(const std::string& path, Findings& warnings);
// Reads both files and checks that the key fits.
base::Result<CertificatePtr> load_certificate(const CertificateFiles& files);
// Every certificate of a PEM file; at least one.
base::Result<std::vector<bssl::UniquePtr<X509>>> load_chain(const std::string& path);

// Adds "expired on ..." or "not valid before ..." if it is so.
void warn_of_dates(const Certificate& certificate, std::int64_t now, Findings& warnings);
// Adds a warning if a server's certificate has no names: the common name is no longer one (RFC 9525 6.3).
void warn_of_names(const Certificate& certificate, Findings& warnings);
base::Error file_error(const std::string& path, std::string message);
base::Error file_warning(const std::string& path, std::string message);

// RFC 9525 6: exact, or a wildcard as the whole leftmost label; an IP literal only by an address entry. `host` is lower
// case.
bool covers(const Certificate& certificate, std::string_view host);

// A reload never replaces a certificate that is valid by one that is not.
bool keep_former(const Certificate& former, const Certificate& fresh, std::int64_t now);
// The same names and addresses, of which there are some.
bool same_names(const Certificate& a, const Certificate& b);
// Do both stand for the same thing: the same files, or the same names with the same kind of key?
bool same_purpose(const Certificate& a, const Certificate& b);

}  // namespace sluice::tls
