// Peers that are not ours: a BoringSSL client on memory BIOs, set up by the test as it likes, and a server without any
// client.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rig.h"

namespace sluice::test {

// Our server on a wire whose other end the test drives byte by byte.
struct Peerless {
  explicit Peerless(support::SimLoop& sim, base::Millis timeout = {},
                    std::shared_ptr<const tls::ServerContext> context = nullptr);
  Events events;
  Side user;
  std::unique_ptr<support::ScriptedPeer> peer;
  std::shared_ptr<support::Wire> wire;
};

// BoringSSL as a client of a Peerless server. step() moves bytes both ways until nothing moves.
class RawClient {
 public:
  RawClient(support::SimLoop& sim, Peerless& server, const std::function<void(SSL_CTX&)>& set_up,
            const std::string& name = "localhost");
  void step();
  bool open() const { return open_; }
  SSL& ssl() { return *ssl_; }
  // Everything our server sent, as records: the sizes of their bodies on the wire.
  const std::vector<std::size_t>& records() const { return records_; }
  std::string read();
  void write(std::string_view bytes);
  // What BoringSSL wants to send, not sent.
  std::string take_output();

 private:
  void count_records(std::string_view bytes);

  support::SimLoop& sim_;
  Peerless& server_;
  bssl::UniquePtr<SSL_CTX> context_;
  bssl::UniquePtr<SSL> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  bool open_ = false;
  std::string uncounted_;
  std::vector<std::size_t> records_;
};

// A server of ours and a client of theirs with hands shaken; TLS 1.3 unless told otherwise.
struct Pair {
  explicit Pair(support::SimLoop& sim, bool tls12 = false);
  Peerless server;
  RawClient client;
};

// Bytes that look random and are the same every time.
std::string letters(std::size_t n, std::uint64_t seed = 1);

struct RawResult {
  bool open = false;
  unsigned version = 0;
  std::string cipher;
  std::string certificate;  // common name of what the server sent
  std::vector<tls::HandshakeError> errors;  // at the server
};
RawResult raw_client(support::SimLoop& sim, std::shared_ptr<const tls::ServerContext> context,
                     const std::function<void(SSL_CTX&)>& set_up, const std::string& name = "localhost");

}  // namespace sluice::test
