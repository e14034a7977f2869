// For tests on real loopback sockets: a loop on libuv, a server, two connected ends. Included by the files of this
// folder only.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "net/listener.h"
#include "net/tcp_network.h"
#include "net/tcp_socket.h"
#include "net/uv_driver.h"

#include <doctest/doctest.h>

namespace sluice::net::loopback {

struct World {
  World() { ::signal(SIGPIPE, SIG_IGN); }  // as main() does
  Loop loop{base::steady_clock(), make_uv_driver()};
  TcpNetwork network;

  // However long that takes: on a loaded machine that is nobody's fault, and what hangs ctest ends.
  template <class Done>
  void until(Done done) {
    while (!done()) loop.turn(base::Micros{100'000});
  }
  void spin(int turns = 3) {
    for (int i = 0; i < turns; ++i) loop.turn(base::Micros{1000});
  }
};

struct Probe final : Transport::User {
  TransportPtr transport;
  std::string got;
  std::string to_send;  // from `sent` on; empty when all of it has been given
  size_t sent = 0;
  int opens = 0, eofs = 0, fins_behind = 0, drains = 0, fills = 0;
  std::vector<EndReason> ends;
  std::function<void(ByteQueue&)> on_data;

  Probe() = default;
  explicit Probe(TransportPtr t) : transport(std::move(t)) { transport->start(*this); }
  void send(std::string_view bytes) {
    to_send += bytes;
    transport->touch();
  }
  void on_open() override { ++opens; }
  void on_bytes(ByteQueue& in) override {
    if (on_data) return on_data(in);
    const size_t old = got.size();
    got.resize(old + in.size());
    in.peek(got.data() + old, in.size());
    in.clear();
  }
  void fill(ByteQueue& out, size_t room) override {
    ++fills;
    const size_t n = std::min(room, to_send.size() - sent);
    out.append_copy(std::string_view(to_send).substr(sent, n));
    sent += n;
    if (sent != to_send.size()) return;  // 32 MiB are not moved for each 64 KiB
    to_send.clear();
    sent = 0;
  }
  void on_eof(bool) override { ++eofs; }
  void on_fin_behind() override { ++fins_behind; }
  void on_drained() override { ++drains; }
  void on_end(EndReason why) override { ends.push_back(why); }
};

struct Server final : Listener::Host {
  explicit Server(World& world, const Address& at = Address::ipv4(INADDR_LOOPBACK, 0)) {
    auto socket = open_socket(at);
    REQUIRE(socket.has_value());
    address = *bound_address(*socket);
    listener = std::make_unique<Listener>(world.loop, std::move(*socket), *this);
  }
  void on_accept(TransportPtr connection) override { peers.push_back(std::make_unique<Probe>(std::move(connection))); }
  void on_accept_error(int error) override { errors.push_back(error); }
  void on_stopped() override { stopped = true; }

  Address address;
  std::vector<std::unique_ptr<Probe>> peers;
  std::vector<int> errors;
  std::unique_ptr<Listener> listener;
  bool stopped = false;
};

// Two connected ends.
struct Pair {
  explicit Pair(World& world) : server(world), client(world.network.dial(world.loop, server.address, {})) {
    world.until([&] { return client.opens == 1 && server.peers.size() == 1; });
  }
  Probe& peer() { return *server.peers[0]; }
  Server server;
  Probe client;
};

// A plain blocking-free socket of the test's own, for what a Transport never does.
struct RawClient {
  explicit RawClient(const Address& to) : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage raw;
    const socklen_t length = to.to_sockaddr(raw);
    REQUIRE(::connect(fd.value(), reinterpret_cast<sockaddr*>(&raw), length) == 0);
  }
  void send(std::string_view bytes) {
    REQUIRE(::send(fd.value(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd.value(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    fd.reset();
  }
  // What is there now, without waiting; nullopt on an error (a reset).
  std::optional<std::string> receive() {
    std::string all;
    char buffer[65536];
    for (;;) {
      const ssize_t n = ::recv(fd.value(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (n == 0) eof = true;
      if (n < 0 && errno != EAGAIN) return std::nullopt;
      if (n <= 0) return all;
      all.append(buffer, static_cast<size_t>(n));
    }
  }
  Fd fd;
  bool eof = false;
};

inline std::string pattern(size_t bytes) {
  constexpr size_t period = size_t{251} * 26;
  std::string s(bytes, '\0');
  for (size_t i = 0; i < std::min(bytes, period); ++i) s[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  for (size_t i = period; i < bytes; i += period)
    s.replace(i, std::min(period, bytes - i), s, 0, std::min(period, bytes - i));
  return s;
}

// For CHECK without printing both.
inline bool same(const std::string& a, const std::string& b) { return a == b; }

// More than the socket buffers of both ends can hold.
constexpr size_t flood = 32 * 1024 * 1024;

// The descriptor of this process whose own and peer's address these are; -1 if there is none.
inline int descriptor_of(const Address& local, const Address& remote) {
  for (int fd = 3; fd < 256; ++fd) {
    sockaddr_storage own, other;
    socklen_t a = sizeof own;
    socklen_t b = sizeof other;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &a) != 0 ||
        ::getpeername(fd, reinterpret_cast<sockaddr*>(&other), &b) != 0)
      continue;
    const bool match = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&own), a) == local &&
                       Address::from_sockaddr(reinterpret_cast<sockaddr*>(&other), b) == remote;
    if (match) return fd;
  }
  return -1;
}

inline int option_of(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

// A folder for Unix sockets.
struct Folder {
  Folder() {
    char name[] = "/tmp/sluice-net-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

}  // namespace sluice::net::loopback
