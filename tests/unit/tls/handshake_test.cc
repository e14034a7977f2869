// Handshakes between our client and our server: what is negotiated, what is refused, and in which words.
#include "raw.h"
#include "rig.h"

#include <algorithm>

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

using support::SimLoop;
using tls::HandshakeError;

TEST_CASE("client and server shake hands and exchange bytes") {
  SimLoop sim;
  Rig rig(sim);
  rig.client.send("ping");
  rig.server.send("pong");
  sim.settle();
  REQUIRE(rig.open());
  CHECK(rig.server.got == "ping");
  CHECK(rig.client.got == "pong");
  const net::Peer& seen = rig.server.transport->peer();
  CHECK(seen.tls);
  CHECK(seen.tls_version == 0x0304);
  CHECK(!seen.tls_resumed);
  CHECK(seen.sni == "localhost");
  CHECK(seen.alpn.empty());
  REQUIRE(bool(seen.certificate_covers != nullptr));
  CHECK(seen.certificate_covers(seen.certificate, "localhost"));
  CHECK(seen.certificate_covers(seen.certificate, "127.0.0.1"));
  CHECK(!seen.certificate_covers(seen.certificate, "other"));
  REQUIRE(rig.server_events.facts.size() == 1);
  CHECK(rig.server_events.facts[0].version == 0x0304);
  CHECK(rig.client_events.facts.size() == 1);
  CHECK(rig.server_events.errors.empty());
  CHECK(rig.server.drained == 1);
}

TEST_CASE("ALPN: the server's preference decides; nothing in common is refused; none offered is none chosen") {
  struct Case {
    std::vector<std::string> server;
    std::vector<std::string> client;
    std::string chosen;
    bool refused;
  };
  const Case cases[] = {
      {{"h2", "http/1.1"}, {"http/1.1", "h2"}, "h2", false},
      {{"http/1.1"}, {"h2", "http/1.1"}, "http/1.1", false},
      {{"h2", "http/1.1"}, {}, "", false},
      {{}, {"h2"}, "", false},
      {{"h2", "http/1.1"}, {"http/1.0", "h3", "h22", "h"}, "", true},
  };
  for (const Case& c : cases) {
    CAPTURE(c.chosen);
    SimLoop sim;
    Rig rig(sim, {.server = server_context(server_options({localhost()}), c.server),
                  .client = client_context(client_options(), c.client)});
    sim.settle();
    CHECK(rig.open() == !c.refused);
    if (c.refused) {
      REQUIRE(rig.server_events.errors.size() == 1);
      CHECK(rig.server_events.errors[0] == HandshakeError::unknown_protocol);
      CHECK(rig.server.end == net::EndReason::tls_failed);
      CHECK(rig.client.end == net::EndReason::tls_failed);
      CHECK(rig.client.detail == "the peer sent alert: no application protocol");
      CHECK(rig.client_events.errors[0] == HandshakeError::unknown_protocol);
    } else {
      CHECK(rig.server.transport->peer().alpn == c.chosen);
      CHECK(rig.client.transport->peer().alpn == c.chosen);
    }
  }
}

TEST_CASE(
    "a certificate that nobody vouches for, for another name, or out of date is not accepted, and the log says why") {
  SimLoop sim;
  const auto other = certs().make("other", {.names = {"other.test"}});
  const auto expired = certs().make("expired", {.from_days = -20, .to_days = -10});
  const auto early = certs().make("early", {.from_days = 10, .to_days = 20});
  struct Case {
    tls::CertificateFiles served;
    std::string client_ca;
    std::string detail;
  };
  CertFolder strangers("nobody's CA");
  const Case cases[] = {
      {localhost(), strangers.ca(), "certificate not accepted: unable to get local issuer certificate"},
      {other, certs().ca(), "certificate not accepted: Hostname mismatch"},
      {expired, certs().ca(), "certificate not accepted: certificate has expired"},
      {early, certs().ca(), "certificate not accepted: certificate is not yet valid"},
  };
  for (const Case& c : cases) {
    Rig rig(sim, {.server = server_context(server_options({c.served})), .client = client_context({.ca = c.client_ca})});
    sim.settle();
    CHECK(rig.client.opens == 0);
    CHECK(rig.client.end == net::EndReason::tls_unverified);
    CHECK_MESSAGE(rig.client.detail.starts_with(c.detail), rig.client.detail);
    CHECK(rig.server.end == net::EndReason::tls_failed);
    CHECK_MESSAGE(rig.server.detail.starts_with("the peer sent alert: "), rig.server.detail);
    REQUIRE(rig.server_events.errors.size() == 1);
    CHECK(rig.server_events.errors[0] == HandshakeError::bad_certificate);
    REQUIRE(rig.client_events.errors.size() == 1);
    CHECK(rig.client_events.errors[0] == HandshakeError::bad_certificate);
  }
}

TEST_CASE("verify = false accepts anything") {
  SimLoop sim;
  const auto expired = certs().make("expired2", {.names = {"x"}, .from_days = -20, .to_days = -10});
  Rig rig(sim,
          {.server = server_context(server_options({expired})), .client = client_context({.verify = tls::Verify::no})});
  sim.settle();
  CHECK(rig.open());
}

TEST_CASE("an address is verified but not sent as a server name") {
  SimLoop sim;
  for (const char* const name : {"127.0.0.1", "::1", "127.0.0.2", ""}) {
    CAPTURE(name);
    Rig rig(sim, {.name = name});
    sim.settle();
    const bool good = std::string_view(name) == "127.0.0.1";
    CHECK(rig.open() == good);
    CHECK(rig.server.transport->peer().sni.empty());
    if (!good) CHECK(rig.client.end == net::EndReason::tls_unverified);
  }
}

TEST_CASE("the server name is lower case for the user, whatever the client sends") {
  SimLoop sim;
  Rig rig(sim, {.name = "LocalHost"});
  sim.settle();
  REQUIRE(rig.open());
  CHECK(rig.server.transport->peer().sni == "localhost");
}

TEST_CASE("client certificates: off, optional, required") {
  SimLoop sim;
  const auto mine = certs().make("client", {.names = {"client"}});
  CertFolder strangers;
  const auto theirs = strangers.make("stranger", {.names = {"client"}});
  const auto with = [](const tls::CertificateFiles& files) {
    return client_context({.ca = certs().ca(), .cert = files.cert, .key = files.key});
  };
  auto options = server_options({localhost()});
  options.client_ca = certs().ca();
  options.client_auth = tls::ClientAuth::required;
  const auto required = server_context(options);
  options.client_auth = tls::ClientAuth::optional;
  const auto optional = server_context(options);
  struct Case {
    std::shared_ptr<const tls::ServerContext> server;
    std::shared_ptr<const tls::ClientContext> client;
    bool good;
  };
  const Case cases[] = {
      {required, with(mine), true},
      {required, client_context(client_options()), false},
      {required, with(theirs), false},
      {optional, with(mine), true},
      {optional, client_context(client_options()), true},
      {optional, with(theirs), false},
  };
  for (const Case& c : cases) {
    Rig rig(sim, {.server = c.server, .client = c.client});
    sim.settle();
    CHECK((rig.server.opens == 1) == c.good);
    if (c.good) continue;
    REQUIRE(rig.server_events.errors.size() == 1);
    CHECK(rig.server_events.errors[0] == HandshakeError::bad_certificate);
    // TLS 1.3: the client is done before the server has looked at its certificate.
    CHECK(rig.client.end == net::EndReason::tls_failed);
    CHECK(rig.client.detail.starts_with("the peer sent alert: "));
  }
}

TEST_CASE("TLS 1.2 is refused unless asked for, and then with ECDHE and AEAD") {
  SimLoop sim;
  for (const bool allowed : {false, true}) {
    auto options = server_options({localhost()});
    if (allowed) options.min_version = tls::Version::tls12;
    const RawResult result =
        raw_client(sim, server_context(options), [](SSL_CTX& c) { SSL_CTX_set_max_proto_version(&c, TLS1_2_VERSION); });
    CHECK(result.open == allowed);
    if (allowed) {
      CHECK(result.version == 0x0303);
      CHECK(result.cipher == "ECDHE-ECDSA-AES128-GCM-SHA256");
    } else {
      REQUIRE(result.errors.size() == 1);
      CHECK(result.errors[0] == HandshakeError::version);
    }
  }
  auto options = server_options({localhost()});
  options.min_version = tls::Version::tls12;
  const RawResult cbc = raw_client(sim, server_context(options), [](SSL_CTX& c) {
    SSL_CTX_set_max_proto_version(&c, TLS1_2_VERSION);
    SSL_CTX_set_strict_cipher_list(&c, "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-GCM-SHA256");
  });
  CHECK(!cbc.open);
  REQUIRE(cbc.errors.size() == 1);
  CHECK(cbc.errors[0] == HandshakeError::no_shared_cipher);
}

TEST_CASE("no group in common") {
  SimLoop sim;
  const RawResult result = raw_client(sim, server_context(server_options({localhost()})),
                                      [](SSL_CTX& c) { SSL_CTX_set1_curves_list(&c, "P-521"); });
  CHECK(!result.open);
  REQUIRE(result.errors.size() == 1);
  CHECK(result.errors[0] == HandshakeError::no_shared_cipher);
}

TEST_CASE("P-384 serves those who may use nothing else, behind X25519 and P-256") {
  SimLoop sim;
  const auto chosen = [&sim](const char* offered) {
    Peerless server(sim);
    RawClient client(sim, server, [offered](SSL_CTX& c) { REQUIRE(SSL_CTX_set1_curves_list(&c, offered) == 1); });
    client.step();
    REQUIRE(client.open());
    return std::string(SSL_get_curve_name(SSL_get_curve_id(&client.ssl())));
  };
  CHECK(chosen("P-384") == "P-384");
  CHECK(chosen("P-384:P-256") == "P-256");
  CHECK(chosen("P-384:P-256:X25519") == "X25519");
}

TEST_CASE("plain HTTP, rubbish and silence on a TLS port") {
  struct Case {
    std::string bytes;
    HandshakeError error;
    std::string detail;
  };
  const Case cases[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HandshakeError::http_request, "plain HTTP on a TLS port"},
      {"POST / HTTP/1.1\r\n\r\n", HandshakeError::http_request, "plain HTTP on a TLS port"},
      {std::string(64, '\xff'), HandshakeError::other, ""},
      {std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10), HandshakeError::other, ""},
  };
  for (const Case& c : cases) {
    for (const size_t tear : {0u, 1u}) {
      CAPTURE(c.bytes.substr(0, 3));
      CAPTURE(tear);
      SimLoop sim;
      Peerless server(sim);
      if (tear != 0) server.peer->tear(support::tear_every(tear));
      server.peer->send(c.bytes);
      sim.settle();
      CHECK(server.user.end == net::EndReason::tls_failed);
      REQUIRE(server.events.errors.size() == 1);
      CHECK_MESSAGE(server.events.errors[0] == c.error, server.user.detail);
      if (!c.detail.empty()) CHECK(server.user.detail == c.detail);
      server.user.transport.reset();
      sim.settle();
      CHECK(server.peer->ended());
    }
  }
}

TEST_CASE("the deadline ends a handshake that does not get on, and no other") {
  SimLoop sim;
  Peerless silent(sim, base::seconds(10));
  sim.run_for(base::millis(9'999));
  CHECK(!silent.user.end);
  sim.run_for(base::millis(2));
  CHECK(silent.user.end == net::EndReason::tls_failed);
  CHECK(silent.user.detail == "handshake timeout");
  REQUIRE(silent.events.errors.size() == 1);
  CHECK(silent.events.errors[0] == HandshakeError::timeout);
  CHECK(silent.peer->ended());

  Peerless drip(sim, base::seconds(10));   // a byte now and then does not help
  for (int i = 0; i < 9 && !drip.user.end; ++i) {
    drip.peer->send(std::string(1, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"[i]));
    sim.run_for(base::millis(1'100));
  }
  sim.run_for(base::millis(200));
  CHECK(drip.user.end == net::EndReason::tls_failed);
  CHECK(drip.user.detail == "handshake timeout");

  Rig done(sim, {.timeout = base::seconds(10)});
  sim.run_for(base::minutes(10));
  CHECK(done.open());
  CHECK(!done.client.end);
  CHECK(!done.server.end);
}

TEST_CASE("the peer leaves in the middle: a FIN, a reset") {
  SimLoop sim;
  Peerless fin(sim);
  fin.peer->fin();
  sim.settle();
  CHECK(fin.user.end == net::EndReason::tls_failed);
  CHECK(fin.user.detail == "the peer closed during the handshake");
  REQUIRE(fin.events.errors.size() == 1);
  CHECK(fin.events.errors[0] == HandshakeError::eof);

  Peerless reset(sim);
  reset.peer->reset();
  sim.settle();
  CHECK(reset.user.end == net::EndReason::reset);
  REQUIRE(reset.events.errors.size() == 1);
  CHECK(reset.events.errors[0] == HandshakeError::reset);
}

TEST_CASE("torn at every position, the handshake and the first bytes come through the same") {
  SimLoop sim;
  size_t to_server = 0;
  size_t to_client = 0;
  {
    Rig rig(sim, {.server = server_context(server_options({localhost()}), {"h2"}),
                  .client = client_context(client_options(), {"h2"})});
    size_t* const counts[] = {&to_server, &to_client};
    for (const int i : {0, 1}) {
      rig.wire->set_tear(i == 0 ? support::Wire::From::a : support::Wire::From::b,
                         [count = counts[i]](uint64_t, size_t n) {
                           *count += n;
                           return n;
                         });
    }
    rig.client.send("request");
    rig.server.send("answer");
    sim.settle();
    REQUIRE(rig.open());
  }
  REQUIRE(to_server > 300);
  REQUIRE(to_client > 600);
  const auto server = server_context(server_options({localhost()}), {"h2"});
  const auto client = client_context(client_options(), {"h2"});
  for (size_t at = 1; at < std::max(to_server, to_client); ++at) {
    Rig rig(sim, {.server = server,
                  .client = client,
                  .tear_to_server = support::tear_at({at}),
                  .tear_to_client = support::tear_at({at})});
    rig.client.send("request");
    rig.server.send("answer");
    sim.settle();
    const bool same = rig.open() && rig.server.got == "request" && rig.client.got == "answer";
    CHECK_MESSAGE(same, "torn at ", at);
  }
  Rig rig(sim, {.server = server,
                .client = client,
                .tear_to_server = support::tear_every(1),
                .tear_to_client = support::tear_every(1)});
  rig.client.send("request");
  rig.server.send("answer");
  sim.settle();
  CHECK(rig.server.got == "request");
  CHECK(rig.client.got == "answer");
}

TEST_CASE("bytes that come with the end of the handshake are delivered after on_open") {
  SimLoop sim;
  Rig rig(sim);
  rig.client.send("early bird");   // leaves with the client's Finished
  sim.settle();
  CHECK(rig.server.opens == 1);
  CHECK(rig.server.got == "early bird");
  CHECK(rig.server.deliveries == 1);
}

}  // namespace
}  // namespace sluice::test
