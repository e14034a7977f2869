// Tickets: the keys that session tickets are sealed with (RFC 5077, RFC 8446 4.6.1), shared by all workers of a
// listener. Our own keys are made here: a new one about every hour, and an old one opens tickets until the last of them
// has expired. Keys of a fleet come from a file and stay until a reload. Thread-safe; a lock per handshake, none per
// request.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "tls/context.h"

namespace sluice::tls {

// Wiped when it goes, as each copy is.
struct TicketKey {
  TicketKey() = default;
  TicketKey(const TicketKey&) = default;
  TicketKey& operator=(const TicketKey&) = default;
  ~TicketKey();

  static constexpr std::size_t name_bytes = 16;
  std::array<std::uint8_t, name_bytes> name{};
  std::array<std::uint8_t, 32> mac{};  // HMAC-SHA256
  std::array<std::uint8_t, 32> cipher{};  // AES-CBC
  std::uint8_t secret_bytes = 32;  // of mac and of cipher: 16 (AES-128) or 32 (AES-256)
  base::Micros made{};  // monotonic; not used for keys from a file
};

class Tickets {
 public:
  static constexpr base::Millis rotation_min = base::hours(1);
  static constexpr std::size_t keys_max = 64;  // of a file
  static constexpr std::int64_t own_keys_per_lifetime = 12;

  // Own keys, rotated every max(rotation_min, lifetime / own_keys_per_lifetime). lifetime 0: no own keys (see
  // from_file).
  explicit Tickets(base::Millis lifetime);
  // Keys of a fleet, newest first. Text: one base64 key of 48 or 80 bytes a line, blank lines and lines that start with
  // # are skipped. Or one binary key of exactly 48 or 80 bytes. A key is name (16 bytes), then for 80 bytes HMAC key
  // (32) and AES-256 key (32), for 48 bytes AES-128 key (16) and HMAC key (16): as nginx has them. Warns of a file that
  // others can read.
  static base::Result<std::shared_ptr<Tickets>> from_file(const std::string& path, Findings& warnings);

  // The key to seal a new ticket with; makes one if the newest is too old.
  TicketKey sealing_key(base::Micros now);
  // The key called `name` if it may still open tickets. `newest`: tickets need no renewal.
  struct Found {
    TicketKey key;
    bool newest = false;
  };
  std::optional<Found> opening_key(const std::uint8_t* name, base::Micros now);
  std::size_t keys();  // tests

 private:
  void rotate(base::Micros now);  // needs the lock

  std::mutex lock_;
  std::vector<TicketKey> keys_;  // newest first
  base::Millis rotation_{0};  // 0 = keys from a file
  base::Millis lifetime_{0};
};

}  // namespace sluice::tls
