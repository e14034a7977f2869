// Records: protection of TLS 1.3 records after the handshake (RFC 8446 5.2, 5.3), sealed from and opened into our
// chunks. BoringSSL's SSL_read and SSL_write would copy each record once more and ask the heap for a buffer each time.
// BoringSSL stays in charge of everything else: it makes the keys, and handshake messages that come later (tickets,
// KeyUpdate) are handed to it. One per connection, embedded in it. Inside lib/tls only.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "net/byte_queue.h"

namespace sluice::tls {

inline constexpr std::size_t record_header_bytes = 5;
inline constexpr std::size_t record_cipher_bytes_max = 16 * 1024 + 256;  // RFC 8446 5.2
inline constexpr std::size_t record_overhead_bytes = record_header_bytes + 1 + 16;  // header, inner type, tag

enum class RecordType : std::uint8_t { alert = 21, handshake = 22, application = 23 };

// Keys of the last connections that were busy, ready for use (1.2 KB each). Others keep the bare key (88 bytes).
inline constexpr std::size_t warm_connections_max = 256;  // per thread

class Records {
 public:
  Records() = default;
  Records(const Records&) = delete;
  Records& operator=(const Records&) = delete;
  // For another thread: what this one keeps ready of the keys stays behind. `o` is of no more use.
  Records(Records&& o) noexcept;
  ~Records();

  // Takes a direction over from BoringSSL, which must stand between two records. False: not TLS 1.3, BoringSSL goes on.
  bool take_reading(const SSL& ssl);
  bool take_writing(const SSL& ssl);
  bool reads() const { return reads_; }
  bool writes() const { return writes_; }

  // Writes a record of `content` (<= record_bytes_max) to `to`, which has room for record_overhead_bytes more. Returns
  // its size.
  std::size_t seal(RecordType type, std::string_view content, char* to);
  // The same to a queue.
  void seal(RecordType type, std::string_view content, net::ByteQueue& out);

  // Opens one whole record, header included, into `to`, which has room for record.size() - record_header_bytes - 16
  // bytes and is either the place of the body itself or does not overlap it. False: `alert` is what to tell the peer.
  struct Content {
    RecordType type = RecordType::application;
    std::size_t size = 0;
  };
  bool open(std::string_view record, char* to, Content& content, std::uint8_t& alert);

  // Handshake messages that come now are BoringSSL's business, but it reads records only. wrap() makes it one: under
  // the peer's key, with the number that BoringSSL expects. That record never leaves the process.
  void wrap(const SSL& ssl, RecordType type, std::string_view content, net::ByteQueue& to);
  // After BoringSSL has read it: a KeyUpdate has changed its key, so ours follows. False: no new key to be had.
  bool follow(const SSL& ssl);
  // Has the peer asked for a KeyUpdate of ours, which has to leave before anything else? BoringSSL then stands at our
  // next key and takes further requests for the same one until its SSL_write() is called, which is when answer() has
  // sealed ours to `out`.
  bool owes_key_update() const { return owes_key_update_; }
  bool answer(SSL& ssl, net::ByteQueue& out);

 private:
  struct Direction {
    std::array<std::uint8_t, 32> key{};
    std::array<std::uint8_t, 12> iv{};
    std::uint64_t sequence = 0;
  };
  struct Warm;
  struct WarmPool;
  static WarmPool& pool();
  Warm& warm();
  void cool();
  bool derive(const SSL& ssl, std::span<const std::uint8_t> secret, Direction& to);
  static std::size_t seal_with(EVP_AEAD_CTX& key, Direction& state, RecordType type, std::string_view content,
                               char* to);

  Warm* warm_ = nullptr;
  const EVP_AEAD* aead_ = nullptr;
  Direction in_;
  Direction out_;
  std::array<std::uint8_t, 8> write_secret_start_{};  // tells whether BoringSSL has changed it
  bool reads_ = false;
  bool writes_ = false;
  bool owes_key_update_ = false;
};

// Size of the whole record at the front of `in`, header included; 0 = not enough bytes to tell. Nonsense gives a
// nonsense size.
std::size_t record_size(const net::ByteQueue& in);
// What is wrong with its header, told before its body is here: the alert, 0 = nothing (or not enough bytes to tell).
std::uint8_t header_fault(const net::ByteQueue& in);

}  // namespace sluice::tls
