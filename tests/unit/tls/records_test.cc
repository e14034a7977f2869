// What comes in records after the handshake: tampered, forged, oversized, and key updates, against a BoringSSL client.
#include "tls/records.h"

#include <openssl/err.h>

#include "raw.h"
#include "rig.h"
#include "tls/post_handshake.h"

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

using support::SimLoop;

// Seals what BoringSSL never would, with the keys of a BoringSSL client.
struct Forger {
  explicit Forger(Pair& pair) : server(*pair.server.peer) { REQUIRE(records.take_writing(pair.client.ssl())); }
  void send(tls::RecordType type, std::string_view content) {
    net::ByteQueue out;
    records.seal(type, content, out);
    std::string bytes(out.size(), '\0');
    out.peek(bytes.data(), bytes.size());
    server.send(bytes);
  }
  support::ScriptedPeer& server;
  tls::Records records;
};

TEST_CASE("a record that was tampered with, at each of its bytes") {
  std::size_t size = 100;
  for (std::size_t at = 0; at < size; ++at) {
    SimLoop sim;
    Pair pair(sim);
    pair.client.write("transfer 100 to alice");
    std::string bytes = pair.client.take_output();
    size = bytes.size();
    if (at == 3) continue;                            // the length's high byte: more is awaited
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    if (at == 4) bytes += letters(1);
    pair.server.peer->send(bytes);
    sim.settle();
    CAPTURE(at);
    CHECK(pair.server.user.got.empty());
    CHECK(pair.server.user.end == net::EndReason::tls_failed);
    pair.server.user.transport.reset();
    sim.settle();
    CHECK(pair.server.peer->got_fin());
    pair.client.read();                               // the alert
  }
}

TEST_CASE("the peer hears which alert ended it") {
  SimLoop sim;
  Pair pair(sim);
  pair.server.user.send("tickets, too");
  pair.client.read();
  pair.client.write("x");
  std::string bytes = pair.client.take_output();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  pair.server.peer->send(bytes);
  sim.settle();
  CHECK(pair.server.user.detail == "bad record mac");
  const std::string alert = pair.server.peer->take();
  CHECK(alert.size() == tls::record_header_bytes + 2 + 17);   // this one and no other
  BIO* const in = SSL_get_rbio(&pair.client.ssl());
  BIO_write(in, alert.data(), static_cast<int>(alert.size()));
  char nothing;
  CHECK(SSL_read(&pair.client.ssl(), &nothing, 1) < 0);
  CHECK(ERR_GET_REASON(ERR_get_error()) == SSL_AD_REASON_OFFSET + SSL_AD_BAD_RECORD_MAC);
}

// Which alert the client hears now; 0 = none.
int heard_alert(Pair& pair) {
  const std::string alert = pair.server.peer->take();
  BIO_write(SSL_get_rbio(&pair.client.ssl()), alert.data(), static_cast<int>(alert.size()));
  ERR_clear_error();
  char nothing;
  const int n = SSL_read(&pair.client.ssl(), &nothing, 1);
  const int reason = n > 0 ? 0 : ERR_GET_REASON(ERR_get_error());
  ERR_clear_error();
  return reason > SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET : 0;
}

TEST_CASE("what a hostile peer with good keys can send") {
  using tls::RecordType;
  struct Case {
    const char* what;
    std::vector<std::pair<RecordType, std::string>> records;
    const char* detail;                               // "" = nothing happens
    int alert = 0;                                    // what the peer hears; 0 = it has said so itself
  };
  const std::pair<RecordType, std::string> empty{RecordType::application, ""};
  std::vector<std::pair<RecordType, std::string>> empties(32, empty);
  std::vector<std::pair<RecordType, std::string>> one_too_many(33, empty);
  std::vector<std::pair<RecordType, std::string>> spread = empties;
  spread.emplace_back(RecordType::application, "x");
  spread.insert(spread.end(), empties.begin(), empties.end());
  const std::string canceled("\x01\x5a", 2);
  const Case cases[] = {
      {"empty records up to the limit", empties, ""},
      {"empty records, one more", one_too_many, "too many empty records", SSL_AD_UNEXPECTED_MESSAGE},
      {"empty records with bytes in between", spread, ""},
      {"user_canceled", {{RecordType::alert, canceled}}, ""},
      {"user_canceled up to the limit", {4, {RecordType::alert, canceled}}, ""},
      {"user_canceled, one more", {5, {RecordType::alert, canceled}}, "too many warnings", SSL_AD_UNEXPECTED_MESSAGE},
      {"a fatal alert", {{RecordType::alert, std::string("\x02\x50", 2)}}, "the peer sent alert: internal error"},
      {"an alert of one byte", {{RecordType::alert, "\x01"}}, "malformed alert", SSL_AD_DECODE_ERROR},
      {"two alerts in a record",
       {{RecordType::alert, std::string("\x01\x00\x01\x00", 4)}},
       "malformed alert",
       SSL_AD_DECODE_ERROR},
      {"an empty handshake record", {{RecordType::handshake, ""}}, "empty record", SSL_AD_UNEXPECTED_MESSAGE},
      {"an empty alert record", {{RecordType::alert, ""}}, "empty record", SSL_AD_UNEXPECTED_MESSAGE},
      {"a ClientHello again",
       {{RecordType::handshake, std::string("\x01\x00\x00\x02\x03\x03", 6)}},
       "unexpected message",
       SSL_AD_UNEXPECTED_MESSAGE},
      {"a KeyUpdate with nonsense in it",
       {{RecordType::handshake, std::string("\x18\x00\x00\x01\x07", 5)}},
       "decode error",
       SSL_AD_DECODE_ERROR},
      {"a KeyUpdate and more",
       {{RecordType::handshake, std::string("\x18\x00\x00\x01\x00\x18", 6)}},
       "excess handshake data",
       SSL_AD_UNEXPECTED_MESSAGE},
      {"a handshake message too long",
       {{RecordType::handshake, std::string("\x18\x10\x00\x00", 4)}},
       "excessive message size",
       SSL_AD_ILLEGAL_PARAMETER},
      {"application data between two parts of a handshake message",
       {{RecordType::handshake, std::string("\x18\x00", 2)}, {RecordType::application, "x"}},
       "a record between two parts of a handshake message",
       SSL_AD_UNEXPECTED_MESSAGE},
      {"the same behind its header",
       {{RecordType::handshake, std::string("\x18\x00\x00\x01", 4)}, {RecordType::application, ""}},
       "a record between two parts of a handshake message",
       SSL_AD_UNEXPECTED_MESSAGE},
      {"a fatal alert between two parts",
       {{RecordType::handshake, std::string("\x18", 1)}, {RecordType::alert, std::string("\x02\x50", 2)}},
       "the peer sent alert: internal error"},
      {"change_cipher_spec inside",
       {{static_cast<RecordType>(20), "\x01"}},
       "unexpected record",
       SSL_AD_UNEXPECTED_MESSAGE},
      {"an unknown type", {{static_cast<RecordType>(24), "x"}}, "unexpected record", SSL_AD_UNEXPECTED_MESSAGE},
      {"nothing but padding", {{static_cast<RecordType>(0), ""}}, "unexpected record", SSL_AD_UNEXPECTED_MESSAGE},
  };
  for (const bool has_written : {false, true})
    for (const Case& c : cases) {
      CAPTURE(c.what);
      CAPTURE(has_written);
      SimLoop sim;
      Pair pair(sim);
      if (has_written) pair.server.user.send("hello");
      pair.client.read();
      Forger forger(pair);
      for (const auto& [type, content] : c.records) forger.send(type, content);
      sim.settle();
      CHECK(pair.server.user.detail == c.detail);
      CHECK(pair.server.user.end.has_value() == (*c.detail != '\0'));
      CHECK(heard_alert(pair) == c.alert);
      if (*c.detail != '\0') continue;
      forger.send(RecordType::application, "still here");
      sim.settle();
      CHECK(pair.server.user.got.ends_with("still here"));
    }
}

TEST_CASE("records at and above the largest size; padding") {
  SimLoop sim;
  {
    Pair pair(sim);
    Forger forger(pair);
    const std::string full = letters(16'384);
    forger.send(tls::RecordType::application, full);
    sim.settle();
    CHECK((pair.server.user.got == full));
    forger.send(tls::RecordType::application, letters(16'385));
    sim.settle();
    CHECK(pair.server.user.detail == "record too large");
  }
  {
    Pair pair(sim);
    pair.server.peer->send(std::string("\x17\x03\x03\x41\x01", 5));
    sim.settle();
    CHECK(pair.server.user.detail == "record too large");
  }
  Pair pair(sim);
  Forger forger(pair);
  forger.send(static_cast<tls::RecordType>(0), std::string("padded\x17\0\0\0", 10));  // inner type 23, then four zeros
  sim.settle();
  CHECK(pair.server.user.got == "padded");
}

TEST_CASE("key updates, asked for and not, in both directions, with bytes in between") {
  SimLoop sim;
  Pair pair(sim);
  std::string up;
  std::string down;
  for (int i = 0; i < 20; ++i) {
    CAPTURE(i);
    const int kind = i % 3 == 0 ? SSL_KEY_UPDATE_NOT_REQUESTED : SSL_KEY_UPDATE_REQUESTED;
    REQUIRE(SSL_key_update(&pair.client.ssl(), kind) == 1);
    if (i % 4 == 1) REQUIRE(SSL_key_update(&pair.client.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
    pair.client.write("up");
    up += "up";
    pair.client.step();
    CHECK(pair.server.user.got == up);
    if (i % 5 == 2) continue;  // several updates before we write again
    pair.server.user.send("down");
    CHECK(pair.client.read() == "down");
    if (kind == SSL_KEY_UPDATE_REQUESTED && i > 3)
      CHECK(SSL_get_read_sequence(&pair.client.ssl()) == 1);  // our key is new as well
  }
  CHECK(!pair.server.user.end);
  pair.server.user.transport->close(net::Close::after_flush);
  pair.client.read();
  CHECK((SSL_get_shutdown(&pair.client.ssl()) & SSL_RECEIVED_SHUTDOWN) != 0);
}

// What JSSE does past its key limit: a request with every record it reads, until our KeyUpdate arrives.
TEST_CASE("a client that asks for new keys with every record of a download is served, and answered once") {
  SimLoop sim;
  Pair pair(sim);
  SSL& client = pair.client.ssl();
  const std::string file = letters(200 * tls::record_bytes_max);
  pair.server.user.send(file);
  pair.client.step();
  std::string got(file.size() + 1, '\0');
  std::size_t size = 0;
  unsigned requests = 0;
  for (int n = 0; (n = SSL_read(&client, got.data() + size, 16'384)) > 0; size += static_cast<std::size_t>(n)) {
    REQUIRE(SSL_key_update(&client, SSL_KEY_UPDATE_REQUESTED) == 1);
    REQUIRE(SSL_write(&client, "", 0) >= 0);
    ++requests;
  }
  got.resize(size);
  CHECK((got == file));
  CHECK(requests > 200);
  const std::size_t before = pair.client.records().size();
  pair.client.step();
  CHECK(!pair.server.user.end);
  CHECK(pair.client.records().size() == before + 1);  // one KeyUpdate of ours for all of them
  CHECK(pair.client.records().back() == 5 + 1 + 16);
  pair.server.user.send("more");
  CHECK(pair.client.read() == "more");
  pair.client.write("thanks");
  pair.client.step();
  CHECK(pair.server.user.got == "thanks");
}

TEST_CASE("key updates for nothing are limited by rate, not by the connection's life") {
  SimLoop sim;
  Pair pair(sim);
  const auto update = [&pair](unsigned times) {
    for (unsigned i = 0; i < times; ++i) {
      REQUIRE(SSL_key_update(&pair.client.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
      REQUIRE(SSL_write(&pair.client.ssl(), "", 0) >= 0);
    }
    pair.client.step();
  };
  for (unsigned minute = 0; minute < 5; ++minute) {
    update(32);
    CHECK(!pair.server.user.end);
    sim.run_for(base::seconds(32));
  }
  update(32);
  CHECK(!pair.server.user.end);
  update(1);
  CHECK(pair.server.user.detail == "too many key updates");
  CHECK(heard_alert(pair) == SSL_AD_UNEXPECTED_MESSAGE);
  CHECK(pair.server.user.end == net::EndReason::tls_failed);
}

TEST_CASE("the budget of key updates: at the burst and one above, by time, by records and by bytes") {
  tls::KeyUpdateBudget budget;
  base::Micros now{base::seconds(100)};
  const auto spends = [&] {
    unsigned n = 0;
    while (budget.spend(now)) ++n;
    return n;
  };
  CHECK(spends() == 32);
  now = now + base::millis(999);
  CHECK(spends() == 0);
  now = now + base::millis(1);
  CHECK(spends() == 1);
  now = now + base::hours(1);
  CHECK(spends() == 32);
  budget.record_sent();
  budget.record_sent();
  CHECK(spends() == 2);
  budget.bytes_received(16'383);
  CHECK(spends() == 0);
  budget.bytes_received(1);
  CHECK(spends() == 1);
  for (int i = 0; i < 10'000; ++i) budget.record_sent();
  CHECK(spends() == tls::KeyUpdateBudget::earned_max);
}

TEST_CASE("a key update in parts, and one behind the end of another message") {
  SimLoop sim;
  Pair pair(sim);
  Forger forger(pair);
  const std::string key_update("\x18\x00\x00\x01\x00", 5);
  for (const char c : key_update) forger.send(tls::RecordType::handshake, std::string(1, c));
  sim.settle();
  CHECK(!pair.server.user.end);
  forger.send(tls::RecordType::application, "under the old key");
  sim.settle();
  CHECK(pair.server.user.detail == "bad record mac");

  tls::HandshakeStream stream;
  CHECK(stream.take(key_update) == 1);
  CHECK(!stream.within());
  CHECK(stream.take(std::string("\x04\x00\x01\x02", 4)) == 0);
  CHECK(stream.within());
  CHECK(stream.take(std::string(0x102, '\x18') + key_update + key_update.substr(0, 3)) == 2);
  CHECK(stream.within());
  CHECK(stream.take(key_update.substr(3)) == 0);
  CHECK(!stream.within());
}

TEST_CASE("a key update before we have ever written") {
  SimLoop sim;
  Pair pair(sim);
  REQUIRE(SSL_key_update(&pair.client.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
  pair.client.write("up");
  pair.client.step();
  pair.server.user.send("down");
  CHECK(pair.client.read() == "down");
  pair.server.user.send("again");
  CHECK(pair.client.read() == "again");
  CHECK(pair.server.user.got == "up");
}

}  // namespace
}  // namespace sluice::test
