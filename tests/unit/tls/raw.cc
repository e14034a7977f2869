// See raw.h.
#include "raw.h"

#include <openssl/bio.h>
#include <openssl/err.h>

#include "support/random.h"

#include <doctest/doctest.h>

namespace sluice::test {

Peerless::Peerless(support::SimLoop& sim, base::Millis timeout, std::shared_ptr<const tls::ServerContext> context) {
  static const auto usual = server_context(server_options({localhost()}));
  support::ScriptedPair pair = support::scripted_pair(sim);
  peer = std::move(pair.peer);
  wire = std::move(pair.wire);
  user.bind(
      tls::accept(sim.loop(), std::move(pair.transport), context ? std::move(context) : usual, {timeout, &events}));
}

RawClient::RawClient(support::SimLoop& sim, Peerless& server, const std::function<void(SSL_CTX&)>& set_up,
                     const std::string& name)
    : sim_(sim), server_(server), context_(SSL_CTX_new(TLS_method())) {
  if (set_up) set_up(*context_);
  ssl_.reset(SSL_new(context_.get()));
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(in_, -1);
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_connect_state(ssl_.get());
  if (!name.empty()) SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
}

std::string RawClient::take_output() {
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  BIO_mem_contents(out_, &data, &size);
  std::string bytes(reinterpret_cast<const char*>(data), size);
  BIO_reset(out_);
  return bytes;
}

void RawClient::count_records(std::string_view bytes) {
  uncounted_ += bytes;
  while (uncounted_.size() >= 5) {
    const std::size_t body = static_cast<std::uint8_t>(uncounted_[3]) * 256u + static_cast<std::uint8_t>(uncounted_[4]);
    if (uncounted_.size() < 5 + body) return;
    if (open_) records_.push_back(body);
    uncounted_.erase(0, 5 + body);
  }
}

void RawClient::step() {
  for (bool moved = true; moved;) {
    if (!open_) {
      open_ = SSL_do_handshake(ssl_.get()) == 1;
      ERR_clear_error();
    }
    const std::string out = take_output();
    if (!out.empty()) server_.peer->send(out);
    sim_.settle();
    const std::string in = server_.peer->take();
    if (!in.empty()) BIO_write(in_, in.data(), static_cast<int>(in.size()));
    count_records(in);
    moved = !in.empty();
  }
}

std::string RawClient::read() {
  step();
  std::string bytes;
  char part[16384];
  for (int n = 0; (n = SSL_read(ssl_.get(), part, sizeof part)) > 0;) bytes.append(part, static_cast<std::size_t>(n));
  ERR_clear_error();
  return bytes;
}

void RawClient::write(std::string_view bytes) {
  const int n = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
  CHECK(n == static_cast<int>(bytes.size()));
}

namespace {

void only_tls12(SSL_CTX& c) { SSL_CTX_set_max_proto_version(&c, TLS1_2_VERSION); }

std::shared_ptr<const tls::ServerContext> both_versions() {
  auto options = server_options({localhost()});
  options.min_version = tls::Version::tls12;
  return server_context(options);
}

}  // namespace

Pair::Pair(support::SimLoop& sim, bool tls12)
    : server(sim, {}, both_versions()), client(sim, server, tls12 ? only_tls12 : nullptr) {
  client.step();
  REQUIRE(server.user.opens == 1);
  REQUIRE(client.open());
}

std::string letters(std::size_t n, std::uint64_t seed) {
  support::Random random(seed);
  std::string text(n, '\0');
  for (char& c : text) c = static_cast<char>(random.next());
  return text;
}

RawResult raw_client(support::SimLoop& sim, std::shared_ptr<const tls::ServerContext> context,
                     const std::function<void(SSL_CTX&)>& set_up, const std::string& name) {
  Peerless server(sim, {}, std::move(context));
  RawClient client(sim, server, set_up, name);
  client.step();
  RawResult result;
  result.errors = server.events.errors;
  result.open = client.open() && server.user.opens == 1;
  if (!result.open) return result;
  result.version = static_cast<unsigned>(SSL_version(&client.ssl()));
  result.cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(&client.ssl()));
  const bssl::UniquePtr<X509> leaf(SSL_get_peer_certificate(&client.ssl()));
  char name_text[128] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(leaf.get()), NID_commonName, name_text, sizeof name_text);
  result.certificate = name_text;
  return result;
}

}  // namespace sluice::test
