// Address: an IPv4, IPv6 or Unix socket address as a value. Cidr: a block of IP addresses. No names: see dns.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sluice::net {

class Address {
 public:
  enum class Family : uint8_t { none, ipv4, ipv6, unix_path };

  Address() {}
  Address(const Address& o) { copy(o); }
  Address(Address&& o) noexcept { steal(o); }
  Address& operator=(const Address& o) {
    if (this != &o) reset(), copy(o);
    return *this;
  }
  Address& operator=(Address&& o) noexcept {
    if (this != &o) reset(), steal(o);
    return *this;
  }
  ~Address() { reset(); }
  static Address from_sockaddr(const sockaddr* raw, socklen_t length);
  static Address ipv4(uint32_t host_order, uint16_t port);
  static Address ipv6(std::span<const uint8_t, 16> bytes, uint16_t port);
  static Address unix_socket(std::string_view path);   // "@name" = abstract; at most 107 bytes (checked by parse)

  // "1.2.3.4:80", "[::1]:80", "unix:/path". The port is needed (0 allowed). Errors name what is wrong.
  static base::Result<Address> parse(std::string_view text);
  // A bare IP without port ("::1", "10.0.0.1", "[::1]").
  static std::optional<Address> parse_ip(std::string_view text, uint16_t port = 0);

  Family family() const { return family_; }
  bool is_ip() const { return family_ == Family::ipv4 || family_ == Family::ipv6; }
  bool is_loopback() const;                            // 127/8, ::1, mapped 127/8, and Unix sockets
  uint16_t port() const { return port_; }
  void set_port(uint16_t port) { port_ = port; }
  std::span<const uint8_t> ip_bytes() const;           // 4 or 16 bytes; empty for Unix sockets
  std::string_view path() const;                       // Unix sockets
  // IPv4-mapped IPv6 (::ffff:a.b.c.d) becomes IPv4; anything else stays.
  Address unmapped() const;
  // Fills `to`; returns its length, 0 for Family::none.
  socklen_t to_sockaddr(sockaddr_storage& to) const;
  std::string text() const;                            // as parse() takes it
  std::string ip_text() const;                         // without port and brackets; "unix:" for Unix sockets
  // Writes ip_text() into `to` (needs 46 bytes) and returns the view; no allocation.
  std::string_view ip_text(std::span<char> to) const;
  uint64_t hash() const;
  bool operator==(const Address& o) const;

 private:
  std::string_view ipv4_text(std::span<char> to) const;
  void copy(const Address& o);
  void steal(Address& o) noexcept;
  void reset() noexcept {
    if (family_ == Family::unix_path) free_path();
  }
  void free_path() noexcept;

  Family family_ = Family::none;
  uint16_t port_ = 0;
  union {                                              // 24 bytes in all: three of them stand in every Peer
    uint8_t ip_[16] = {};
    char* path_;                                       // unix_path: owned, ends with NUL
  };
};

class Cidr {
 public:
  // "10.0.0.0/8", "::/0", or one bare address. Host bits that are set are an error (it is nearly always a slip).
  static base::Result<Cidr> parse(std::string_view text);
  bool contains(const Address& address) const;         // mapped IPv4 counts as IPv4
  std::string text() const;
  bool operator==(const Cidr&) const = default;

 private:
  uint8_t ip_[16] = {};
  uint8_t bits_ = 0;
  bool ipv6_ = false;
};

bool contains(std::span<const Cidr> blocks, const Address& address);

}  // namespace sluice::net
