// Record protection with BoringSSL's AEADs, and the pool of keys that are ready for use.
#include "tls/records.h"

#include <openssl/aead.h>
#include <openssl/err.h>
#include <openssl/hkdf.h>
#include <openssl/mem.h>

#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/list.h"
#include "base/slab.h"
#include "tls/wire.h"

namespace sluice::tls {
namespace {

constexpr std::size_t tag_bytes = 16;
constexpr std::size_t nonce_bytes = 12;
constexpr char change_cipher_spec = 20;

const std::uint8_t* bytes(const char* text) { return reinterpret_cast<const std::uint8_t*>(text); }
std::uint8_t* bytes(char* text) { return reinterpret_cast<std::uint8_t*>(text); }

// HKDF-Expand-Label with an empty context (RFC 8446 7.1).
bool expand(std::span<std::uint8_t> to, const EVP_MD* digest, std::span<const std::uint8_t> secret,
            std::string_view label) {
  std::uint8_t info[64];
  std::size_t n = 0;
  info[n++] = 0;
  info[n++] = static_cast<std::uint8_t>(to.size());
  info[n++] = static_cast<std::uint8_t>(label.size());
  std::memcpy(info + n, label.data(), label.size());
  n += label.size();
  info[n++] = 0;
  return HKDF_expand(to.data(), to.size(), digest, secret.data(), secret.size(), info, n) == 1;
}

struct Suite {
  const EVP_AEAD* aead;
  const EVP_MD* digest;
};

Suite suite_of(const SSL& ssl) {
  switch (SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(&ssl))) {  // RFC 8446 B.4
    case 0x1301: return {EVP_aead_aes_128_gcm(), EVP_sha256()};
    case 0x1302: return {EVP_aead_aes_256_gcm(), EVP_sha384()};
    case 0x1303: return {EVP_aead_chacha20_poly1305(), EVP_sha256()};
    default: return {nullptr, nullptr};
  }
}

// RFC 8446 5.3: the sequence number, padded to the left, XOR the IV.
std::array<std::uint8_t, nonce_bytes> nonce_of(std::array<std::uint8_t, nonce_bytes> iv, std::uint64_t sequence) {
  for (std::size_t i = 0; i < 8; ++i) iv[nonce_bytes - 1 - i] ^= static_cast<std::uint8_t>(sequence >> (8 * i));
  return iv;
}

void write_header(char* to, std::size_t body) {
  to[0] = static_cast<char>(RecordType::application);
  to[1] = 3;
  to[2] = 3;
  to[3] = static_cast<char>(body >> 8);
  to[4] = static_cast<char>(body & 0xff);
}

}  // namespace

struct Records::Warm final : base::ListHook<> {
  EVP_AEAD_CTX open{};
  EVP_AEAD_CTX seal{};
  bool open_ready = false;
  bool seal_ready = false;
  Records* owner = nullptr;
};

struct Records::WarmPool {
  base::Slab<Warm> slab;
  base::List<Warm> by_use;  // longest unused first
};

Records::WarmPool& Records::pool() {
  thread_local WarmPool pool;
  return pool;
}

Records::Warm& Records::warm() {
  WarmPool& p = pool();
  if (warm_ == nullptr) {
    if (p.slab.in_use() >= warm_connections_max) p.by_use.front()->owner->cool();
    warm_ = p.slab.make();
    warm_->owner = this;
    p.by_use.push_back(*warm_);
  } else if (p.by_use.back() != warm_) {
    warm_->unlink();
    p.by_use.push_back(*warm_);
  }
  Warm& w = *warm_;
  const std::size_t key_bytes = EVP_AEAD_key_length(aead_);
  if (reads_ && !w.open_ready)
    w.open_ready = EVP_AEAD_CTX_init(&w.open, aead_, in_.key.data(), key_bytes, tag_bytes, nullptr) == 1;
  if (writes_ && !w.seal_ready)
    w.seal_ready = EVP_AEAD_CTX_init(&w.seal, aead_, out_.key.data(), key_bytes, tag_bytes, nullptr) == 1;
  CHECK(w.open_ready == reads_ && w.seal_ready == writes_);
  return w;
}

void Records::cool() {
  if (warm_ == nullptr) return;
  Warm* const w = std::exchange(warm_, nullptr);
  if (w->open_ready) EVP_AEAD_CTX_cleanup(&w->open);
  if (w->seal_ready) EVP_AEAD_CTX_cleanup(&w->seal);
  OPENSSL_cleanse(&w->open, sizeof w->open);
  OPENSSL_cleanse(&w->seal, sizeof w->seal);
  pool().slab.recycle(w);
}

Records::Records(Records&& o) noexcept
    : aead_(o.aead_),
      in_(o.in_),
      out_(o.out_),
      write_secret_start_(o.write_secret_start_),
      reads_(o.reads_),
      writes_(o.writes_),
      owes_key_update_(o.owes_key_update_) {
  o.cool();
}

Records::~Records() {
  cool();
  OPENSSL_cleanse(&in_, sizeof in_);
  OPENSSL_cleanse(&out_, sizeof out_);
}

bool Records::derive(const SSL& ssl, std::span<const std::uint8_t> secret, Direction& to) {
  const Suite suite = suite_of(ssl);
  aead_ = suite.aead;
  if (aead_ == nullptr) return false;
  cool();
  return expand(std::span(to.key).first(EVP_AEAD_key_length(aead_)), suite.digest, secret, "tls13 key") &&
         expand(to.iv, suite.digest, secret, "tls13 iv");
}

bool Records::take_reading(const SSL& ssl) {
  bssl::Span<const std::uint8_t> read_secret;
  bssl::Span<const std::uint8_t> write_secret;
  if (SSL_version(&ssl) != TLS1_3_VERSION || !bssl::SSL_get_traffic_secrets(&ssl, &read_secret, &write_secret))
    return false;
  if (!derive(ssl, {read_secret.data(), read_secret.size()}, in_)) return false;
  in_.sequence = SSL_get_read_sequence(&ssl);
  reads_ = true;
  return true;
}

bool Records::take_writing(const SSL& ssl) {
  bssl::Span<const std::uint8_t> read_secret;
  bssl::Span<const std::uint8_t> write_secret;
  if (SSL_version(&ssl) != TLS1_3_VERSION || !bssl::SSL_get_traffic_secrets(&ssl, &read_secret, &write_secret))
    return false;
  if (!derive(ssl, {write_secret.data(), write_secret.size()}, out_)) return false;
  std::memcpy(write_secret_start_.data(), write_secret.data(), write_secret_start_.size());
  out_.sequence = SSL_get_write_sequence(&ssl);
  writes_ = true;
  return true;
}

std::size_t Records::seal_with(EVP_AEAD_CTX& key, Direction& state, RecordType type, std::string_view content,
                               char* to) {
  const auto inner_type = static_cast<std::uint8_t>(type);
  const auto nonce = nonce_of(state.iv, state.sequence++);
  write_header(to, content.size() + 1 + tag_bytes);
  std::uint8_t* const body = bytes(to) + record_header_bytes;
  std::size_t tail = 0;
  CHECK(EVP_AEAD_CTX_seal_scatter(&key, body, body + content.size(), &tail, 1 + tag_bytes, nonce.data(), nonce.size(),
                                  bytes(content.data()), content.size(), &inner_type, 1, bytes(to),
                                  record_header_bytes) == 1);
  DCHECK(tail == 1 + tag_bytes);
  return content.size() + record_overhead_bytes;
}

std::size_t Records::seal(RecordType type, std::string_view content, char* to) {
  DCHECK(writes_);
  return seal_with(warm().seal, out_, type, content, to);
}

void Records::seal(RecordType type, std::string_view content, net::ByteQueue& out) {
  const auto size = static_cast<std::uint32_t>(content.size() + record_overhead_bytes);
  net::Chunk* const home =
      size <= net::ByteQueue::small_slice_bytes ? &net::Chunk::scratch(size) : net::Chunk::make(size);
  const std::uint32_t at = home->used();
  seal(type, content, home->data() + at);
  home->grow_used(size);
  out.append(net::Slice(home, at, size));
  if (!home->is_scratch()) home->unref();
}

bool Records::open(std::string_view record, char* to, Content& content, std::uint8_t& alert) {
  DCHECK(reads_);
  alert = SSL_AD_UNEXPECTED_MESSAGE;
  if (record.front() == change_cipher_spec)
    return false;  // behind Finished (RFC 8446 5); to BoringSSL it is a forged record
  alert = SSL_AD_BAD_RECORD_MAC;
  if (record.size() < record_header_bytes + tag_bytes) return false;
  const std::string_view body = record.substr(record_header_bytes);
  const auto nonce = nonce_of(in_.iv, in_.sequence++);
  std::size_t size = 0;
  if (EVP_AEAD_CTX_open(&warm().open, bytes(to), &size, body.size() - tag_bytes, nonce.data(), nonce.size(),
                        bytes(body.data()), body.size(), bytes(record.data()), record_header_bytes) != 1) {
    ERR_clear_error();
    return false;
  }
  alert = SSL_AD_RECORD_OVERFLOW;
  if (size > SSL3_RT_MAX_PLAIN_LENGTH + 1) return false;
  alert = SSL_AD_DECODE_ERROR;
  if (record.front() != static_cast<char>(RecordType::application)) return false;
  while (size != 0 && to[size - 1] == 0) --size;           // padding (RFC 8446 5.4)
  alert = SSL_AD_UNEXPECTED_MESSAGE;
  if (size == 0) return false;
  const auto type = static_cast<std::uint8_t>(to[--size]);
  if (type < static_cast<std::uint8_t>(RecordType::alert) || type > static_cast<std::uint8_t>(RecordType::application))
    return false;
  content = {static_cast<RecordType>(type), size};
  alert = 0;
  return true;
}

void Records::wrap(const SSL& ssl, RecordType type, std::string_view content, net::ByteQueue& to) {
  DCHECK(reads_);
  Direction as_peer = in_;
  as_peer.sequence = SSL_get_read_sequence(&ssl);
  const auto size = static_cast<std::uint32_t>(content.size() + record_overhead_bytes);
  net::Chunk* const home = net::Chunk::make(size);
  seal_with(warm().open, as_peer, type, content, home->data());
  home->grow_used(size);
  to.append(net::Slice(home, 0, size));
  home->unref();
}

bool Records::follow(const SSL& ssl) {
  if (SSL_get_read_sequence(&ssl) == 0 && !take_reading(ssl))
    return false;  // it has read at least one record under the old key
  if (!writes_) return true;
  bssl::Span<const std::uint8_t> read_secret;
  bssl::Span<const std::uint8_t> write_secret;
  if (!bssl::SSL_get_traffic_secrets(&ssl, &read_secret, &write_secret)) return false;
  owes_key_update_ = std::memcmp(write_secret.data(), write_secret_start_.data(), write_secret_start_.size()) != 0;
  return true;
}

bool Records::answer(SSL& ssl, net::ByteQueue& out) {
  owes_key_update_ = false;
  constexpr char key_update[] = {24, 0, 0, 1, 0};  // update_not_requested (RFC 8446 4.6.3)
  seal(RecordType::handshake, {key_update, sizeof key_update}, out);
  {
    net::ByteQueue nobody;                         // BoringSSL's own, under its own record numbers
    Wire wire;
    wire.out = &nobody;
    SSL_write(&ssl, "", 0);
    ERR_clear_error();
  }
  if (!take_writing(ssl)) return false;
  out_.sequence = 0;
  return true;
}

std::size_t record_size(const net::ByteQueue& in) {
  char header[record_header_bytes];
  if (in.peek(header, sizeof header) != sizeof header) return 0;
  return record_header_bytes + (std::size_t{static_cast<std::uint8_t>(header[3])} << 8) +
         static_cast<std::uint8_t>(header[4]);
}

std::uint8_t header_fault(const net::ByteQueue& in) {
  char header[record_header_bytes];
  if (in.peek(header, sizeof header) != sizeof header) return 0;
  if (header[1] != 3 || header[2] != 3) return SSL_AD_PROTOCOL_VERSION;
  return record_size(in) > record_header_bytes + record_cipher_bytes_max ? SSL_AD_RECORD_OVERFLOW : 0;
}

}  // namespace sluice::tls
