// Dialling: what a new connection is, and how it fails to become one.
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "loopback.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::net::loopback;
using net::EndReason;

TEST_CASE("a dialled connection has no Nagle and looks after a dead peer") {
  World world;
  Pair pair(world);
  const net::Peer& peer = pair.client.transport->peer();
  const int fd = descriptor_of(peer.local, peer.remote);
  REQUIRE(fd >= 0);
  CHECK(option_of(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option_of(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
}

TEST_CASE("how long a dialled connection bears silence is the dial's to say") {
  World world;
  Server server(world);
  struct Row {
    net::DialOptions options;
    int keepalive, idle, interval, user_timeout;
  };
  for (const Row& row :
       {Row{{.keepalive = base::millis(6'500), .user_timeout = base::seconds(9)}, 1, 7, 2, 9'000},
        Row{{.keepalive = base::millis(1)}, 1, 1, 1, 0}, Row{{.keepalive = base::millis(0)}, 0, 0, 0, 0}}) {
    Probe client(world.network.dial(world.loop, server.address, row.options));
    world.until([&] { return client.opens == 1; });
    const net::Peer& peer = client.transport->peer();
    const int fd = descriptor_of(peer.local, peer.remote);
    REQUIRE(fd >= 0);
    CHECK(option_of(fd, SOL_SOCKET, SO_KEEPALIVE) == row.keepalive);
    if (row.keepalive == 1) CHECK(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE) == row.idle);
    if (row.keepalive == 1) CHECK(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL) == row.interval);
    CHECK(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == row.user_timeout);
  }
}

TEST_CASE("an idle connection is packed, and goes on in another place; let go of, it is closed") {
  for (const bool unpacked : {true, false}) {
    CAPTURE(unpacked);
    World world;
    Server server(world);
    Probe client(world.network.dial(world.loop, server.address, {}));
    world.until([&] { return client.opens == 1 && server.peers.size() == 1; });
    const net::Address local = client.transport->peer().local;
    std::unique_ptr<net::Packed> packed = client.transport->pack();
    REQUIRE(packed != nullptr);
    CHECK(client.transport->pack() == nullptr);  // it is gone
    client.transport.reset();
    world.spin();
    if (!unpacked) {
      packed.reset();
      world.until([&] { return server.peers[0]->eofs == 1; });
      continue;
    }
    Probe next(packed->unpack(world.loop));
    CHECK(next.transport->open());
    CHECK(next.transport->peer().local == local);
    next.send("still here");
    world.until([&] { return server.peers[0]->got == "still here"; });
    server.peers[0]->send("so am I");
    world.until([&] { return next.got == "so am I"; });
    CHECK(client.ends.empty());
  }
}

TEST_CASE("one with bytes on their way is not packed") {
  World world;
  Server server(world);
  Probe client(world.network.dial(world.loop, server.address, {}));
  world.until([&] { return client.opens == 1 && server.peers.size() == 1; });
  server.peers[0]->send("first");
  pollfd p{descriptor_of(client.transport->peer().local, client.transport->peer().remote), POLLIN, 0};
  world.until([&] { return !client.got.empty() || ::poll(&p, 1, 0) == 1; });
  if (client.got.empty()) CHECK(client.transport->pack() == nullptr);
  world.until([&] { return client.got == "first"; });
  CHECK(client.transport->pack() != nullptr);
}

TEST_CASE("what is touched before the connection stands goes out when it does") {
  World world;
  Server server(world);
  Probe client(world.network.dial(world.loop, server.address, {}));
  client.send("early");
  CHECK(!client.transport->open());
  world.until([&] { return !server.peers.empty() && server.peers[0]->got == "early"; });
  CHECK(client.opens == 1);
}

TEST_CASE("connecting fails in words") {
  World world;
  std::unique_ptr<Server> server = std::make_unique<Server>(world);
  const net::Address address = server->address;
  SUBCASE("refused") {
    server.reset();
    Probe client(world.network.dial(world.loop, address, {}));
    world.until([&] { return !client.ends.empty(); });
    CHECK(client.ends == std::vector{EndReason::refused});
    CHECK(client.transport->end_detail() == "ECONNREFUSED");
  }
  SUBCASE("timeout") {
    // A full accept queue: the kernel drops further SYNs.
    net::Fd full(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage raw;
    const socklen_t length = net::Address::ipv4(INADDR_LOOPBACK, 0).to_sockaddr(raw);
    REQUIRE(::bind(full.value(), reinterpret_cast<sockaddr*>(&raw), length) == 0);
    REQUIRE(::listen(full.value(), 0) == 0);
    const net::Address hole = *net::bound_address(full);
    std::vector<std::unique_ptr<Probe>> clients;
    const auto timed_out = [&] {
      for (const auto& c : clients) {
        if (!c->ends.empty()) return true;
      }
      return false;
    };
    for (int i = 0; i < 4; ++i)
      clients.push_back(
          std::make_unique<Probe>(world.network.dial(world.loop, hole, {.connect_timeout = base::millis(50)})));
    world.until(timed_out);
    for (const auto& c : clients) {
      if (!c->ends.empty()) CHECK(c->ends == std::vector{EndReason::connect_timeout});
    }
  }
  SUBCASE("no such Unix socket") {
    Probe client(world.network.dial(world.loop, net::Address::unix_socket("/nonexistent/socket"), {}));
    CHECK(client.ends.empty());
    world.until([&] { return !client.ends.empty(); });
    CHECK(client.ends == std::vector{EndReason::unreachable});
    CHECK(client.transport->end_detail() == "ENOENT");
  }
  SUBCASE("a source address that is not ours") {
    Probe client(world.network.dial(world.loop, address, {.source = net::Address::ipv4(0xC0000201, 0)}));
    world.until([&] { return !client.ends.empty(); });
    CHECK(client.ends == std::vector{EndReason::no_resources});
  }
  SUBCASE("closed while connecting") {
    Probe client(world.network.dial(world.loop, address, {}));
    client.transport.reset();
    world.spin();
    CHECK(client.opens == 0);
    CHECK(client.ends.empty());
  }
}

TEST_CASE("a source address is used") {
  World world;
  Server server(world);
  const net::Address source = net::Address::ipv4(0x7F000002, 0);
  Probe client(world.network.dial(world.loop, server.address, {.source = source}));
  world.until([&] { return client.opens == 1 && server.peers.size() == 1; });
  CHECK(server.peers[0]->transport->peer().remote.ip_text() == "127.0.0.2");
}

TEST_CASE("Unix sockets, by path and abstract") {
  World world;
  Folder folder;
  for (const std::string& path : {folder.path + "/s", "@sluice-net-test-" + std::to_string(::getpid())}) {
    Server server(world, net::Address::unix_socket(path));
    Probe client(world.network.dial(world.loop, net::Address::unix_socket(path), {}));
    client.send("ping");
    world.until([&] { return !server.peers.empty() && server.peers[0]->got == "ping"; });
    CHECK(client.opens == 1);
    server.peers[0]->send(pattern(1'000'000));
    server.peers[0]->transport->shut_write();
    world.until([&] { return client.eofs == 1; });
    CHECK(same(client.got, pattern(1'000'000)));
    CHECK(server.peers[0]->transport->peer().remote.family() == net::Address::Family::unix_path);
    client.transport.reset();
    world.until([&] { return server.peers[0]->ends.size() == 1; });
  }
}
