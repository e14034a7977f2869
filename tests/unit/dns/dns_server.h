// DnsServer: a name server on loopback, UDP and TCP at one port the kernel chose, on the loop of the test. It answers
// as the test says: nothing, something else, several datagrams, from another socket. For the tests of this folder.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/fd.h"
#include "net/fd_watch.h"
#include "support/dns_message.h"

#include <doctest/doctest.h>

namespace sluice::dns_test {

using Bytes = std::vector<std::uint8_t>;

struct Query {
  Bytes bytes;
  std::uint16_t id = 0, type = 0;
  std::string name;  // as sent
  std::uint16_t port = 0;  // of the client
  bool tcp = false;
  bool edns = false;
  std::function<void(const Bytes&)> reply;  // may be called several times, and later
  support::DnsMessage answer(std::uint16_t flags = 0x8180) const {
    return support::DnsMessage(id, flags).question(name, type);
  }
};

enum class Tcp : bool { no, yes };

class DnsServer {
 public:
  explicit DnsServer(net::Loop& loop, Tcp with_tcp = Tcp::yes) : loop_(loop) {
    for (int tries = 0; tries < 50; ++tries) {  // the port that UDP got may be taken for TCP
      open(SOCK_DGRAM, 0, udp_);
      if (with_tcp == Tcp::no || open(SOCK_STREAM, port(), listener_)) break;
    }
    REQUIRE(udp_);
    udp_watch_ = std::make_unique<Ready>(loop, udp_.value(), [this] { on_datagram(); });
    if (!listener_) return;
    REQUIRE(::listen(listener_.value(), 16) == 0);
    listen_watch_ = std::make_unique<Ready>(loop, listener_.value(), [this] { on_connection(); });
  }

  std::uint16_t port() const { return port_of(udp_.value()); }
  std::string text() const { return "127.0.0.1:" + std::to_string(port()); }
  int udp_fd() const { return udp_.value(); }
  std::size_t udp_queries() const {
    return static_cast<std::size_t>(
        std::count_if(queries.begin(), queries.end(), [](const Query& q) { return !q.tcp; }));
  }

  std::vector<Query> queries;
  std::function<void(const Query&)> on_query;  // none: silence

  static std::uint16_t port_of(int fd) {
    sockaddr_in name{};
    socklen_t size = sizeof name;
    REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0);
    return ntohs(name.sin_port);
  }
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    name.sin_port = htons(port);
    return name;
  }

 private:
  struct Ready final : net::FdWatch::User {
    Ready(net::Loop& loop, int fd, std::function<void()> what) : call(std::move(what)), watch(loop, fd, *this) {
      watch.watch(net::FdWatch::For::reading);
    }
    void on_ready(net::FdWatch::For) override { call(); }
    std::function<void()> call;
    net::FdWatch watch;
  };
  struct Connection {
    net::Fd fd;
    Bytes got;
    std::unique_ptr<Ready> watch;
  };

  bool open(int type, std::uint16_t port, net::Fd& fd) {
    fd.reset(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    const sockaddr_in name = loopback(port);
    if (::bind(fd.value(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0) return true;
    fd.reset();
    return false;
  }

  void on_datagram() {
    Bytes bytes(4096);
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t n =
        ::recvfrom(udp_.value(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 12) return;
    bytes.resize(static_cast<std::size_t>(n));
    take(std::move(bytes), ntohs(from.sin_port), false, [fd = udp_.value(), from](const Bytes& answer) {
      REQUIRE(::sendto(fd, answer.data(), answer.size(), 0, reinterpret_cast<const sockaddr*>(&from), sizeof from) ==
              static_cast<ssize_t>(answer.size()));
    });
  }

  void on_connection() {
    auto c = std::make_unique<Connection>();
    c->fd.reset(::accept4(listener_.value(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!c->fd) return;
    c->watch = std::make_unique<Ready>(loop_, c->fd.value(), [this, raw = c.get()] { on_bytes(*raw); });
    connections_.push_back(std::move(c));
  }
  void on_bytes(Connection& c) {
    std::uint8_t block[4096];
    const ssize_t n = ::read(c.fd.value(), block, sizeof block);
    if (n <= 0) {
      c.watch->watch.watch(net::FdWatch::For::nothing);
      return;
    }
    c.got.insert(c.got.end(), block, block + n);
    if (c.got.size() < 2 || c.got.size() < 2U + (c.got[0] << 8 | c.got[1])) return;
    take(Bytes(c.got.begin() + 2, c.got.end()), 0, true, [fd = c.fd.value()](const Bytes& answer) {
      Bytes framed{static_cast<std::uint8_t>(answer.size() >> 8), static_cast<std::uint8_t>(answer.size())};
      framed.insert(framed.end(), answer.begin(), answer.end());
      REQUIRE(::write(fd, framed.data(), framed.size()) ==
              static_cast<ssize_t>(framed.size()));  // loopback takes 64 KiB
    });
    c.got.clear();
  }

  void take(Bytes bytes, std::uint16_t from, bool tcp, std::function<void(const Bytes&)> reply) {
    Query q;
    q.id = static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
    q.edns = bytes[11] == 1;
    std::size_t at = 12;
    for (; bytes[at] != 0; at += 1U + bytes[at])
      q.name += (q.name.empty() ? "" : ".") + std::string(bytes.begin() + static_cast<long>(at) + 1,
                                                          bytes.begin() + static_cast<long>(at) + 1 + bytes[at]);
    q.type = static_cast<std::uint16_t>(bytes[at + 1] << 8 | bytes[at + 2]);
    q.port = from;
    q.tcp = tcp;
    q.bytes = std::move(bytes);
    q.reply = std::move(reply);
    queries.push_back(q);
    if (on_query) on_query(q);
  }

  net::Loop& loop_;
  net::Fd udp_, listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::unique_ptr<Ready> udp_watch_, listen_watch_;
};

}  // namespace sluice::dns_test
