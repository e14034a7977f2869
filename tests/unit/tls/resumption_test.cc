// Session tickets: who resumes where, and which keys open them.
#include "raw.h"
#include "rig.h"
#include "tls/certificate.h"
#include "tls/tickets.h"

#include <openssl/base64.h>

#include <filesystem>

#include <algorithm>
#include <filesystem>
#include <memory>

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

using support::SimLoop;

// One connection of a client with sessions to a server; true if it was resumed.
bool resumes(SimLoop& sim, tls::SessionSlot& slot, const std::shared_ptr<const tls::ServerContext>& server,
             const std::shared_ptr<const tls::ClientContext>& client) {
  Rig rig(sim, {.server = server, .client = client, .sessions = &slot});
  rig.client.send("ping");
  rig.server.send("pong");                         // brings the tickets along
  sim.settle();
  REQUIRE(rig.open());
  CHECK(rig.client.got == "pong");
  CHECK(rig.server.transport->peer().tls_resumed == rig.client.transport->peer().tls_resumed);
  CHECK(rig.server_events.facts[0].resumed == rig.server.transport->peer().tls_resumed);
  return rig.client.transport->peer().tls_resumed;
}

std::string base64(std::string_view bytes) {
  std::string text(200, '\0');
  text.resize(EVP_EncodeBlock(reinterpret_cast<std::uint8_t*>(text.data()),
                              reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
  return text;
}

std::string key_bytes(std::size_t n, char fill) { return std::string(n, fill); }

TEST_CASE("a second connection resumes, each ticket once, and the slot is bounded") {
  SimLoop sim;
  const auto server = server_context(server_options({localhost()}));
  const auto client = client_context(client_options());
  tls::SessionSlot slot;
  CHECK(!resumes(sim, slot, server, client));
  CHECK(slot.size() >= 1);
  const std::size_t after_one = slot.size();
  for (int i = 0; i < 10; ++i) CHECK(resumes(sim, slot, server, client));
  CHECK(slot.size() <= tls::SessionSlot::sessions_max);
  CHECK(slot.size() >= after_one);
  tls::SessionSlot drained;
  CHECK(!resumes(sim, drained, server, client));
  const std::size_t have = drained.size();
  std::vector<std::unique_ptr<Rig>> silent;            // the server says nothing: no new tickets
  for (std::size_t i = 0; i <= have; ++i) {
    silent.push_back(std::make_unique<Rig>(sim, RigOptions{.server = server, .client = client, .sessions = &drained}));
    sim.settle();
    CHECK(silent.back()->client.transport->peer().tls_resumed == (i < have));
  }
}

TEST_CASE("what was learnt under other settings is not used") {
  SimLoop sim;
  const auto server = server_context(server_options({localhost()}));
  tls::SessionSlot slot;
  CHECK(!resumes(sim, slot, server, client_context(client_options())));
  CHECK(slot.size() > 0);
  CHECK(!resumes(sim, slot, server, client_context(client_options())));  // reloaded: another context, other CAs perhaps
}

TEST_CASE("a ticket of one listener, or of one without client certificates, does not resume elsewhere") {
  SimLoop sim;
  const auto keys = certs().write("scope.keys", base64(key_bytes(80, 'k')) + "\n");
  const auto mine = certs().make("scope_client", {.names = {"client"}});
  const auto client = client_context({.ca = certs().ca(), .cert = mine.cert, .key = mine.key});
  auto options = server_options({localhost()});
  options.ticket_keys = keys;
  const auto open_one = server_context(options, {}, nullptr, nullptr, "one");
  const auto open_two = server_context(options, {}, nullptr, nullptr, "two");
  options.client_ca = certs().ca();
  options.client_auth = tls::ClientAuth::required;
  const auto closed = server_context(options, {}, nullptr, nullptr, "one");
  options.client_auth = tls::ClientAuth::optional;
  const auto half = server_context(options, {}, nullptr, nullptr, "one");
  CertFolder others("other CA");
  options.client_ca = certs().write("both_ca.pem", *tls::read_file(certs().ca()) + *tls::read_file(others.ca()));
  const auto other_ca = server_context(options, {}, nullptr, nullptr, "one");
  const std::shared_ptr<const tls::ServerContext> all[] = {open_one, open_two, closed, half, other_ca};
  for (const auto& issued : all) {
    for (const auto& used : all) {
      tls::SessionSlot slot;
      CHECK(!resumes(sim, slot, issued, client));
      CHECK(resumes(sim, slot, used, client) == (issued == used));
    }
  }
}

TEST_CASE("a fleet shares keys: any member resumes, old keys too while they are in the file, and 48-byte keys") {
  SimLoop sim;
  const auto client = client_context(client_options());
  const auto with = [](const std::string& file, const std::string& text) {
    auto options = server_options({localhost()});
    options.ticket_keys = certs().write(file, text);
    return server_context(options);
  };
  for (const std::size_t size : {48u, 80u}) {
    const std::string a = base64(key_bytes(size, 'a'));
    const std::string b = base64(key_bytes(size, 'b'));
    const auto first = with("fleet1.keys", a + "\n");
    const auto second = with("fleet2.keys", "# newest first\r\n\n" + b + "\r\n  " + a + "  \n");
    const auto third = with("fleet3.keys", b);
    tls::SessionSlot slot;
    CHECK(!resumes(sim, slot, first, client));
    CHECK(resumes(sim, slot, second, client));  // opened with the old key, sealed anew with the newest
    tls::SessionSlot next;
    CHECK(!resumes(sim, next, second, client));
    CHECK(resumes(sim, next, third, client));
    tls::SessionSlot old;
    CHECK(!resumes(sim, old, first, client));
    CHECK(!resumes(sim, old, third, client));  // the old key is gone
  }
  const auto binary = with("fleet.bin", key_bytes(80, '\x01'));
  tls::SessionSlot slot;
  CHECK(!resumes(sim, slot, binary, client));
  CHECK(resumes(sim, slot, with("fleet_text.keys", base64(key_bytes(80, '\x01'))), client));
}

TEST_CASE("files of ticket keys that are no such") {
  struct Case {
    std::string text;
    std::uint32_t line;
    const char* message;
  };
  const std::string good = base64(key_bytes(80, 'a'));
  std::string many;
  for (std::size_t i = 0; i < tls::Tickets::keys_max; ++i) many += good + "\n";
  const char* const not_one =
      "not a ticket key: base64 of 48 or 80 bytes is expected (openssl rand -base64 80 | tr -d '\\n')";
  const Case cases[] = {
      {"", 0, "no ticket key in it"},
      {"# nothing\n\n", 0, "no ticket key in it"},
      {good + "\nrubbish\n", 2, not_one},
      {base64(key_bytes(47, 'a')), 1, not_one},
      {base64(key_bytes(49, 'a')), 1, not_one},
      {base64(key_bytes(81, 'a')), 1, not_one},
      {many + good, 65, "too many ticket keys: at most 64"},
      {key_bytes(79, '\x01'), 0, "a binary ticket key has exactly 48 or 80 bytes; several keys are base64, one a line"},
  };
  tls::Findings warnings;
  for (const Case& c : cases) {
    const auto loaded = tls::Tickets::from_file(certs().write("bad.keys", c.text), warnings);
    REQUIRE(!loaded.has_value());
    CHECK(loaded.error().message == c.message);
    CHECK(loaded.error().span.line == c.line);
    CHECK(loaded.error().span.file == certs().path("bad.keys"));
  }
  CHECK(tls::Tickets::from_file(certs().write("many.keys", many), warnings).has_value());
  CHECK(!tls::Tickets::from_file(certs().path("none.keys"), warnings).has_value());
  CHECK(warnings.empty());
  std::filesystem::permissions(certs().path("many.keys"), std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  CHECK(tls::Tickets::from_file(certs().path("many.keys"), warnings).has_value());
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].message.starts_with("everybody can read this key"));
}

TEST_CASE("a ticket key is wiped when it goes") {
  alignas(tls::TicketKey) unsigned char place[sizeof(tls::TicketKey)];
  auto* const key = std::construct_at(reinterpret_cast<tls::TicketKey*>(place));
  key->mac.fill(0x5a);
  key->cipher.fill(0x5a);
  const tls::TicketKey copy = *key;
  CHECK(copy.mac == key->mac);
  CHECK(std::ranges::count(place, 0x5a) >= 64);
  std::destroy_at(key);
  CHECK(std::ranges::count(place, 0x5a) == 0);
}

TEST_CASE("own keys: rotated every hour, and old ones open tickets until the last of them has expired") {
  tls::Tickets tickets(base::hours(12));
  base::Micros now{1'000'000};
  const auto first = tickets.sealing_key(now);
  CHECK(tickets.sealing_key(now + base::Micros(base::minutes(59))).name == first.name);
  now = now + base::Micros(base::hours(1));
  const auto second = tickets.sealing_key(now);
  CHECK(second.name != first.name);
  CHECK(second.mac != first.mac);
  CHECK(second.cipher != first.cipher);
  const auto opened = tickets.opening_key(first.name.data(), now);
  REQUIRE(opened.has_value());
  CHECK(!opened->newest);
  CHECK(opened->key.cipher == first.cipher);
  CHECK(tickets.opening_key(second.name.data(), now)->newest);
  for (int hour = 2; hour <= 13; ++hour) tickets.sealing_key(base::Micros{1'000'000} + base::Micros(base::hours(hour)));
  const base::Micros last =
      base::Micros{1'000'000} + base::Micros(base::hours(13));  // sealed at the end of its hour, plus 12 h
  CHECK(tickets.opening_key(first.name.data(), last).has_value());
  CHECK(!tickets.opening_key(first.name.data(), last + base::Micros{1}).has_value());
  CHECK(tickets.keys() <= 14);
  for (int hour = 14; hour < 200; ++hour)
    tickets.sealing_key(base::Micros{1'000'000} + base::Micros(base::hours(hour)));
  CHECK(tickets.keys() <= 14);
}

TEST_CASE("own keys outlive a reload, but not a restart; lifetime 0 gives no tickets") {
  SimLoop sim;
  const auto client = client_context(client_options());
  const auto first = server_context(server_options({localhost()}));
  const auto reloaded = server_context(server_options({localhost()}), {}, first.get());
  const auto restarted = server_context(server_options({localhost()}));
  tls::SessionSlot slot;
  CHECK(!resumes(sim, slot, first, client));
  CHECK(resumes(sim, slot, reloaded, client));
  tls::SessionSlot other;
  CHECK(!resumes(sim, other, first, client));
  CHECK(!resumes(sim, other, restarted, client));
  auto none = server_options({localhost()});
  none.ticket_lifetime = {0};
  const auto without = server_context(none);
  tls::SessionSlot empty;
  CHECK(!resumes(sim, empty, without, client));
  CHECK(empty.size() == 0);
}

TEST_CASE("TLS 1.2 resumes by tickets as well") {
  SimLoop sim;
  auto options = server_options({localhost()});
  options.min_version = tls::Version::tls12;
  const auto server = server_context(options);
  bssl::UniquePtr<SSL_SESSION> session;
  for (const bool second : {false, true}) {
    Peerless peer(sim, {}, server);
    RawClient raw(sim, peer, [](SSL_CTX& c) { SSL_CTX_set_max_proto_version(&c, TLS1_2_VERSION); });
    if (session) SSL_set_session(&raw.ssl(), session.get());
    raw.step();
    REQUIRE(raw.open());
    CHECK((SSL_session_reused(&raw.ssl()) == 1) == second);
    CHECK(peer.user.transport->peer().tls_resumed == second);
    session.reset(SSL_get1_session(&raw.ssl()));
  }
}

}  // namespace
}  // namespace sluice::test
