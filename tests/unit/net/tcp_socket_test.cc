// TcpSocket over real loopback connections: everything that a kernel can do to a transport.
#include "net/tcp_socket.h"

#include <linux/filter.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "loopback.h"
#include "net/mailbox.h"
#include "net/uv_driver.h"
#include "support/count_allocations.h"
#include "support/random.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::net::loopback;
using net::Close;
using net::EndReason;
using net::Reading;

TEST_CASE("bytes go both ways, and addresses are those of the sockets") {
  World world;
  {
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
    CHECK(net::Chunk::live() == 0);
  }
  world.spin();
  CHECK(net::sockets_live() == 0);
}

TEST_CASE("megabytes both ways at once arrive whole and in order") {
  World world;
  Pair pair(world);
  const std::string bytes = pattern(5'000'000);
  pair.client.send(bytes);
  pair.peer().send(bytes);
  world.until([&] { return pair.client.got.size() == bytes.size() && pair.peer().got.size() == bytes.size(); });
  CHECK(same(pair.client.got, bytes));
  CHECK(same(pair.peer().got, bytes));
  CHECK(pair.client.transport->unsent() == 0);
  CHECK(net::sockets_busy() == 0);
}

TEST_CASE("unread bytes stay, and later ones join them contiguously") {
  World world;
  Server server(world);
  RawClient raw(server.address);
  world.until([&] { return server.peers.size() == 1; });
  Probe& peer = *server.peers[0];
  size_t seen = 0;
  size_t slices = 0;
  peer.on_data = [&](net::ByteQueue& in) { seen = in.size(), slices = in.slices(); };
  for (size_t n = 1; n <= 50; ++n) {
    raw.send("x");
    world.until([&] { return seen == n; });
    CHECK(slices == 1);
  }
  std::string taken;
  peer.on_data = [&](net::ByteQueue& in) {
    taken = in.flatten(in.size());
    in.clear();
  };
  raw.send("y");
  world.until([&] { return !taken.empty(); });
  CHECK(taken == std::string(50, 'x') + "y");
  CHECK(net::sockets_busy() == 0);
}

TEST_CASE("half close: the answer still goes out, then both ends are closed") {
  World world;
  Pair pair(world);
  pair.client.send("request");
  pair.client.transport->shut_write();
  world.until([&] { return pair.peer().eofs == 1; });
  CHECK(pair.peer().got == "request");
  CHECK(pair.peer().ends.empty());
  pair.peer().send(pattern(1'000'000));
  pair.peer().transport->shut_write();
  world.until([&] { return !pair.client.ends.empty() && !pair.peer().ends.empty(); });
  CHECK(same(pair.client.got, pattern(1'000'000)));
  CHECK(pair.client.eofs == 1);
  CHECK(pair.client.ends == std::vector{EndReason::closed});
  CHECK(pair.peer().ends == std::vector{EndReason::closed});
}

TEST_CASE("a reset by the peer") {
  World world;
  Server server(world);
  RawClient raw(server.address);
  world.until([&] { return server.peers.size() == 1; });
  Probe& peer = *server.peers[0];
  SUBCASE("while reading") {
    raw.reset();
    world.until([&] { return !peer.ends.empty(); });
  }
  SUBCASE("while reading is paused and bytes wait") {
    peer.transport->allow_reading(Reading::paused);
    raw.send("unread");
    world.spin();
    raw.reset();
    world.until([&] { return !peer.ends.empty(); });
    CHECK(peer.got.empty());
  }
  SUBCASE("after its FIN") {
    ::shutdown(raw.fd.value(), SHUT_WR);
    world.until([&] { return peer.eofs == 1; });
    raw.reset();
    world.until([&] { return !peer.ends.empty(); });
  }
  SUBCASE("while we write") {
    peer.send(pattern(flood));
    world.until([&] { return peer.transport->unsent() > 0; });
    raw.reset();
    world.until([&] { return !peer.ends.empty(); });
  }
  CHECK(peer.ends == std::vector{EndReason::reset});
  CHECK(!peer.transport->end_detail().empty());
  CHECK(!peer.transport->open());
}

TEST_CASE("a reset right behind the last bytes is no FIN: what was cut does not look whole") {
  World world;
  Server server(world);
  RawClient raw(server.address);
  world.until([&] { return server.peers.size() == 1; });
  Probe& peer = *server.peers[0];
  raw.send(pattern(20'000));
  raw.reset();  // both are there when the loop looks
  world.until([&] { return !peer.ends.empty(); });
  CHECK(peer.ends == std::vector{EndReason::reset});
  CHECK(peer.eofs == 0);
}

TEST_CASE("an answer sent before the peer reset our upload is still read") {
  World world;
  Server server(world);
  Probe client(world.network.dial(world.loop, server.address, {}));
  world.until([&] { return server.peers.size() == 1 && client.opens == 1; });
  Probe& peer = *server.peers[0];
  peer.transport->allow_reading(Reading::paused);
  client.send(pattern(flood));
  world.until([&] { return client.transport->unsent() > 0; });
  peer.send("too large");
  world.until([&] { return peer.drains == 1; });
  peer.transport->close(Close::now);  // bytes are unread: the kernel resets
  world.until([&] { return !client.ends.empty(); });
  CHECK(client.ends == std::vector{EndReason::reset});
  CHECK(client.got == "too large");
}

TEST_CASE("pausing stops delivery, allowing brings all of it") {
  World world;
  Pair pair(world);
  pair.peer().transport->allow_reading(Reading::paused);
  const std::string bytes = pattern(300'000);
  pair.client.send(bytes);
  pair.client.transport->shut_write();
  world.spin(5);
  CHECK(pair.peer().got.empty());
  CHECK(pair.peer().eofs == 0);
  pair.peer().transport->allow_reading(Reading::allowed);
  world.until([&] { return pair.peer().eofs == 1; });
  CHECK(same(pair.peer().got, bytes));
}

TEST_CASE("a paused socket hears once of a FIN behind what was not read, and reads it all when it may") {
  for (const size_t size : {0u, 10'000u}) {
    World world;
    Pair pair(world);
    Probe& peer = pair.peer();
    peer.transport->allow_reading(Reading::paused);
    const std::string bytes = pattern(size);
    pair.client.send(bytes);
    pair.client.transport->shut_write();
    world.until([&] { return peer.fins_behind == 1; });
    CHECK(peer.eofs == 0);
    CHECK(peer.got.empty());
    peer.transport->allow_reading(Reading::allowed);
    world.until([&] { return peer.eofs == 1; });
    CHECK(same(peer.got, bytes));
    CHECK(peer.fins_behind == 1);
    CHECK(peer.ends.empty());
  }
}

TEST_CASE("pausing within on_bytes holds what is left in the queue until it is allowed again") {
  World world;
  Pair pair(world);
  Probe& peer = pair.peer();
  std::string taken;
  peer.on_data = [&](net::ByteQueue& in) {
    taken += in.front().view().front();
    in.drop(1);
    peer.transport->allow_reading(Reading::paused);
  };
  pair.client.send("abc");
  world.until([&] { return taken == "a"; });
  for (const std::string_view want : {"ab", "abc"}) {
    world.spin();
    CHECK(taken.size() == want.size() - 1);
    peer.transport->allow_reading(Reading::allowed);
    CHECK(taken.size() == want.size() - 1);  // a downcall calls nobody
    world.until([&] { return taken == want; });
  }
}

TEST_CASE("close after_flush delivers everything although its owner is gone") {
  World world;
  Pair pair(world);
  const std::string bytes = pattern(200'000);
  pair.peer().transport->allow_reading(Reading::paused);
  pair.client.send(bytes);
  world.spin();
  while (!pair.client.to_send.empty()) world.spin(1);
  pair.client.transport->close(Close::after_flush);
  pair.client.transport.reset();
  pair.peer().transport->allow_reading(Reading::allowed);
  world.until([&] { return pair.peer().eofs == 1; });
  CHECK(same(pair.peer().got, bytes));
  world.until([] { return net::sockets_live() == 1; });
}

TEST_CASE("close reset cuts, close now ends with a FIN; both are idempotent") {
  World world;
  Server server(world);
  RawClient raw(server.address);
  world.until([&] { return server.peers.size() == 1; });
  Probe& peer = *server.peers[0];
  SUBCASE("reset") {
    peer.send("cut");
    world.until([&] { return peer.drains == 1; });
    peer.transport->close(Close::reset);
    peer.transport->close(Close::now);
    peer.transport->close(Close::after_flush);
    world.until([&] { return !raw.receive().has_value() && errno == ECONNRESET; });
  }
  SUBCASE("now") {
    peer.send("whole");
    world.until([&] { return peer.drains == 1; });
    peer.transport->close(Close::now);
    std::string got;
    world.until([&] {
      got += raw.receive().value();
      return raw.eof;
    });
    CHECK(got == "whole");
  }
  world.spin();
  CHECK(peer.ends.empty());
  CHECK(!peer.transport->quiet_now());
}

TEST_CASE("a peer that reads nothing ends at the write limit; one that reads slowly does not") {
  World world;
  Server server(world);
  RawClient raw(server.address);
  world.until([&] { return server.peers.size() == 1; });
  Probe& peer = *server.peers[0];
  peer.send(pattern(flood));
  SUBCASE("nothing") {
    peer.transport->limit_write_stall(base::millis(200));
    world.until([&] { return !peer.ends.empty(); });
    CHECK(peer.ends == std::vector{EndReason::write_stalled});
    while (raw.receive().has_value() && !raw.eof) world.spin(1);
    CHECK(!raw.eof);  // a reset, so that nothing cut looks complete
  }
  SUBCASE("slowly") {
    // The kernel takes more from us only when a third of its buffer is free: far apart at this pace.
    peer.transport->limit_write_stall(base::seconds(1));
    const base::Micros start = base::steady_clock().now();
    constexpr int64_t bytes_a_second = 5'000'000;   // whatever the pace of our turns is
    std::string some(100'000, '\0');
    int64_t read = 0;
    base::Micros passed{0};
    for (; passed < base::Micros{2'500'000}; passed = base::steady_clock().now() - start) {
      for (ssize_t n = 1; n > 0 && read < passed.count * bytes_a_second / 1'000'000;) {
        n = ::recv(raw.fd.value(), some.data(), some.size(), MSG_DONTWAIT);
        read += std::max<ssize_t>(n, 0);
      }
      world.loop.turn(base::Micros{20'000});
    }
    CHECK(peer.ends.empty());
    CHECK(!peer.to_send.empty());
  }
}

TEST_CASE("what the peer has read counts as acknowledged, also while the kernel takes nothing more from us") {
  World world;
  Server server(world);
  RawClient raw(server.address);
  world.until([&] { return server.peers.size() == 1; });
  Probe& peer = *server.peers[0];
  CHECK(peer.transport->unacknowledged() == 0);
  peer.send(pattern(flood));
  world.until([&] { return peer.transport->unsent() > 0; });
  size_t before = 0;
  world.until(
      [&] { return std::exchange(before, peer.transport->unacknowledged()) == peer.transport->unacknowledged(); });
  CHECK(before > peer.transport->unsent());
  std::string some(64 * 1024, '\0');
  while (peer.transport->unacknowledged() >= before) {
    ::recv(raw.fd.value(), some.data(), some.size(), MSG_DONTWAIT);
    world.spin(1);
  }
  while (!peer.to_send.empty() || peer.transport->unacknowledged() != 0) {
    REQUIRE(raw.receive().has_value());
    world.spin(1);
  }
  CHECK(peer.transport->unsent() == 0);
}

TEST_CASE("quiet_now sees bytes, a FIN and a reset without the loop") {
  World world;
  Server server(world);
  RawClient raw(server.address);
  world.until([&] { return server.peers.size() == 1; });
  net::Transport& t = *server.peers[0]->transport;
  CHECK(t.quiet_now());
  SUBCASE("bytes") { raw.send("x"); }
  SUBCASE("FIN") { ::shutdown(raw.fd.value(), SHUT_WR); }
  SUBCASE("reset") { raw.reset(); }
  while (t.quiet_now()) std::this_thread::yield();   // the kernel may take its time
}

TEST_CASE("acks: nothing is owed by a host that does not read, something by one whose packets are dropped") {
  World world;
  Server server(world);
  RawClient raw(server.address);
  world.until([&] { return server.peers.size() == 1; });
  Probe& near = *server.peers[0];
  CHECK(near.transport->acks().owed == 0);
  near.send(std::string(1000, 'x'));
  world.until([&] { return near.to_send.empty() && near.transport->acks().owed == 0; });   // nobody has read it

  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);            // its socket takes no packet any more
  const sock_fprog drop{1, &nothing};
  REQUIRE(::setsockopt(raw.fd.value(), SOL_SOCKET, SO_ATTACH_FILTER, &drop, sizeof drop) == 0);
  near.send("y");
  world.until([&] { return near.transport->acks().repeats >= 2; });
  const net::Acks acks = near.transport->acks();
  CHECK(acks.owed == 1);
  CHECK(acks.silent >= base::Micros{base::millis(200)});

  REQUIRE(::setsockopt(raw.fd.value(), SOL_SOCKET, SO_DETACH_FILTER, &drop, sizeof drop) == 0);
  world.until([&] { return near.transport->acks().owed == 0; });
  CHECK(near.transport->acks().repeats == 0);
}

TEST_CASE("a second user gets the bytes that the first one left, and the FIN again") {
  World world;
  Pair pair(world);
  Probe& first = pair.peer();
  Probe second;
  first.on_data = [&](net::ByteQueue& in) {
    if (in.size() < 3) return;
    in.drop(1);
    first.transport->start(second);
  };
  pair.client.send("abc");
  pair.client.transport->shut_write();
  world.until([&] { return second.eofs == 1; });
  CHECK(second.got == "bc");
  CHECK(first.eofs == 0);
}

TEST_CASE("a loop may go while a socket still waits for its last bytes to leave") {
  {
    World world;
    Pair pair(world);
    pair.peer().transport->allow_reading(Reading::paused);
    pair.client.send(pattern(flood));
    world.until([&] { return pair.client.transport->unsent() > 0; });
    pair.client.transport->close(Close::after_flush);
    pair.client.transport.reset();
    world.spin();
    CHECK(net::sockets_live() == 2);
  }
  CHECK(net::sockets_live() == 0);
  CHECK(net::Chunk::live() == 0);
}

TEST_CASE("random orders of everything end with nothing left behind") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    support::Random random(seed);
    {
      World world;
      Server server(world);
      std::vector<std::unique_ptr<Probe>> all;
      for (int step = 0; step < 200; ++step) {
        for (auto& p : server.peers) all.push_back(std::move(p));
        server.peers.clear();
        if (all.empty() || random.one_in(8))
          all.push_back(std::make_unique<Probe>(world.network.dial(world.loop, server.address, {})));
        const size_t i = random.below(all.size());
        Probe& p = *all[i];
        switch (random.below(8)) {
          case 0:
          case 1: p.send(pattern(random.below(random.one_in(5) ? 500'000 : 2000))); break;
          case 2: p.transport->allow_reading(random.one_in(2) ? Reading::paused : Reading::allowed); break;
          case 3: p.transport->shut_write(); break;
          case 4: p.transport->close(static_cast<Close>(random.below(3))); break;
          case 5: all.erase(all.begin() + static_cast<std::ptrdiff_t>(i)); break;
          default: world.loop.turn(base::Micros{0}); break;
        }
        for (const auto& each : all) REQUIRE(each->ends.size() <= 1);
      }
      all.clear();
      server.peers.clear();
    }
    REQUIRE(net::sockets_live() == 0);
    REQUIRE(net::sockets_busy() == 0);
    REQUIRE(net::Chunk::live() == 0);
  }
}

TEST_CASE("an echo in steady state touches no heap, and an idle socket is small") {
  World world;
  Pair pair(world);
  Probe& peer = pair.peer();
  uint64_t echoed = 0;
  struct Echo final : net::Transport::User {
    explicit Echo(net::Transport& t) : transport(t) {}
    void on_bytes(net::ByteQueue& in) override {
      waiting.take_all(in);
      transport.touch();
    }
    void fill(net::ByteQueue& out, size_t) override { out.take_all(waiting); }
    void on_eof(bool) override {}
    void on_end(EndReason) override {}
    net::Transport& transport;
    net::ByteQueue waiting;
  } echo(*peer.transport);
  peer.transport->start(echo);
  struct Ping final : net::Transport::User {
    Ping(net::Transport& t, uint64_t& n) : transport(t), count(n) {}
    void on_bytes(net::ByteQueue& in) override {
      got += in.size();
      in.clear();
      if (got < 1024) return;
      got = 0;
      ++count;
      transport.touch();
    }
    void fill(net::ByteQueue& out, size_t) override { out.append_copy(std::string_view(message, sizeof message)); }
    void on_eof(bool) override {}
    void on_end(EndReason) override {}
    net::Transport& transport;
    uint64_t& count;
    size_t got = 0;
    char message[1024] = {};
  } ping(*pair.client.transport, echoed);
  pair.client.transport->start(ping);
  world.until([&] { return echoed >= 100; });
  const uint64_t before = support::allocations();
  world.until([&] { return echoed >= 10'000; });
  CHECK(support::allocations() - before == 0);
  CHECK(net::idle_socket_bytes() <= 448);
}

TEST_CASE("mail allocates nothing while there is room") {
  struct Reader final : net::Mailbox<int>::User {
    void on_message(int&&) override { ++got; }
    int got = 0;
  } reader;
  net::Loop loop(base::steady_clock(), net::make_uv_driver());
  net::Mailbox<int> box(loop, reader, 16);
  const uint64_t before = support::allocations();
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 8; ++i) {
      REQUIRE(box.offer(i));
      box.post(i);
    }
    loop.turn(base::Micros{0});
  }
  CHECK(support::allocations() == before);
  CHECK(reader.got == 1'600);
}
