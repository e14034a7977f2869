// TcpSocket and Listener over real loopback connections: everything that a kernel can do to a transport.
#include "net/tcp_socket.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/listener.h"
#include "net/tcp_network.h"
#include "net/uv_driver.h"

#include <doctest/doctest.h>

using namespace sluice;
using net::Close;
using net::EndReason;

namespace {

// Turns the loop until `done`; fails the test after ten seconds of turns rather than hang.
struct World {
  net::Loop loop{base::steady_clock(), net::make_uv_driver()};
  net::TcpNetwork network;

  template <class Done>
  void until(Done done) {
    const base::Micros start = base::steady_clock().now();
    while (!done()) {
      REQUIRE(base::steady_clock().now() - start < base::Micros{base::seconds(10)});
      loop.turn(base::Micros{100'000});
    }
  }
  void spin(int turns = 3) {
    for (int i = 0; i < turns; ++i) loop.turn(base::Micros{1000});
  }
};

struct Probe : net::Transport::User {
  net::TransportPtr transport;
  std::string got;
  std::string to_send;
  int opens = 0, eofs = 0, drains = 0, fills = 0;
  std::vector<EndReason> ends;
  std::function<void(net::ByteQueue&)> on_data;

  Probe() = default;
  explicit Probe(net::TransportPtr t) : transport(std::move(t)) { transport->start(*this); }
  void send(std::string_view bytes) {
    to_send += bytes;
    transport->touch();
  }
  void on_open() override { ++opens; }
  void on_bytes(net::ByteQueue& in) override {
    if (on_data) return on_data(in);
    const size_t old = got.size();
    got.resize(old + in.size());
    in.peek(got.data() + old, in.size());
    in.clear();
  }
  void fill(net::ByteQueue& out, size_t room) override {
    ++fills;
    const size_t n = std::min(room, to_send.size());
    out.append_copy(std::string_view(to_send).substr(0, n));
    to_send.erase(0, n);
  }
  void on_eof(bool) override { ++eofs; }
  void on_drained() override { ++drains; }
  void on_end(EndReason why) override { ends.push_back(why); }
};

struct Server : net::Listener::Host {
  explicit Server(World& world, const net::Address& at = net::Address::ipv4(INADDR_LOOPBACK, 0)) {
    auto socket = net::open_socket(at);
    REQUIRE(socket.has_value());
    address = *net::bound_address(*socket);
    listener = std::make_unique<net::Listener>(world.loop, std::move(*socket), *this);
  }
  void on_accept(net::TransportPtr connection) override { peers.push_back(std::make_unique<Probe>(std::move(connection))); }
  void on_accept_error(int error) override { errors.push_back(error); }
  void on_stopped() override { stopped = true; }

  net::Address address;
  std::vector<std::unique_ptr<Probe>> peers;
  std::vector<int> errors;
  std::unique_ptr<net::Listener> listener;
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

}  // namespace

TEST_CASE("bytes go both ways, and addresses are those of the sockets") {
  World world;
  Pair pair(world);
  pair.client.send("hello");
  world.until([&] { return pair.peer().got == "hello"; });
  pair.peer().send("world");
  world.until([&] { return pair.client.got == "world"; });
  CHECK(pair.client.transport->peer().remote == pair.server.address);
  CHECK(pair.client.transport->peer().local == pair.peer().transport->peer().remote);
  CHECK(pair.peer().transport->peer().local == pair.server.address);
  CHECK(pair.client.drains == 1);
  CHECK(net::sockets_busy() == 0);
}
