// Wire: between BoringSSL and the bytes of the lower transport. One BIO per thread serves all connections: before each
// call into BoringSSL the transport says where bytes come from and go to. That saves a BIO per connection, and
// callbacks find their connection in current(). Inside lib/tls only.
#pragma once

#include <openssl/bio.h>

#include <cstdint>

#include "net/byte_queue.h"
#include "tls/context.h"

namespace sluice::tls {

struct Certificate;

struct Wire {
  net::ByteQueue* in = nullptr;  // ciphertext to read; nullptr = none now
  std::size_t readable = 0;  // of it: what is left of the record that BoringSSL is reading
  net::ByteQueue* out = nullptr;  // where ciphertext goes
  SessionSlot* sessions = nullptr;  // client: where new sessions go
  std::uint64_t context_id = 0;  // client: whose sessions they are
  const Certificate* certificate = nullptr;  // server, out: what was selected
  std::uint8_t alert = 0;  // out, where asked for: what BoringSSL told the peer

  // While it lives it is the one that BoringSSL reads from and writes to on this thread. They do not nest.
  Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  ~Wire();
  static Wire& current();
  // A reference to this thread's BIO for a new connection.
  static bssl::UniquePtr<BIO> bio();
};

}  // namespace sluice::tls
