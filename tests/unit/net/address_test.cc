// Address and Cidr: what parses, what does not and why, and that text survives the way there and back.
#include "net/address.h"

#include <sys/un.h>

#include <string>
#include <unordered_set>
#include <vector>

#include <doctest/doctest.h>

using namespace sluice;
using net::Address;
using net::Cidr;

TEST_CASE("text parses and prints back") {
  for (const std::string text : {"1.2.3.4:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:443",
                                 "[2001:db8::a:b]:1", "unix:/run/a.sock", "unix:@abstract"}) {
    CAPTURE(text);
    const auto address = Address::parse(text);
    REQUIRE(address.has_value());
    CHECK(address->text() == text);
    sockaddr_storage raw;
    const socklen_t length = address->to_sockaddr(raw);
    CHECK(length > 0);
    CHECK(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&raw), length) == *address);
    const Address copy = *address;
    CHECK(copy == *address);
    CHECK(copy.hash() == address->hash());
  }
}

TEST_CASE("errors name what is wrong") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "has no port"},
      {"1.2.3.4", "has no port"},
      {"[::1]", "has no port"},
      {"::1:80", "stands in brackets"},
      {"localhost:80", "\"localhost\" is no IP address"},
      {"1.2.3:80", "is no IP address"},
      {"01.2.3.4:80", "is no IP address"},
      {"[1.2.3.4]:80", "is no IP address"},
      {"[fe80::1%eth0]:80", "is no IP address"},
      {"1.2.3.4:65536", "port is a number"},
      {"1.2.3.4:", "port is a number"},
      {"1.2.3.4:-1", "port is a number"},
      {"1.2.3.4: 80", "port is a number"},
      {"unix:", "absolute path"},
      {"unix:relative", "absolute path"},
      {"unix:@", "1 to 107 bytes"},
      {"unix:/" + std::string(107, 'x'), "1 to 107 bytes"},
  };
  for (const auto& [text, message] : cases) {
    CAPTURE(text);
    const auto address = Address::parse(text);
    REQUIRE(!address.has_value());
    CHECK(address.error().message.find(message) != std::string::npos);
  }
  CHECK(Address::parse("unix:/" + std::string(106, 'x')).has_value());
}

TEST_CASE("bare IPs, loopback, mapped") {
  CHECK(Address::parse_ip("::1")->is_loopback());
  CHECK(Address::parse_ip("[::1]")->is_loopback());
  CHECK(Address::parse_ip("127.9.9.9")->is_loopback());
  CHECK(Address::parse_ip("::ffff:127.0.0.1")->is_loopback());
  CHECK(!Address::parse_ip("128.0.0.1")->is_loopback());
  CHECK(!Address::parse_ip("::2")->is_loopback());
  CHECK(Address::unix_socket("/x").is_loopback());
  CHECK(!Address().is_loopback());
  CHECK(!Address::parse_ip("1.2.3.4:80"));
  CHECK(!Address::parse_ip(""));
  CHECK(!Address::parse_ip(std::string("1.2.3.4\0", 8)));
  CHECK(!Address::parse_ip(std::string(60, '1')));
  CHECK(Address::parse_ip("::ffff:1.2.3.4", 5)->unmapped() == Address::ipv4(0x01020304, 5));
  CHECK(Address::parse_ip("::fffe:1.2.3.4", 5)->unmapped().family() == Address::Family::ipv6);
  char buffer[46];
  CHECK(Address::parse("[2001:db8::1]:9")->ip_text(buffer) == "2001:db8::1");
  CHECK(Address::unix_socket("/x").ip_text() == "unix:");
  for (const std::string text : {"0.0.0.0", "1.20.255.100", "255.255.255.255", "10.0.0.9"}) {
    CHECK(Address::parse(text + ":1")->ip_text() == text);
  }
  for (uint32_t n = 0; n < 256; ++n) {
    CHECK(Address::ipv4(n << 24 | n, 1).ip_text() == std::to_string(n) + ".0.0." + std::to_string(n));
  }
}

TEST_CASE("equality, copies and hashes of every family") {
  std::vector<Address> all = {Address(),
                              Address::ipv4(1, 2),
                              Address::ipv4(1, 3),
                              Address::ipv4(2, 2),
                              *Address::parse_ip("::1", 2),
                              Address::unix_socket("/a"),
                              Address::unix_socket("/b")};
  std::unordered_set<uint64_t> hashes;
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = 0; j < all.size(); ++j) CHECK((all[i] == all[j]) == (i == j));
    hashes.insert(all[i].hash());
  }
  CHECK(hashes.size() == all.size());
  Address a = all[5];
  a = all[6];
  a = static_cast<const Address&>(a);
  CHECK(a.path() == "/b");
  Address moved = std::move(a);
  CHECK(moved.path() == "/b");
  moved = all[1];
  CHECK(moved == all[1]);
  CHECK(moved.path().empty());
}

TEST_CASE("the unnamed end of a Unix connection is a Unix address") {
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  const Address a = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&un), sizeof(sa_family_t));
  CHECK(a.family() == Address::Family::unix_path);
  CHECK(a.path().empty());
}

TEST_CASE("blocks contain what they should, at every prefix length") {
  const auto block = [](std::string_view text) { return Cidr::parse(text).value(); };
  CHECK(block("10.0.0.0/8").contains(*Address::parse_ip("10.255.0.1")));
  CHECK(!block("10.0.0.0/8").contains(*Address::parse_ip("11.0.0.1")));
  CHECK(block("10.0.0.0/8").contains(*Address::parse_ip("::ffff:10.1.1.1")));
  CHECK(block("0.0.0.0/0").contains(*Address::parse_ip("1.2.3.4")));
  CHECK(!block("0.0.0.0/0").contains(*Address::parse_ip("::1")));
  CHECK(block("::/0").contains(*Address::parse_ip("::1")));
  CHECK(block("fd00::/9").contains(*Address::parse_ip("fd7f::1")));
  CHECK(!block("fd00::/9").contains(*Address::parse_ip("fd80::1")));
  CHECK(block("192.0.2.7").contains(*Address::parse_ip("192.0.2.7")));
  CHECK(!block("192.0.2.7").contains(*Address::parse_ip("192.0.2.6")));
  CHECK(!block("::/0").contains(Address::unix_socket("/x")));
  for (int bits = 0; bits <= 32; ++bits) {
    const uint32_t mask = bits == 0 ? 0 : ~uint32_t{0} << (32 - bits);
    const std::string text = Address::ipv4(0xA5A5A5A5 & mask, 0).ip_text() + "/" + std::to_string(bits);
    CAPTURE(text);
    CHECK(block(text).text() == text);
    CHECK(block(text).contains(Address::ipv4(0xA5A5A5A5, 0)));
    if (bits != 0) CHECK(!block(text).contains(Address::ipv4(0xA5A5A5A5 ^ (1U << (32 - bits)), 0)));
  }
}

TEST_CASE("bad blocks say what would have been right") {
  const auto host_bits = Cidr::parse("10.1.2.3/8");
  REQUIRE(!host_bits.has_value());
  CHECK(host_bits.error().suggestion == "10.0.0.0/8");
  for (const std::string text :
       {"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "name/8", "10.0.0.0:80"}) {
    CAPTURE(text);
    CHECK(!Cidr::parse(text).has_value());
  }
}
