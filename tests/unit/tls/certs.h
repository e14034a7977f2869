// Certificates made at test start, in a folder of their own: what a test needs is a chain and a key as files.
#pragma once

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tls/options.h"

namespace sluice::test {

enum class Key { p256, p384, rsa, ed25519 };

struct CertSpec {
  std::vector<std::string> names{"localhost"};   // subjectAltName entries, or none; "IP:1.2.3.4" is an address
  std::string common_name;                       // "": the first of `names`
  Key key = Key::p256;
  std::int64_t from_days = -1;                   // validity, relative to now
  std::int64_t to_days = 30;
};

// A folder that is removed at the end, and a CA.
class CertFolder {
 public:
  explicit CertFolder(const std::string& ca_name = "test CA");
  ~CertFolder();
  CertFolder(const CertFolder&) = delete;
  CertFolder& operator=(const CertFolder&) = delete;

  const std::string& ca() const { return ca_file_; }
  // Signed by the CA; the files are called after `file`.
  tls::CertificateFiles make(const std::string& file, const CertSpec& spec = {});
  std::string write(const std::string& file, const std::string& text);
  std::string path(const std::string& file) const { return folder_ + "/" + file; }

 private:
  std::string folder_;
  std::string ca_file_;
  bssl::UniquePtr<X509> ca_;
  bssl::UniquePtr<EVP_PKEY> ca_key_;
  std::int64_t serial_ = 1;
};

// One for all tests: keys are slow to make.
CertFolder& certs();

}  // namespace sluice::test
