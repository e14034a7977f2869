// What a connection costs: no call of malloc per request once it runs, and few bytes while it is idle.
#include "tls/memory.h"

#include <malloc.h>
#include <openssl/mem.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "rig.h"
#include "support/count_allocations.h"

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

using support::SimLoop;

// A lower transport without a kernel and without a queue, so that what is measured is TLS alone. Owned by the test.
class Plug final : public net::Transport {
 public:
  void start(User& user) override { user_ = &user; }
  bool open() const override { return true; }
  void touch() override {}
  void allow_reading(net::Reading) override {}
  void shut_write() override {}
  void close(net::Close) override {}
  size_t unsent() const override { return 0; }
  void limit_write_stall(base::Millis) override {}
  bool quiet_now() override { return true; }
  net::Acks acks() const override { return {}; }
  const net::Peer& peer() const override { return peer_; }
  void set_peer(const net::Address&, const net::Address&) override {}
  std::string_view end_detail() const override { return ""; }
  void retire() noexcept override {}

  // All that our user has goes to the user of `other`. False: nothing.
  bool flush_to(Plug& other) {
    net::ByteQueue bytes;
    user_->fill(bytes, high_mark);
    if (bytes.empty()) return false;
    other.user_->on_bytes(bytes);
    return true;
  }

 private:
  User* user_ = nullptr;
  net::Peer peer_;
};

// Sends `size` bytes out of one chunk whenever it is asked to; drops what it gets.
struct Talker final : net::Transport::User {
  explicit Talker(std::uint32_t bytes) : size(bytes) { chunk->grow_used(bytes); }
  ~Talker() { chunk->unref(); }
  void on_bytes(net::ByteQueue& in) override {
    got += in.size();
    in.clear();
  }
  void fill(net::ByteQueue& out, size_t) override {
    if (!due) return;
    out.append_copy("HTTP/1.1 200 OK\r\n\r\n");
    out.append(net::Slice(chunk, 0, size));
    due = false;
  }
  void on_eof(bool) override {}
  void on_end(net::EndReason) override { ended = true; }

  net::Chunk* chunk = net::Chunk::make(net::Chunk::bulk_bytes);
  std::uint32_t size;
  bool due = false;
  bool ended = false;
  std::size_t got = 0;
};

struct Plugged {
  Plugged(SimLoop& s, const std::shared_ptr<const tls::ServerContext>& server_side,
          const std::shared_ptr<const tls::ClientContext>& client_side)
      : sim(s),
        server(tls::accept(sim.loop(), net::TransportPtr(&server_plug), server_side, {})),
        client(tls::connect(sim.loop(), net::TransportPtr(&client_plug), client_side, "localhost", nullptr, {})) {
    server->start(server_user);
    client->start(client_user);
    sim.settle();
    while (client_plug.flush_to(server_plug) || server_plug.flush_to(client_plug)) continue;
    REQUIRE(server->open());
    REQUIRE(client->open());
  }
  ~Plugged() {                                          // the plugs die with us, so the transports must be gone
    server.reset();
    client.reset();
    sim.settle();
  }
  void exchange() {
    client_user.due = server_user.due = true;
    client_plug.flush_to(server_plug);
    server_plug.flush_to(client_plug);
  }
  SimLoop& sim;
  Plug server_plug;
  Plug client_plug;
  Talker server_user{1024};
  Talker client_user{100};
  net::TransportPtr server;
  net::TransportPtr client;
};

TEST_CASE("BoringSSL allocates through our hooks") {
  CHECK(tls::memory_hooked());
  void* const block = OPENSSL_malloc(100);
  std::memset(block, 0x5a, 100);
  void* const larger = OPENSSL_realloc(block, 5000);
  CHECK(static_cast<char*>(larger)[99] == 0x5a);
  OPENSSL_free(larger);
  const auto before = tls::memory_counters();
  for (int i = 0; i < 100; ++i) OPENSSL_free(OPENSSL_malloc(100));
  const auto after = tls::memory_counters();
  CHECK(after.taken - before.taken == 100);
  CHECK(after.from_heap == before.from_heap);           // the free list has one by now
}

TEST_CASE("the free lists are bounded, and memory may be freed by another thread") {
  std::vector<void*> blocks;
  const std::size_t n = 4 * tls::free_list_bytes_max / 1000;
  for (std::size_t i = 0; i < n; ++i) blocks.push_back(OPENSSL_malloc(1000));
  for (void* const block : blocks) OPENSSL_free(block);
  blocks.clear();
  const auto before = tls::memory_counters();
  for (std::size_t i = 0; i < n; ++i) blocks.push_back(OPENSSL_malloc(1000));
  const auto after = tls::memory_counters();
  CHECK(after.from_heap - before.from_heap >= n / 2);
  std::thread([&blocks] {
    for (void* const block : blocks) OPENSSL_free(block);
  }).join();
  const auto big = tls::memory_counters();
  OPENSSL_free(OPENSSL_malloc(tls::free_list_cell_bytes_max + 1));
  OPENSSL_free(OPENSSL_malloc(tls::free_list_cell_bytes_max + 1));
  CHECK(tls::memory_counters().from_heap - big.from_heap == 2);
}

TEST_CASE("freed memory is wiped") {
  auto* const block = static_cast<unsigned char*>(OPENSSL_malloc(200));
  std::memset(block, 0x5a, 200);
  OPENSSL_free(block);
  auto* const again = static_cast<unsigned char*>(OPENSSL_malloc(200));
  REQUIRE(again == block);                              // from the free list
  unsigned left = 0;
  for (std::size_t i = sizeof(void*); i < 200; ++i) left += again[i] != 0 ? 1 : 0;
  CHECK(left == 0);
  OPENSSL_free(again);
}

TEST_CASE("requests on a running connection call malloc not once, small and large") {
  SimLoop sim;
  Plugged pair(sim, server_context(server_options({localhost()})), client_context(client_options()));
  for (const std::uint32_t size : {100u, 1024u, 10'000u, 60'000u}) {
    pair.server_user.chunk->grow_used(size - std::min(size, pair.server_user.chunk->used()));
    pair.server_user.size = size;
    for (int i = 0; i < 20; ++i) pair.exchange();       // fills the pools
    const auto before = support::allocations();
    const auto hooks = tls::memory_counters().taken;
    const std::size_t got = pair.client_user.got;
    for (int i = 0; i < 1000; ++i) pair.exchange();
    CHECK(support::allocations() == before);
    CHECK(tls::memory_counters().taken == hooks);       // BoringSSL is not even asked
    CHECK(pair.client_user.got - got == 1000 * (size + 19));
  }
}

TEST_CASE("workers share a context: handshakes, tickets and memory from several threads") {
  const auto server = server_context(server_options({localhost()}));
  const auto client = client_context(client_options());
  std::atomic<unsigned> good{0};
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back([&] {
      SimLoop sim;
      for (int n = 0; n < 20; ++n) {
        Plugged pair(sim, server, client);
        for (int k = 0; k < 5; ++k) pair.exchange();
        if (pair.client_user.got == 5 * (1024 + 19) && pair.server_user.got == 5 * (100 + 19)) ++good;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  CHECK(good == 60);
}

#ifndef SLUICE_COUNT_BY_HOOK  // sanitizers make every block larger
TEST_CASE("an idle connection of a server costs at most 4.5 KiB") {
  SimLoop sim;
  const auto server = server_context(server_options({localhost()}));
  const auto client = client_context(client_options());
  constexpr std::size_t n = 1000;
  std::vector<std::unique_ptr<Plugged>> pairs;
  pairs.reserve(n + 600);
  const auto in_use = [] { return mallinfo2().uordblks + mallinfo2().hblkhd; };
  const auto add = [&] {
    pairs.push_back(std::make_unique<Plugged>(sim, server, client));
    pairs.back()->exchange();
  };
  for (std::size_t i = 0; i < 600; ++i) add();          // the pool of ready keys is full, the slabs have their pages
  const std::size_t both_before = in_use();
  const std::size_t chunks = net::Chunk::live();
  for (std::size_t i = 0; i < n; ++i) add();
  const std::size_t both = (in_use() - both_before) / n;
  CHECK(net::Chunk::live() == chunks + 2 * n);          // the two of the Talkers: no chunk of ours
  const std::size_t before_leaving = in_use();
  for (std::size_t i = 600; i < pairs.size(); ++i) pairs[i]->client.reset();
  sim.settle();
  const std::size_t per_client = (before_leaving - in_use()) / n;
  REQUIRE(both > per_client + sizeof(Plugged));         // the chunks of its Talkers are no part of the heap
  const std::size_t per_server = both - per_client - sizeof(Plugged);
  MESSAGE("bytes of an idle TLS connection: server ", per_server, ", client ", per_client);
  CHECK(per_server <= 4608);
}
#endif

}  // namespace
}  // namespace sluice::test
