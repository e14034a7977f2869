// X.509 by BoringSSL, for tests.
#include "certs.h"

#include <openssl/bio.h>
#include <openssl/curve25519.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/check.h"

namespace sluice::test {
namespace {

bssl::UniquePtr<EVP_PKEY> make_key(Key kind) {
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  switch (kind) {
    case Key::p256:
    case Key::p384: {
      const int curve = kind == Key::p256 ? NID_X9_62_prime256v1 : NID_secp384r1;
      bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve));
      CHECK(EC_KEY_generate_key(ec.get()) == 1 && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) == 1);
      break;
    }
    case Key::rsa: {
      bssl::UniquePtr<RSA> rsa(RSA_new());
      bssl::UniquePtr<BIGNUM> e(BN_new());
      CHECK(BN_set_word(e.get(), RSA_F4) == 1 && RSA_generate_key_ex(rsa.get(), 2048, e.get(), nullptr) == 1);
      CHECK(EVP_PKEY_set1_RSA(key.get(), rsa.get()) == 1);
      break;
    }
    case Key::ed25519: {
      std::uint8_t pub[ED25519_PUBLIC_KEY_LEN];
      std::uint8_t secret[ED25519_PRIVATE_KEY_LEN];
      ED25519_keypair(pub, secret);
      key.reset(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, secret, 32));
      CHECK(key);
      break;
    }
  }
  return key;
}

void add_extension(X509& to, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, nullptr, nullptr, nullptr, nullptr, 0);
  bssl::UniquePtr<X509_EXTENSION> extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  CHECK(extension && X509_add_ext(&to, extension.get(), -1) == 1);
}

bssl::UniquePtr<X509> make_unsigned(const CertSpec& spec, std::int64_t serial, EVP_PKEY& key) {
  bssl::UniquePtr<X509> x(X509_new());
  X509_set_version(x.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x.get()), serial);
  const std::time_t now = std::time(nullptr);
  ASN1_TIME_set(X509_getm_notBefore(x.get()), now + spec.from_days * 86'400);
  ASN1_TIME_set(X509_getm_notAfter(x.get()), now + spec.to_days * 86'400);
  X509_NAME_add_entry_by_txt(
      X509_get_subject_name(x.get()), "CN", MBSTRING_UTF8,
      reinterpret_cast<const std::uint8_t*>((spec.common_name.empty() ? spec.names.front() : spec.common_name).c_str()),
      -1, -1, 0);
  CHECK(X509_set_pubkey(x.get(), &key) == 1);
  return x;
}

std::string pem(X509& x) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(bio.get(), &x) == 1);
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  BIO_mem_contents(bio.get(), &data, &size);
  return {reinterpret_cast<const char*>(data), size};
}

std::string pem(EVP_PKEY& key) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_PrivateKey(bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  BIO_mem_contents(bio.get(), &data, &size);
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace

CertFolder::CertFolder(const std::string& ca_name) {
  std::string name = std::filesystem::temp_directory_path() / "sluice-tls-XXXXXX";
  CHECK(::mkdtemp(name.data()) != nullptr);
  folder_ = name;
  ca_key_ = make_key(Key::p256);
  ca_ = make_unsigned({.names = {ca_name}}, serial_++, *ca_key_);
  X509_set_issuer_name(ca_.get(), X509_get_subject_name(ca_.get()));
  add_extension(*ca_, NID_basic_constraints, "critical,CA:TRUE");
  CHECK(X509_sign(ca_.get(), ca_key_.get(), EVP_sha256()) != 0);
  ca_file_ = write("ca.pem", pem(*ca_));
}

CertFolder::~CertFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string CertFolder::write(const std::string& file, const std::string& text) {
  std::ofstream(path(file), std::ios::binary) << text;
  std::filesystem::permissions(path(file), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  return path(file);
}

tls::CertificateFiles CertFolder::make(const std::string& file, const CertSpec& spec) {
  bssl::UniquePtr<EVP_PKEY> key = make_key(spec.key);
  bssl::UniquePtr<X509> x = make_unsigned(spec, serial_++, *key);
  X509_set_issuer_name(x.get(), X509_get_subject_name(ca_.get()));
  std::string names;
  for (const std::string& name : spec.names) {
    names += names.empty() ? "" : ",";
    names += name.starts_with("IP:") ? name : "DNS:" + name;
  }
  if (!names.empty()) add_extension(*x, NID_subject_alt_name, names);
  CHECK(X509_sign(x.get(), ca_key_.get(), EVP_sha256()) != 0);
  return {write(file + ".pem", pem(*x)), write(file + ".key", pem(*key))};
}

CertFolder& certs() {
  static CertFolder folder;
  return folder;
}

}  // namespace sluice::test
