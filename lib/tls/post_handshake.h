// What is watched of handshake messages that come after the handshake (TLS 1.3: tickets, KeyUpdate): where their stream
// stands, and how many KeyUpdates a peer may send. One of each per connection, embedded. Inside lib/tls only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/clock.h"

namespace sluice::tls {

// BoringSSL does not tell whether it waits for the rest of a message, and between two parts of one nothing else may
// come (RFC 8446 5.1); nor does it tell which messages a record brought.
class HandshakeStream {
 public:
  // The content of the next handshake record. Returns how many KeyUpdates begin in it.
  unsigned take(std::string_view content);
  // Is a message begun and not over?
  bool within() const { return header_ != 0 || left_ != 0; }

 private:
  std::uint32_t left_ = 0;  // bytes of the message's body that have yet to come
  std::uint8_t header_ = 0;  // bytes of its header that are here, while it is not complete
};

// KeyUpdates are limited by rate: a burst, one more each second, and what an honest peer may need on top. JSSE, once
// past its key limit, sends one with every record it reads until ours arrives: one for each record that we have sent.
// Others count their own bytes: one for each full record that they have sent.
class KeyUpdateBudget {
 public:
  static constexpr std::uint16_t burst = 32;  // as BoringSSL's, between two application records
  static constexpr std::uint16_t earned_max = 4096;  // more records than these are hardly on their way at once
  static constexpr std::uint32_t bytes_for_one = 16 * 1024;

  void record_sent() { earned_ = std::min<std::uint16_t>(earned_ + 1, earned_max); }
  void bytes_received(std::size_t bytes);
  // One KeyUpdate has come. False: it is too many.
  bool spend(base::Micros now);

 private:
  base::Micros at_{0};  // the bucket was filled up to here
  std::uint32_t bytes_ = 0;  // received, not yet counted
  std::uint16_t left_ = burst;
  std::uint16_t earned_ = 0;
};

}  // namespace sluice::tls
