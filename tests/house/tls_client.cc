#include "tls_client.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>

#include "base/check.h"
#include "certs.h"

namespace sluice::house {
namespace {

constexpr uint8_t both_versions[] = "\x02h2\x08http/1.1";
constexpr char name[] = "a.test";

SSL_CTX& context() {
  static const bssl::UniquePtr<SSL_CTX> made = [] {
    bssl::UniquePtr<SSL_CTX> c(SSL_CTX_new(TLS_method()));
    CHECK(SSL_CTX_set_alpn_protos(c.get(), both_versions, sizeof both_versions - 1) == 0);
    return c;
  }();
  return *made;
}

}  // namespace

TlsClient::TlsClient() : ssl_(SSL_new(&context())), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())) {
  BIO_set_mem_eof_return(in_, -1);
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_connect_state(ssl_.get());
  CHECK(SSL_set_tlsext_host_name(ssl_.get(), name) == 1);
}

std::string TlsClient::take_output() {
  const uint8_t* data = nullptr;
  size_t size = 0;
  CHECK(BIO_mem_contents(out_, &data, &size) == 1);
  std::string bytes(reinterpret_cast<const char*>(data), size);
  BIO_reset(out_);
  return bytes;
}

std::string TlsClient::step(std::string_view received) {
  if (broken_) return {};
  if (!received.empty()) BIO_write(in_, received.data(), static_cast<int>(received.size()));
  if (!open_) {
    const int done = SSL_do_handshake(ssl_.get());
    open_ = done == 1;
    broken_ = done != 1 && SSL_get_error(ssl_.get(), done) != SSL_ERROR_WANT_READ;
  }
  char dropped[4096];
  while (open_ && SSL_read(ssl_.get(), dropped, sizeof dropped) > 0) continue;
  if (open_ && !waiting_.empty()) {
    SSL_write(ssl_.get(), waiting_.data(), static_cast<int>(waiting_.size()));
    waiting_.clear();
  }
  ERR_clear_error();
  return take_output();
}

std::string TlsClient::say(std::string_view text) {
  waiting_ += text;
  return step({});
}

std::string certificate(uint32_t which) {
  static const tls::CertificateFiles files[certificates] = {test::certs().make("house-one", {.names = {name}}),
                                                            test::certs().make("house-two", {.names = {name}})};
  return fmt::format("cert = \"{}\", key = \"{}\"", files[which].cert, files[which].key);
}

}  // namespace sluice::house
