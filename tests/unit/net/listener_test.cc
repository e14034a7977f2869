// Listening sockets: probing, sharing, stopping, running out of descriptors.
#include "net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "loopback.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::net::loopback;
using net::Listener;

namespace {

const net::Address any_port = net::Address::ipv4(INADDR_LOOPBACK, 0);

// A process that holds everything that is open here when it is made, and what `first` opens there, until it goes.
class Elsewhere {
 public:
  explicit Elsewhere(const std::function<void()>& first = [] {}) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const net::Fd ready(ends[0]);
    net::Fd tell(ends[1]);
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      first();
      tell.reset();
      for (;;) ::pause();
    }
    tell.reset();
    char byte;
    CHECK(::read(ready.value(), &byte, 1) == 0);   // the end: it has done so
  }
  Elsewhere(const Elsewhere&) = delete;
  Elsewhere& operator=(const Elsewhere&) = delete;
  ~Elsewhere() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

 private:
  pid_t child_ = -1;
};

// Does a client stand in the queue?
bool has_waiting(const net::Fd& listener) {
  pollfd one{listener.value(), POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

bool mentions(const base::Error& error, std::string_view text) { return error.message.find(text) != std::string::npos; }

}  // namespace

TEST_CASE("workers share an address, a second instance is told whose it is") {
  auto first = net::open_socket(any_port);
  REQUIRE(first.has_value());
  const net::Address address = *net::bound_address(*first);
  CHECK(address.port() != 0);
  auto second = net::open_socket(address);
  CHECK(second.has_value());
  for (const net::Address& same : {address, net::Address::ipv4(INADDR_ANY, address.port())}) {
    CAPTURE(same.text());
    CHECK(net::probe_address(same).has_value());  // ours: a listener of a wider or narrower address may stand beside it
    const Elsewhere elsewhere;  // has all that is open here
    first->reset();
    second->reset();
    const auto probe = net::probe_address(same);
    REQUIRE(!probe.has_value());
    CHECK(mentions(probe.error(), same.text()));
    CHECK(mentions(probe.error(), "it is taken"));
    first = net::open_socket(address);  // and part of its clients would be ours: hence the question
    CHECK(first.has_value());
    CHECK(!net::probe_address(same).has_value());
    CHECK(net::probe_address(net::Address::ipv4(INADDR_LOOPBACK + 1, address.port())).has_value());
  }
  first->reset();
  CHECK(net::probe_address(address).has_value());
  CHECK(net::probe_address(address).has_value());
}

TEST_CASE("IPv6: its own addresses, and IPv4's where [::] is not for IPv6 alone") {
  auto six = net::open_socket(*net::Address::parse_ip("::1", 0));
  if (!six.has_value()) return;  // machines without IPv6 exist
  const net::Address address = *net::bound_address(*six);
  net::Address any = *net::Address::parse_ip("::", address.port());
  CHECK(net::probe_address(any).has_value());
  const Elsewhere elsewhere;
  six->reset();
  CHECK(!net::probe_address(address).has_value());
  CHECK(!net::probe_address(any).has_value());
  CHECK(net::probe_address(net::Address::ipv4(INADDR_LOOPBACK, address.port())).has_value());
}

TEST_CASE("a socket that is not shared is nobody else's") {
  auto alone = net::open_socket(any_port, {.share = net::ListenOptions::Share::no});
  REQUIRE(alone.has_value());
  const auto second = net::open_socket(*net::bound_address(*alone));
  REQUIRE(!second.has_value());
  CHECK(mentions(second.error(), "it is taken"));
}

TEST_CASE("the file of a Unix socket has its mode whatever the umask, and never more on the way") {
  const Folder folder;
  const std::string path = folder.path + "/s";
  const auto mode_of = [&]() -> uint32_t {
    struct stat info{};
    return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  };
  std::atomic<bool> over{false};
  std::atomic<uint32_t> seen{0};  // every bit that any look has found
  std::thread looks([&] {
    while (!over) seen |= mode_of();
  });
  const mode_t before = ::umask(0);
  for (const mode_t mask : {0U, 022U, 077U, 0777U}) {
    ::umask(mask);
    for (const uint32_t mode : {0600U, 0660U, 0620U, 0600U}) {
      for (int i = 0; i < 20; ++i) {
        const auto socket = net::open_socket(net::Address::unix_socket(path), {.unix_mode = mode});
        REQUIRE(socket.has_value());
        CHECK(mode_of() == mode);
      }
    }
    REQUIRE(net::open_socket(net::Address::unix_socket("@sluice-test-" + std::to_string(::getpid()))).has_value());
  }
  ::umask(before);
  over = true;
  looks.join();
  CHECK((seen & ~0660U) == 0);
  CHECK(net::set_unix_mode(net::Address::unix_socket(path), 0606).has_value());
  CHECK(mode_of() == 0606);
  CHECK(!net::set_unix_mode(net::Address::unix_socket(folder.path + "/none"), 0600).has_value());
}

TEST_CASE("the mode goes to the socket, never to what a link leads to") {
  const Folder folder;
  const std::string plain = folder.path + "/plain";
  std::ofstream(plain) << "mine";
  std::filesystem::permissions(plain, std::filesystem::perms::owner_read);
  std::filesystem::create_symlink(plain, folder.path + "/link");
  CHECK(!net::set_unix_mode(net::Address::unix_socket(folder.path + "/link"), 0666).has_value());
  CHECK(std::filesystem::status(plain).permissions() == std::filesystem::perms::owner_read);
}

TEST_CASE("sockets are set up: shared, without Nagle, IPv6 only for IPv6") {
  auto four = net::open_socket(any_port);
  REQUIRE(four.has_value());
  CHECK(option_of(four->value(), SOL_SOCKET, SO_REUSEPORT) == 1);
  CHECK(option_of(four->value(), IPPROTO_TCP, TCP_NODELAY) != 0);
  CHECK(option_of(four->value(), SOL_SOCKET, SO_ACCEPTCONN) == 1);
  auto six = net::open_socket(*net::Address::parse_ip("::1", 0));
  if (six.has_value()) CHECK(option_of(six->value(), IPPROTO_IPV6, IPV6_V6ONLY) == 1);  // machines without IPv6 exist
}

TEST_CASE("accepted connections have no Nagle either") {
  World world;
  Server server(world);
  RawClient raw(server.address);
  world.until([&] { return server.peers.size() == 1; });
  const net::Peer& peer = server.peers[0]->transport->peer();
  const int fd = descriptor_of(peer.local, peer.remote);
  REQUIRE(fd >= 0);
  CHECK(option_of(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
}

TEST_CASE("an address that no interface has, and a port that needs rights, say so") {
  const auto foreign = net::open_socket(net::Address::ipv4(0xC0000201, 0));
  REQUIRE(!foreign.has_value());
  CHECK(mentions(foreign.error(), "192.0.2.1:0"));
  CHECK(mentions(foreign.error(), "no interface"));
}

TEST_CASE("Unix sockets: a stale file is replaced, a served one and a plain file are not") {
  Folder folder;
  const net::Address address = net::Address::unix_socket(folder.path + "/s");
  {
    auto socket = net::open_socket(address);
    REQUIRE(socket.has_value());
    const net::Fd other_worker = socket->duplicate();
    CHECK(other_worker.value() >= 0);
    const auto ours = net::probe_address(address);
    REQUIRE(!ours.has_value());
    CHECK(mentions(ours.error(), "this process serves it"));
    // One that is about to close, as after a reload that took its listener away.
    for (int fd = 0; (fd = ::accept(socket->value(), nullptr, nullptr)) >= 0;) ::close(fd);
    std::thread closes([&] {
      while (!has_waiting(*socket)) {
      }  // it has been looked at
      ::shutdown(socket->value(), SHUT_RD);
    });
    CHECK(net::probe_address(address).has_value());
    closes.join();
  }
  {
    const Elsewhere other([&] { net::open_socket(address).value().release(); });
    const auto taken = net::probe_address(address);
    REQUIRE(!taken.has_value());
    CHECK(mentions(taken.error(), "another process serves it"));
    CHECK(!net::open_socket(address).has_value());
  }
  CHECK(std::filesystem::exists(folder.path + "/s"));
  CHECK(net::probe_address(address).has_value());
  CHECK(net::open_socket(address).has_value());
  const std::string plain = folder.path + "/plain";
  std::ofstream(plain) << "mine";
  const auto refused = net::open_socket(net::Address::unix_socket(plain));
  REQUIRE(!refused.has_value());
  CHECK(mentions(refused.error(), "no socket is in the way"));
  CHECK(std::filesystem::exists(plain));
  const auto nowhere = net::open_socket(net::Address::unix_socket(folder.path + "/no/s"));
  REQUIRE(!nowhere.has_value());
  CHECK(mentions(nowhere.error(), "folder does not exist"));
}

TEST_CASE("stopping accepts what stands in the queue; who comes then is refused, never opened and reset") {
  World world;
  Server server(world);
  std::vector<RawClient> clients;
  for (int i = 0; i < 100; ++i) clients.emplace_back(server.address);  // nobody has turned the loop yet
  server.listener->stop_accepting();
  CHECK(server.peers.empty());
  const net::DialOptions patient{.connect_timeout = base::seconds(30)};  // its SYN is sent again after a second
  Probe late(
      world.network.dial(world.loop, server.address, patient));  // between the last look at the queue and the close
  world.until([&] { return server.stopped; });
  CHECK(server.peers.size() == 100);
  clients[99].send("served");
  world.until([&] {
    for (const auto& p : server.peers) {
      if (p->got == "served") return true;
    }
    return false;
  });
  CHECK(!server.listener->accepting());
  world.until([&] { return !late.ends.empty(); });
  CHECK(late.ends == std::vector{net::EndReason::refused});
  CHECK(server.peers.size() == 100);
}

TEST_CASE("a Unix socket stops likewise, and refuses at once") {
  const Folder folder;
  World world;
  Server server(world, net::Address::unix_socket(folder.path + "/s"));
  std::vector<std::unique_ptr<Probe>> clients;
  for (int i = 0; i < 20; ++i)
    clients.push_back(std::make_unique<Probe>(world.network.dial(world.loop, server.address, {})));
  server.listener->stop_accepting();
  Probe late(world.network.dial(world.loop, server.address, {}));
  world.until([&] { return server.stopped && !late.ends.empty(); });
  CHECK(late.ends == std::vector{net::EndReason::refused});
  CHECK(server.peers.size() == 20);
}

TEST_CASE("a crowd is accepted, connection by connection") {
  World world;
  Server server(world);
  std::vector<RawClient> clients;
  for (int i = 0; i < 500; ++i) clients.emplace_back(server.address);
  world.until([&] { return server.peers.size() == 500; });
  clients.clear();
  world.until([&] {
    for (const auto& p : server.peers) {
      if (p->eofs == 0) return false;
    }
    return true;
  });
}

TEST_CASE("a wildcard listener still knows each connection's own address") {
  World world;
  Server server(world, net::Address::ipv4(INADDR_ANY, 0));
  RawClient raw(net::Address::ipv4(0x7F000003, server.address.port()));
  world.until([&] { return server.peers.size() == 1; });
  CHECK(server.peers[0]->transport->peer().local.ip_text() == "127.0.0.3");
}

TEST_CASE("without descriptors accepting pauses, tells, does not spin, and goes on") {
  World world;
  Server server(world);
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
  RawClient raw(server.address);
  rlimit none = old;
  none.rlim_cur = 3;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  int turns = 0;
  while (server.errors.size() < 3 && turns < 1000) ++turns, world.loop.turn(base::Micros{200'000});
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
  CHECK(server.errors == std::vector<int>(3, EMFILE));
  CHECK(turns < 30);
  CHECK(server.peers.empty());
  world.until([&] { return server.peers.size() == 1; });
  raw.send("waited");
  world.until([&] { return server.peers[0]->got == "waited"; });
}

TEST_CASE("dialling without descriptors is told as that") {
  World world;
  Server server(world);
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
  rlimit none = old;
  none.rlim_cur = 3;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  Probe client(world.network.dial(world.loop, server.address, {}));
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &old) == 0);
  world.until([&] { return !client.ends.empty(); });
  CHECK(client.ends == std::vector{net::EndReason::no_descriptor});
}
