// After the handshake: bytes, record sizes and ends, against a BoringSSL client that is not ours where the wire
// matters.
#include "raw.h"
#include "rig.h"
#include "support/random.h"
#include "tls/records.h"

#include <algorithm>

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

using support::SimLoop;

TEST_CASE("many records in one read are delivered at once; one that is not whole waits") {
  for (const bool tls12 : {false, true}) {
    CAPTURE(tls12);
    SimLoop sim;
    Pair pair(sim, tls12);
    std::string sent;
    for (int i = 0; i < 50; ++i) {
      const std::string part = letters(100, static_cast<std::uint64_t>(i));
      pair.client.write(part);
      sent += part;
    }
    const std::string bytes = pair.client.take_output();
    pair.server.peer->send(bytes.substr(0, bytes.size() - 1));
    sim.settle();
    CHECK(pair.server.user.deliveries == 1);
    CHECK(pair.server.user.got == sent.substr(0, 4900));
    pair.server.peer->send(bytes.substr(bytes.size() - 1));
    sim.settle();
    CHECK(pair.server.user.deliveries == 2);
    CHECK(pair.server.user.got == sent);
  }
}

TEST_CASE("records torn at every position") {
  for (const bool tls12 : {false, true}) {
    SimLoop sim;
    Pair pair(sim, tls12);
    std::string sent;
    for (std::size_t at = 1;; ++at) {
      for (const std::size_t n : {1u, 40u, 7u}) {
        const std::string part = letters(n, at + n);
        pair.client.write(part);
        sent += part;
      }
      const std::string bytes = pair.client.take_output();
      if (at >= bytes.size()) break;
      pair.server.peer->send(bytes.substr(0, at));
      sim.settle();
      pair.server.peer->send(bytes.substr(at));
      sim.settle();
      const bool same = pair.server.user.got == sent;
      CHECK_MESSAGE(same, "torn at ", at);
    }
    CHECK(!pair.server.user.end);
  }
}

TEST_CASE("bulk both ways, torn at random, with pauses") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    SimLoop sim;
    Rig rig(sim,
            {.tear_to_server = support::tear_randomly(seed), .tear_to_client = support::tear_randomly(seed + 100)});
    const std::string up = letters(700'000, seed);
    const std::string down = letters(900'000, seed + 50);
    support::Random random(seed);
    rig.client.send(up);
    rig.server.send(down);
    for (int i = 0; i < 200; ++i) {
      Side& side = random.one_in(2) ? rig.client : rig.server;
      side.transport->allow_reading(net::Reading::paused);
      sim.run_for(base::millis(static_cast<std::int64_t>(random.below(3))));
      const std::size_t before = side.got.size();
      sim.run_for(base::millis(1));
      CHECK(side.got.size() == before);
      side.transport->allow_reading(net::Reading::allowed);
      sim.run_for(base::millis(1));
    }
    sim.settle();
    CHECK(rig.server.got.size() == up.size());
    CHECK(rig.client.got.size() == down.size());
    CHECK((rig.server.got == up));
    CHECK((rig.client.got == down));
  }
}

TEST_CASE("bytes that the user leaves stay in one piece with those that follow") {
  SimLoop sim;
  Pair pair(sim);
  pair.server.user.leave = 1000;
  std::string sent;
  for (int i = 0; i < 10; ++i) {
    const std::string part = letters(110, static_cast<std::uint64_t>(i));
    pair.client.write(part);
    sent += part;
    pair.client.step();
    CHECK(pair.server.user.got.empty() == (i < 9));
  }
  CHECK(pair.server.user.got == sent);
  CHECK(pair.server.user.pieces == 1);
}

TEST_CASE("record sizes: small at the start and after idle, full later; head and body in one record") {
  SimLoop sim;
  Pair pair(sim);
  Side& server = pair.server.user;
  const std::size_t overhead = 17;
  const auto sizes_of = [&](std::size_t n) {
    const std::size_t before = pair.client.records().size();
    const std::string bytes = letters(n);
    server.send(bytes);
    CHECK((pair.client.read() == bytes));
    return std::vector<std::size_t>(pair.client.records().begin() + static_cast<std::ptrdiff_t>(before),
                                    pair.client.records().end());
  };
  const auto check_small_first = [&](const std::vector<std::size_t>& sizes) {
    REQUIRE(sizes.size() > 8);
    for (std::size_t i = 0; i < 8; ++i) CHECK(sizes[i] == tls::small_record_bytes + overhead);
    for (std::size_t i = 8; i + 1 < sizes.size(); ++i) CHECK(sizes[i] == tls::record_bytes_max + overhead);
  };
  sizes_of(1);  // brings the tickets along
  sim.run_for(tls::idle_before_small);
  check_small_first(sizes_of(32'768 + tls::record_bytes_max));
  const auto later = sizes_of(2 * tls::record_bytes_max);  // no idle in between
  CHECK(later == std::vector<std::size_t>(2, tls::record_bytes_max + overhead));
  sim.run_for(base::millis(999));
  CHECK(sizes_of(tls::record_bytes_max).size() == 1);
  sim.run_for(tls::idle_before_small);
  check_small_first(sizes_of(32'768 + tls::record_bytes_max));
  sim.run_for(base::seconds(5));
  net::Chunk* const body = net::Chunk::make();
  body->grow_used(1024);
  server.to_send.append_copy("HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n");
  server.to_send.append(net::Slice(body, 0, 1024));
  body->unref();
  const std::size_t before = pair.client.records().size();
  server.transport->touch();
  pair.client.read();
  REQUIRE(pair.client.records().size() == before + 1);
  CHECK(pair.client.records().back() == 41 + 1024 + overhead);
}

TEST_CASE("slices of all sizes arrive in order") {
  for (const bool tls12 : {false, true}) {
    SimLoop sim;
    Pair pair(sim, tls12);
    support::Random random(7);
    std::string sent;
    for (int i = 0; i < 300; ++i) {
      net::Chunk* const chunk = net::Chunk::make(net::Chunk::bulk_bytes);
      const auto n =
          static_cast<std::uint32_t>(random.one_in(3) ? random.between(1, 65'536) : random.between(1, 3'000));
      const std::string bytes = letters(n, random.next());
      std::ranges::copy(bytes, chunk->data());
      chunk->grow_used(n);
      pair.server.user.to_send.append(net::Slice(chunk, 0, n));
      chunk->unref();
      sent += bytes;
    }
    pair.server.user.transport->touch();
    std::string got;
    for (std::string part = pair.client.read(); !part.empty(); part = pair.client.read()) got += part;
    CHECK((got == sent));
  }
}

TEST_CASE("the end of the peer: close_notify is authenticated, a bare FIN is not") {
  for (const bool tls12 : {false, true}) {
    for (const bool notify : {true, false}) {
      SimLoop sim;
      Pair pair(sim, tls12);
      pair.client.write("last words");
      if (notify) SSL_shutdown(&pair.client.ssl());
      pair.server.peer->send(pair.client.take_output());
      if (!notify) pair.server.peer->fin();
      sim.settle();
      CHECK(pair.server.user.got == "last words");
      REQUIRE(pair.server.user.eof.has_value());
      CHECK(*pair.server.user.eof == notify);
      CHECK(!pair.server.user.end);
      pair.server.user.send("answer");  // half closed: we may still write
      CHECK(pair.client.read() == "answer");
      if (notify) pair.server.peer->fin();
      sim.settle();
      CHECK(!pair.server.user.end);
    }
  }
}

TEST_CASE("a FIN in the middle of a record is a cut") {
  SimLoop sim;
  Pair pair(sim);
  pair.client.write(letters(500));
  const std::string bytes = pair.client.take_output();
  pair.server.peer->send(bytes.substr(0, 300));
  pair.server.peer->fin();
  sim.settle();
  CHECK(pair.server.user.got.empty());
  CHECK(pair.server.user.eof == false);
}

TEST_CASE("an end that comes while reading is paused is told when reading is allowed") {
  for (const bool notify : {true, false}) {
    SimLoop sim;
    Pair pair(sim);
    Side& server = pair.server.user;
    server.transport->allow_reading(net::Reading::paused);
    pair.client.write("late");
    if (notify) SSL_shutdown(&pair.client.ssl());
    pair.server.peer->send(pair.client.take_output());
    pair.server.peer->fin();
    sim.settle();
    CHECK(server.got.empty());
    CHECK(!server.eof);
    server.transport->allow_reading(net::Reading::allowed);
    sim.settle();
    CHECK(server.got == "late");
    CHECK(server.eof == notify);
  }
}

TEST_CASE("a new user is offered what the former one left, and the end it has not heard of") {
  SimLoop sim;
  Pair pair(sim);
  pair.server.user.leave = 100;
  pair.client.write("left over");
  SSL_shutdown(&pair.client.ssl());
  pair.client.step();
  CHECK(pair.server.user.got.empty());
  CHECK(pair.server.user.eof == true);
  Side next;
  next.bind(std::move(pair.server.user.transport));
  sim.settle();
  CHECK(next.opens == 0);
  CHECK(next.got == "left over");
  CHECK(next.eof == true);
}

TEST_CASE("close after_flush: everything, close_notify, FIN; also when the owner lets go at once") {
  for (const bool tls12 : {false, true}) {
    for (const bool in_fill : {false, true}) {
      SimLoop sim;
      Pair pair(sim, tls12);
      Side& server = pair.server.user;
      const std::string bytes = letters(50'000);
      if (in_fill) {
        server.close_when_given = net::Close::after_flush;
        server.send(bytes);
        sim.settle();
      } else {
        server.send(bytes);
        sim.settle();
        server.transport->close(net::Close::after_flush);
      }
      server.transport.reset();
      CHECK((pair.client.read() == bytes));
      CHECK((SSL_get_shutdown(&pair.client.ssl()) & SSL_RECEIVED_SHUTDOWN) != 0);
      CHECK(pair.server.peer->got_fin());
      CHECK(!pair.server.peer->got_reset());
      CHECK(!server.end);
    }
  }
}

TEST_CASE("close after_flush towards a peer that does not read gives up in the end") {
  SimLoop sim;
  Pair pair(sim);
  const std::size_t before = support::pipes_live();
  pair.server.peer->window(1000);
  pair.server.peer->hold();
  pair.server.user.send(letters(500'000));
  sim.settle();
  pair.server.user.transport->limit_write_stall(base::seconds(5));
  pair.server.user.transport->close(net::Close::after_flush);
  pair.server.user.transport.reset();
  sim.run_for(base::seconds(30));
  CHECK(support::pipes_live() == before - 1);
}

TEST_CASE("close now: a FIN without close_notify; reset: a reset") {
  for (const net::Close how : {net::Close::now, net::Close::reset}) {
    SimLoop sim;
    Pair pair(sim);
    pair.server.user.transport->close(how);
    pair.client.read();
    CHECK((SSL_get_shutdown(&pair.client.ssl()) & SSL_RECEIVED_SHUTDOWN) == 0);
    CHECK(pair.server.peer->got_fin() == (how == net::Close::now));
    CHECK(pair.server.peer->got_reset() == (how == net::Close::reset));
    CHECK(!pair.server.user.end);
  }
}

TEST_CASE("shut_write: what was given, close_notify and FIN; reading goes on") {
  SimLoop sim;
  Rig rig(sim);
  sim.settle();
  rig.server.send("whole answer");
  rig.server.transport->shut_write();
  sim.settle();
  CHECK(rig.client.got == "whole answer");
  CHECK(rig.client.eof == true);
  CHECK(!rig.client.end);
  rig.client.send("more");
  sim.settle();
  CHECK(rig.server.got == "more");
  rig.client.transport->shut_write();
  sim.settle();
  CHECK(rig.server.eof == true);
  CHECK(rig.server.end == net::EndReason::closed);
  CHECK(rig.client.end == net::EndReason::closed);
}

TEST_CASE("a reset by the peer is told as such") {
  SimLoop sim;
  Pair pair(sim);
  pair.server.peer->reset();
  sim.settle();
  CHECK(pair.server.user.end == net::EndReason::reset);
}

TEST_CASE("more connections than keys are kept ready for") {
  SimLoop sim;
  const std::size_t n = tls::warm_connections_max + 40;
  std::vector<std::unique_ptr<Rig>> rigs;
  for (std::size_t i = 0; i < n; ++i) rigs.push_back(std::make_unique<Rig>(sim));
  sim.settle();
  for (int round = 0; round < 3; ++round) {
    for (auto& rig : rigs) {
      rig->client.send("ping");
      rig->server.send("pong");
    }
    sim.settle();
  }
  for (auto& rig : rigs) {
    CHECK(rig->server.got == "pingpingping");
    CHECK(rig->client.got == "pongpongpong");
  }
}

}  // namespace
}  // namespace sluice::test
