// Address and Cidr: parsing and printing with inet_pton and inet_ntop; no names, no scope ids.
#include "net/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/text.h"

namespace sluice::net {
namespace {

constexpr size_t path_max = sizeof(sockaddr_un::sun_path) - 1;
constexpr uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped(const uint8_t* ip) { return std::memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0; }

// 0 to 255 in decimal, a dot behind it.
struct Octet {
  std::array<char, 4> text{};
  uint8_t size = 0;
};
constexpr auto octets = [] {
  std::array<Octet, 256> all{};
  for (size_t n = 0; n < all.size(); ++n) {
    Octet& octet = all[n];
    for (size_t unit = n >= 100 ? 100 : n >= 10 ? 10 : 1; unit != 0; unit /= 10)
      octet.text[octet.size++] = static_cast<char>('0' + n / unit % 10);
    octet.text[octet.size++] = '.';
  }
  return all;
}();

std::optional<uint16_t> parse_port(std::string_view text) {
  const auto n = text.size() <= 5 ? base::parse_u64(text) : std::nullopt;
  if (!n || *n > 65535) return std::nullopt;
  return static_cast<uint16_t>(*n);
}

}  // namespace

void Address::copy(const Address& o) {
  family_ = o.family_;
  port_ = o.port_;
  if (family_ == Family::unix_path) {
    path_ = ::strdup(o.path_);
    CHECK(path_ != nullptr);
  } else {
    std::memcpy(ip_, o.ip_, sizeof ip_);
  }
}

void Address::steal(Address& o) noexcept {
  family_ = o.family_;
  port_ = o.port_;
  if (family_ == Family::unix_path) {
    path_ = o.path_;
  } else {
    std::memcpy(ip_, o.ip_, sizeof ip_);
  }
  o.family_ = Family::none;
}

void Address::free_path() noexcept {
  std::free(path_);
  family_ = Family::none;
}

Address Address::from_sockaddr(const sockaddr* raw, socklen_t length) {
  if (raw->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, raw, sizeof in);
    return ipv4(ntohl(in.sin_addr.s_addr), ntohs(in.sin_port));
  }
  if (raw->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in;
    std::memcpy(&in, raw, sizeof in);
    return ipv6(in.sin6_addr.s6_addr, ntohs(in.sin6_port));
  }
  if (raw->sa_family == AF_UNIX) {
    sockaddr_un un{};
    std::memcpy(&un, raw, std::min<size_t>(length, sizeof un));
    constexpr size_t head = offsetof(sockaddr_un, sun_path);
    const size_t bytes = std::min<size_t>(length > head ? length - head : 0, path_max);
    if (bytes == 0) return unix_socket("");  // the unnamed end of a connection
    if (un.sun_path[0] != '\0') return unix_socket({un.sun_path, ::strnlen(un.sun_path, bytes)});
    un.sun_path[0] = '@';
    return unix_socket({un.sun_path, bytes});
  }
  return {};
}

Address Address::ipv4(uint32_t host_order, uint16_t port) {
  Address a;
  a.family_ = Family::ipv4;
  a.port_ = port;
  const uint32_t net_order = htonl(host_order);
  std::memcpy(a.ip_, &net_order, sizeof net_order);
  return a;
}

Address Address::ipv6(std::span<const uint8_t, 16> bytes, uint16_t port) {
  Address a;
  a.family_ = Family::ipv6;
  a.port_ = port;
  std::copy(bytes.begin(), bytes.end(), a.ip_);
  return a;
}

Address Address::unix_socket(std::string_view path) {
  Address a;
  a.path_ = ::strndup(path.data(), path.size());
  CHECK(a.path_ != nullptr);
  a.family_ = Family::unix_path;
  return a;
}

base::Result<Address> Address::parse(std::string_view text) {
  if (text.starts_with("unix:")) {
    const std::string_view path = text.substr(5);
    if (path.empty() || (path.front() != '/' && path.front() != '@')) {
      return base::fail(
          fmt::format("\"{}\" is no Unix socket: after \"unix:\" comes an absolute path or \"@name\"", text));
    }
    if (path.size() > path_max || path == "@" || path.find('\0') != std::string_view::npos) {
      return base::fail(fmt::format("the path of a Unix socket has 1 to {} bytes and no NUL: \"{}\"", path_max, text));
    }
    return unix_socket(path);
  }
  const size_t colon = text.rfind(':');
  const bool bracketed = text.starts_with('[');
  const size_t bracket = text.rfind(']');
  if (colon == std::string_view::npos || (bracketed && (bracket == std::string_view::npos || bracket + 1 != colon))) {
    return base::fail(fmt::format("\"{}\" has no port: write \"IP:PORT\", \"[IPv6]:PORT\" or \"unix:/path\"", text));
  }
  const std::string_view host = text.substr(0, colon);
  if (!bracketed && host.find(':') != std::string_view::npos) {
    return base::fail(
        fmt::format("\"{}\": an IPv6 address before a port stands in brackets, as in \"[::1]:80\"", text));
  }
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return base::fail(fmt::format("\"{}\": the port is a number from 0 to 65535", text));
  const auto address = parse_ip(host, *port);
  if (!address) return base::fail(fmt::format("\"{}\": \"{}\" is no IP address", text, host));
  return *address;
}

std::optional<Address> Address::parse_ip(std::string_view text, uint16_t port) {
  const bool bracketed = text.size() > 2 && text.front() == '[' && text.back() == ']';
  if (bracketed) text = text.substr(1, text.size() - 2);
  char copy[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof copy || text.find('\0') != std::string_view::npos) return std::nullopt;
  copy[text.copy(copy, text.size())] = '\0';
  Address a;
  a.port_ = port;
  if (!bracketed && ::inet_pton(AF_INET, copy, a.ip_) == 1) {
    a.family_ = Family::ipv4;
  } else if (::inet_pton(AF_INET6, copy, a.ip_) == 1) {
    a.family_ = Family::ipv6;
  } else {
    return std::nullopt;
  }
  return a;
}

bool Address::is_loopback() const {
  switch (family_) {
    case Family::none: return false;
    case Family::ipv4: return ip_[0] == 127;
    case Family::ipv6: {
      if (is_mapped(ip_)) return ip_[12] == 127;
      constexpr uint8_t one[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
      return std::memcmp(ip_, one, sizeof one) == 0;
    }
    case Family::unix_path: return true;
  }
  UNREACHABLE();
}

std::span<const uint8_t> Address::ip_bytes() const {
  if (!is_ip()) return {};
  return {ip_, family_ == Family::ipv4 ? 4U : 16U};
}

std::string_view Address::path() const {
  return family_ == Family::unix_path ? std::string_view(path_) : std::string_view();
}

Address Address::unmapped() const {
  if (family_ != Family::ipv6 || !is_mapped(ip_)) return *this;
  Address a;
  a.family_ = Family::ipv4;
  a.port_ = port_;
  std::memcpy(a.ip_, ip_ + 12, 4);
  return a;
}

socklen_t Address::to_sockaddr(sockaddr_storage& to) const {
  std::memset(&to, 0, sizeof to);
  switch (family_) {
    case Family::none: return 0;
    case Family::ipv4: {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(port_);
      std::memcpy(&in.sin_addr, ip_, 4);
      std::memcpy(&to, &in, sizeof in);
      return sizeof in;
    }
    case Family::ipv6: {
      sockaddr_in6 in{};
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(port_);
      std::memcpy(&in.sin6_addr, ip_, 16);
      std::memcpy(&to, &in, sizeof in);
      return sizeof in;
    }
    case Family::unix_path: {
      sockaddr_un un{};
      un.sun_family = AF_UNIX;
      const std::string_view path(path_);
      CHECK(path.size() <= path_max);
      path.copy(un.sun_path, path.size());
      const bool abstract = path.starts_with('@');
      if (abstract) un.sun_path[0] = '\0';
      std::memcpy(&to, &un, sizeof un);
      return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
    }
  }
  UNREACHABLE();
}

std::string Address::text() const {
  switch (family_) {
    case Family::none: return "none";
    case Family::ipv4: return fmt::format("{}:{}", ip_text(), port_);
    case Family::ipv6: return fmt::format("[{}]:{}", ip_text(), port_);
    case Family::unix_path: return fmt::format("unix:{}", path_);
  }
  UNREACHABLE();
}

std::string Address::ip_text() const {
  char buffer[INET6_ADDRSTRLEN];
  return std::string(ip_text(buffer));
}

std::string_view Address::ip_text(std::span<char> to) const {
  if (family_ == Family::unix_path) return "unix:";
  if (family_ == Family::none) return "";
  if (family_ == Family::ipv4) return ipv4_text(to);
  CHECK(::inet_ntop(AF_INET6, ip_, to.data(), static_cast<socklen_t>(to.size())) != nullptr);
  return to.data();
}

// Written per request: inet_ntop goes through sprintf.
std::string_view Address::ipv4_text(std::span<char> to) const {
  CHECK(to.size() >= INET_ADDRSTRLEN);  // so that four bytes fit wherever an octet begins
  char* at = to.data();
  for (size_t i = 0; i < 4; ++i) {
    const Octet& octet = octets[ip_[i]];
    std::memcpy(at, octet.text.data(), octet.text.size());
    at += octet.size;
  }
  return {to.data(), static_cast<size_t>(at - to.data()) - 1};
}

uint64_t Address::hash() const {
  constexpr uint64_t prime = 0x9E3779B97F4A7C15;
  uint64_t h = (static_cast<uint64_t>(family_) << 16) | port_;
  const auto mix = [&h](uint64_t v) {
    h = (h ^ v) * prime;
    h ^= h >> 29;
  };
  if (family_ == Family::unix_path) {
    for (const char c : path()) mix(static_cast<uint8_t>(c));
  } else {
    uint64_t half[2];
    std::memcpy(half, ip_, sizeof half);
    mix(half[0]);
    mix(half[1]);
  }
  mix(0);
  return h;
}

bool Address::operator==(const Address& o) const {
  if (family_ != o.family_ || port_ != o.port_) return false;
  if (family_ == Family::unix_path) return path() == o.path();
  return std::memcmp(ip_, o.ip_, sizeof ip_) == 0;
}

base::Result<Cidr> Cidr::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = Address::parse_ip(text.substr(0, slash));
  if (!address)
    return base::fail(fmt::format("\"{}\" is no block of IP addresses like \"10.0.0.0/8\" or \"fd00::/8\"", text));
  const auto ip = address->ip_bytes();
  const uint64_t bits_max = ip.size() * 8;
  uint64_t bits = bits_max;
  if (slash != std::string_view::npos) {
    const auto n = base::parse_u64(text.substr(slash + 1));
    if (!n || *n > bits_max)
      return base::fail(fmt::format("\"{}\": the prefix length is a number from 0 to {}", text, bits_max));
    bits = *n;
  }
  Cidr block;
  block.bits_ = static_cast<uint8_t>(bits);
  block.ipv6_ = ip.size() == 16;
  std::copy(ip.begin(), ip.end(), block.ip_);
  Cidr masked = block;
  for (uint64_t bit = bits; bit < bits_max; ++bit) masked.ip_[bit / 8] &= static_cast<uint8_t>(~(0x80U >> (bit % 8)));
  if (masked == block) return block;
  base::Error error{fmt::format("\"{}\" has bits set behind its prefix of {} bits", text, bits)};
  error.suggestion = masked.text();
  return std::unexpected(std::move(error));
}

bool Cidr::contains(const Address& address) const {
  const Address plain = address.unmapped();
  const auto ip = plain.ip_bytes();
  if (ip.size() != (ipv6_ ? 16U : 4U)) return false;
  const size_t whole = bits_ / 8;
  if (std::memcmp(ip.data(), ip_, whole) != 0) return false;
  const unsigned rest = bits_ % 8;
  return rest == 0 || ((ip[whole] ^ ip_[whole]) >> (8 - rest)) == 0;
}

std::string Cidr::text() const {
  char buffer[INET6_ADDRSTRLEN];
  CHECK(::inet_ntop(ipv6_ ? AF_INET6 : AF_INET, ip_, buffer, sizeof buffer) != nullptr);
  return fmt::format("{}/{}", buffer, bits_);
}

bool contains(std::span<const Cidr> blocks, const Address& address) {
  return std::any_of(blocks.begin(), blocks.end(), [&](const Cidr& b) { return b.contains(address); });
}

}  // namespace sluice::net
