// TlsClient: a client of TLS on a wire of the House: BoringSSL between two buffers in memory, stepped whenever bytes
// arrive. It believes every certificate: what the proxy makes of its clients is looked at here.
#pragma once

#include <openssl/ssl.h>

#include <string>
#include <string_view>

#include "support/pipe.h"

namespace sluice::house {

class TlsClient {
 public:
  TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  // What it has to say first. Its handshake needs nothing but to be stepped.
  std::string hello() { return step({}); }
  // Bytes came; what it has to say to them.
  std::string step(std::string_view received);
  // Said behind the handshake, now or as soon as that is over; returns what has to go out for it now.
  std::string say(std::string_view text);

 private:
  std::string take_output();

  bssl::UniquePtr<SSL> ssl_;
  BIO* in_ = nullptr;                              // ssl_'s, both
  BIO* out_ = nullptr;
  std::string waiting_;
  bool open_ = false;
  bool broken_ = false;
};

// Certificates of listeners: which of them is served changes by reloads. "cert = ..., key = ..." as TOML has it.
std::string certificate(uint32_t which);
inline constexpr uint32_t certificates = 2;

}  // namespace sluice::house
