// Forwarding fields as pure functions: who is believed, what is made anew, which address is the client's.
#include "exchange/forwarded.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "route/rewrite.h"
#include "support/held.h"
#include "support/random.h"

using namespace sluice;
using exchange::Client;
using exchange::ForwardedBy;
using exchange::Trust;
using http::Token;

namespace {

net::Address ip(const char* text) { return *net::Address::parse_ip(text, 4000); }

struct Rig {
  base::Arena arena;
  http::Fields fields{arena};
  std::vector<net::Cidr> trusted{*net::Cidr::parse("10.0.0.0/8")};
  exchange::Random random{7};
  ForwardedBy by = ForwardedBy::x_forwarded_for;

  Client find(const char* peer) { return exchange::find_client(ip(peer), trusted, by, fields); }
  // "?" = unknown
  std::string client(const char* peer = "10.0.0.1") {
    const Client found = find(peer);
    CHECK(found.unknown != found.address.is_ip());
    return found.unknown ? "?" : found.address.ip_text();
  }
  exchange::RequestIds forward(const char* peer) {
    const Client found = find(peer);
    const net::Address remote = ip(peer);
    exchange::ForwardFacts facts{remote, found, by, "https", "example.com", http::Version::http_11, "me"};
    return exchange::add_forwarding(fields, facts, random);
  }
};
constexpr const char* stranger = "192.0.2.1";
constexpr const char* balancer = "10.1.1.1";

std::string client_by(ForwardedBy by, const std::string& value) {
  Rig rig;
  rig.by = by;
  rig.fields.add(by == ForwardedBy::forwarded ? "Forwarded" : "X-Forwarded-For", value);
  return rig.client();
}

}  // namespace

TEST_CASE("from an untrusted peer the headers say nothing") {
  for (const ForwardedBy by : {ForwardedBy::x_forwarded_for, ForwardedBy::forwarded}) {
    Rig rig;
    rig.by = by;
    rig.fields.add("x-forwarded-for", "1.2.3.4");
    rig.fields.add("forwarded", "for=1.2.3.4");
    CHECK(rig.client(stranger) == stranger);
    CHECK(rig.find(stranger).peer == Trust::no);
  }
}

TEST_CASE("the rightmost untrusted address is the client") {
  Rig rig;
  rig.fields.add("x-forwarded-for", "6.6.6.6, 1.2.3.4");
  rig.fields.add("x-forwarded-for", "10.9.9.9");
  CHECK(rig.client() == "1.2.3.4");
  CHECK(rig.find("10.0.0.1").peer == Trust::yes);
  CHECK(rig.find("10.0.0.1").address.port() == 0);
}

TEST_CASE("X-Forwarded-For: what is an address, and what makes the client unknown") {
  const struct {
    std::string value;
    std::string client;
  } cases[] = {
      {"10.2.2.2, 10.3.3.3", "10.2.2.2"},                    // trusted to the far end
      {"", "10.0.0.1"},                                      // nothing is said: the proxy asks for itself
      {" , ,\t,", "10.0.0.1"},
      {"1.2.3.4,,", "1.2.3.4"},
      {"1.2.3.4:80", "1.2.3.4"},
      {"1.2.3.4:_p", "1.2.3.4"},
      {"2001:db8::1", "2001:db8::1"},
      {"[2001:db8::1]", "2001:db8::1"},
      {"[2001:db8::1]:80", "2001:db8::1"},
      {"::ffff:1.2.3.4", "1.2.3.4"},
      {"::ffff:10.2.2.2", "10.2.2.2"},
      {"1.2.3.4, unknown, 10.3.3.3", "?"},
      {"1.2.3.4, _hidden", "?"},
      {"unknown, 1.2.3.4", "1.2.3.4"},                       // nobody asked so far
      {"nonsense", "?"},
      {"999.1.1.1", "?"},
      {"1.2.3.4:", "?"},
      {"1.2.3.4:x", "?"},
      {"1.2.3.4:65536", "?"},
      {"1.2.3.4:000080", "?"},
      {":1.2.3.4", "?"},
      {"[1.2.3.4", "?"},
      {"1.2.3.4]:80", "?"},
      {"2001:db8::1]:80", "?"},
      {"for=1.2.3.4", "?"},
      {"\"1.2.3.4\"", "?"},
      {"1.2.3.4 5.6.7.8", "?"},
      {"\", 203.0.113.9", "203.0.113.9"},                    // the client's open quote, the balancer's entry
      {"\"6.6.6.6, 203.0.113.9", "203.0.113.9"},
      {"6.6.6.6, \", 203.0.113.9, 10.3.3.3", "203.0.113.9"},
      {"6.6.6.6, \", 10.3.3.3", "?"},
  };
  for (const auto& [value, client] : cases) {
    CAPTURE(value);
    CHECK(client_by(ForwardedBy::x_forwarded_for, value) == client);
  }
}

TEST_CASE("Forwarded: what is an element, and what makes the client unknown") {
  const struct {
    std::string value;
    std::string client;
  } cases[] = {
      {"for=1.2.3.4", "1.2.3.4"},
      {"FOR=\"[2001:db8::1]:99\";proto=https", "2001:db8::1"},
      {"proto=https; for=1.2.3.4:80 ;by=_me", "1.2.3.4"},
      {"for=6.6.6.6, for=1.2.3.4;host=\"a\\\"b\", for=10.3.3.3", "1.2.3.4"},
      {";;for=1.2.3.4;", "1.2.3.4"},
      {"", "10.0.0.1"},
      {"for=unknown", "?"},
      {"for=_hidden", "?"},
      {"proto=https", "?"},                                   // says nothing of whom
      {"1.2.3.4", "?"},
      {"for=1.2.3.4;for=6.6.6.6", "?"},
      {"for=\"1.2.3.4", "?"},
      {"for=\"1.2.3.4\"x", "?"},
      {"for=\"1.2.3.4\\", "?"},
      {"for =1.2.3.4", "?"},
      {"x=\", for=203.0.113.9", "203.0.113.9"},
      {"for=\", for=\"[2001:db8::9]\";host=\"h\"", "2001:db8::9"},
      {"for=203.0.113.9;host=\"a,for=6.6.6.6\"", "?"},        // nothing that a Host can hold becomes an element
      {"for=203.0.113.9;host=\"a,for=6.6.6.6;x=\"", "?"},
  };
  for (const auto& [value, client] : cases) {
    CAPTURE(value);
    CHECK(client_by(ForwardedBy::forwarded, value) == client);
  }
}

TEST_CASE("only the field that trusted proxies write decides") {
  Rig rig;
  rig.fields.add("x-forwarded-for", "1.2.3.4");
  rig.fields.add("forwarded", "for=6.6.6.6");
  CHECK(rig.client() == "1.2.3.4");
  rig.by = ForwardedBy::forwarded;
  CHECK(rig.client() == "6.6.6.6");
  rig.fields.remove(Token::forwarded);
  CHECK(rig.client() == "10.0.0.1");
}

TEST_CASE("a chain of trusted hops is walked so far and no farther") {
  std::string chain = "1.2.3.4";
  for (uint32_t i = 1; i < exchange::hops_max; ++i) chain += ", 10.0.0.2";
  CHECK(client_by(ForwardedBy::x_forwarded_for, chain) == "1.2.3.4");
  CHECK(client_by(ForwardedBy::x_forwarded_for, chain + ", 10.0.0.2") == "?");
}

TEST_CASE("who is let in: deny wins, and an unknown client is in every deny list and in no allow list") {
  const std::vector<net::Cidr> none;
  const std::vector<net::Cidr> some{*net::Cidr::parse("1.2.3.0/24")};
  const std::vector<net::Cidr> all{*net::Cidr::parse("0.0.0.0/0"), *net::Cidr::parse("::/0")};
  const Client known{ip("1.2.3.4"), Trust::yes, false};
  const Client other{ip("5.6.7.8"), Trust::yes, false};
  const Client unknown{net::Address(), Trust::yes, true};
  const Client local{};                                       // the peer of a Unix socket
  CHECK(exchange::is_admitted(known, none, some));
  CHECK(!exchange::is_admitted(known, some, some));
  CHECK(!exchange::is_admitted(other, none, some));
  CHECK(exchange::is_admitted(other, some, std::nullopt));
  CHECK(exchange::is_admitted(unknown, none, std::nullopt));
  CHECK(!exchange::is_admitted(unknown, some, std::nullopt));
  CHECK(!exchange::is_admitted(unknown, none, all));
  CHECK(exchange::is_admitted(local, some, std::nullopt));
  CHECK(!exchange::is_admitted(local, none, all));
}

TEST_CASE("claims of an untrusted client are dropped and made anew") {
  Rig rig;
  rig.fields.add("X-Forwarded-For", "9.9.9.9");
  rig.fields.add("X-Forwarded-Proto", "gopher");
  rig.fields.add("X-Forwarded-Prefix", "/admin");
  rig.fields.add("X-Real-IP", "9.9.9.9");
  rig.fields.add("Forwarded", "for=9.9.9.9");
  rig.fields.add("X-Request-Id", "mine");
  rig.forward(stranger);
  CHECK(rig.fields.value(Token::x_forwarded_for) == "192.0.2.1");
  CHECK(rig.fields.value(Token::x_forwarded_proto) == "https");
  CHECK(rig.fields.value(Token::x_forwarded_host) == "example.com");
  CHECK(rig.fields.value(Token::forwarded) == "for=192.0.2.1;host=\"example.com\";proto=https");
  CHECK(rig.fields.value(Token::via) == "1.1 me");
  CHECK(rig.fields.find("x-forwarded-prefix") == nullptr);
  CHECK(!rig.fields.has(Token::x_real_ip));
  CHECK(rig.fields.value(Token::x_request_id).size() == 32);
}

TEST_CASE("a trusted peer's claims are kept and appended to") {
  Rig rig;
  rig.fields.add("X-Forwarded-For", "1.2.3.4");
  rig.fields.add("X-Forwarded-Proto", "http");
  rig.fields.add("X-Request-Id", "abc");
  rig.fields.add("Via", "1.1 cdn");
  const auto ids = rig.forward(balancer);
  CHECK(rig.fields.value(Token::x_forwarded_for) == "1.2.3.4, 10.1.1.1");
  CHECK(rig.fields.value(Token::x_forwarded_proto) == "http");
  CHECK(rig.fields.value(Token::via) == "1.1 cdn, 1.1 me");
  CHECK(ids.request_id == "abc");
}

TEST_CASE("the field that is not believed is made anew and tells the same client") {
  Rig rig;
  rig.fields.add("X-Forwarded-For", "1.2.3.4");
  rig.fields.add("X-Forwarded-Prefix", "/app");
  rig.fields.add("Forwarded", "for=6.6.6.6");
  rig.fields.add("X-Real-IP", "6.6.6.6");
  rig.forward(balancer);
  CHECK(rig.fields.value(Token::forwarded) == "for=1.2.3.4, for=10.1.1.1;host=\"example.com\";proto=https");
  CHECK(rig.fields.value(Token::x_real_ip) == "1.2.3.4");
  CHECK(rig.fields.find("x-forwarded-prefix") != nullptr);
}

TEST_CASE("forwarded_by = forwarded: the X-Forwarded family is dropped and made of what Forwarded says") {
  Rig rig;
  rig.by = ForwardedBy::forwarded;
  rig.fields.add("X-Forwarded-For", "6.6.6.6");
  rig.fields.add("X-Forwarded-Proto", "gopher");
  rig.fields.add("X-Forwarded-Port", "666");
  rig.fields.add("X-Forwarded-Prefix", "/admin");
  rig.fields.add("Forwarded", "for=\"[2001:db8::1]\";proto=HTTP;host=\"first.test\"");
  rig.forward(balancer);
  CHECK(rig.fields.value(Token::x_forwarded_for) == "2001:db8::1, 10.1.1.1");
  CHECK(rig.fields.value(Token::x_forwarded_proto) == "http");
  CHECK(rig.fields.value(Token::x_forwarded_host) == "first.test");
  CHECK(!rig.fields.has(Token::x_forwarded_port));
  CHECK(rig.fields.find("x-forwarded-prefix") == nullptr);
  CHECK(rig.fields.value(Token::forwarded) ==
        "for=\"[2001:db8::1]\";proto=HTTP;host=\"first.test\", for=10.1.1.1;host=\"example.com\";proto=https");
}

TEST_CASE("an unknown client is told as unknown") {
  Rig rig;
  rig.fields.add("X-Forwarded-For", "_hidden");
  rig.fields.add("X-Real-IP", "6.6.6.6");
  rig.forward(balancer);
  CHECK(rig.fields.value(Token::x_forwarded_for) == "_hidden, 10.1.1.1");
  CHECK(rig.fields.value(Token::forwarded) == "for=unknown, for=10.1.1.1;host=\"example.com\";proto=https");
  CHECK(!rig.fields.has(Token::x_real_ip));
  Rig other;
  other.by = ForwardedBy::forwarded;
  other.fields.add("Forwarded", "for=_hidden");
  other.forward(balancer);
  CHECK(other.fields.value(Token::x_forwarded_for) == "unknown, 10.1.1.1");
}

TEST_CASE("traceparent: a valid one passes, others are replaced with their tracestate") {
  const std::string good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  Rig rig;
  rig.fields.add("traceparent", good);
  rig.fields.add("tracestate", "a=b");
  CHECK(rig.forward(stranger).trace_id == "0af7651916cd43dd8448eb211c80319c");
  CHECK(rig.fields.value(Token::tracestate) == "a=b");
  for (const std::string& bad :
       {std::string("00-00000000000000000000000000000000-b7ad6b7169203331-01"), good + "x", good.substr(1),
        std::string("ff") + good.substr(2), std::string("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}) {
    Rig other;
    other.fields.add("traceparent", bad);
    other.fields.add("tracestate", "a=b");
    other.forward(stranger);
    CHECK(exchange::valid_traceparent(other.fields.value(Token::traceparent)));
    CHECK(other.fields.value(Token::traceparent) != bad);
    CHECK(!other.fields.has(Token::tracestate));
  }
}

TEST_CASE("a loop: our pseudonym ten times over all Via fields, or more than 20 members there") {
  const auto ways = [](uint32_t ours, uint32_t others) {
    Rig rig;
    for (uint32_t i = 0; i < ours; ++i) rig.fields.add("Via", "1.1 me (comment), ,");
    std::string line;
    for (uint32_t i = 0; i < others; ++i) line += ",1.0 other, ";
    rig.fields.add("Via", rig.arena.copy(line));
    return exchange::is_loop(rig.fields, "me");
  };
  CHECK(!ways(0, 0));
  CHECK(!ways(exchange::loop_limit - 1, 0));
  CHECK(ways(exchange::loop_limit, 0));
  CHECK(!ways(0, exchange::via_members_max));
  CHECK(ways(0, exchange::via_members_max + 1));
  CHECK(!ways(9, exchange::via_members_max - 9));
  CHECK(ways(9, exchange::via_members_max - 8));
}

TEST_CASE("a quote that a client left open in Via hides nothing behind it") {
  for (const char* const odd : {"1.1 \"x", "1.1 x (a \\\"", "\"", "1.1 a \"b\\"}) {
    Rig rig;
    rig.fields.add("Via", odd);
    for (uint32_t i = 0; i < exchange::loop_limit; ++i) {
      CHECK(!exchange::is_loop(rig.fields, "me"));
      rig.forward(stranger);
    }
    CHECK(exchange::is_loop(rig.fields, "me"));
  }
}

// ---- what it costs (row 49) --------------------------------------------------------------------------------------

namespace {

// A head as a session would have copied it; `raw` are its bytes as HTTP/1 counts them.
size_t copy_into(http::Fields& fields, const std::vector<std::pair<std::string, std::string>>& lines) {
  size_t raw = 0;
  for (const auto& [name, value] : lines) {
    fields.add(fields.arena().copy(name), fields.arena().copy(value));
    raw += name.size() + value.size() + 4;
  }
  return raw;
}

}  // namespace

TEST_CASE("many fields become one list in their order, and cost their bytes once more") {
  Rig rig;
  std::vector<std::pair<std::string, std::string>> lines;
  std::string list;
  for (int i = 0; i < 98; ++i) {
    lines.emplace_back("via", i % 10 == 9 ? "" : "1.1 " + std::string(600, static_cast<char>('a' + i % 26)));
    if (!lines.back().second.empty()) list += lines.back().second + ", ";
  }
  const size_t raw = copy_into(rig.fields, lines);
  rig.forward("10.1.1.1");
  CHECK(rig.fields.value(Token::via) == list + "1.1 me");
  CHECK(rig.arena.bytes_held() <= 2 * raw + 16 * 1024);
}

TEST_CASE("whatever a head is made of, with its edits it holds at most four times its bytes and 16 KiB") {
  constexpr const char* names[] = {
      "via",          "x-forwarded-for", "forwarded",  "x-forwarded-host", "x-forwarded-proto",
      "x-request-id", "traceparent",     "tracestate", "cookie",           "x-a"};
  route::HeaderEdits edits;
  edits.remove = {"via"};
  edits.set = {{"x-set", "1"}};
  edits.add = {{"x-add", "2"}};
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    support::Random random(seed);
    Rig rig;
    std::vector<std::pair<std::string, std::string>> lines;
    size_t left = random.between(0, 64'000);
    const size_t usual = random.one_in(2) ? 650 : random.between(1, 20'000);
    const char* const favourite = names[random.below(std::size(names))];
    while (lines.size() < 100 && left > 0) {
      const size_t n = std::min(left, random.one_in(4) ? random.below(5) : usual);
      lines.emplace_back(random.one_in(3) ? names[random.below(std::size(names))] : favourite,
                         std::string(n, random.one_in(9) ? ',' : 'v'));
      left -= std::max<size_t>(n, 1);
    }
    size_t raw = copy_into(rig.fields, lines);
    const std::string_view authority = rig.arena.copy(std::string(left, 'h'));
    raw += authority.size();
    rig.by = random.one_in(2) ? ForwardedBy::forwarded : ForwardedBy::x_forwarded_for;
    const char* const peer = random.one_in(3) ? "192.0.2.1" : "10.1.1.1";
    const Client client = rig.find(peer);
    const net::Address at = ip(peer);
    const exchange::ForwardFacts facts{at, client, rig.by, "https", authority, http::Version::http_11, "me"};
    exchange::add_forwarding(rig.fields, facts, rig.random);
    route::edit(rig.fields, edits);
    CHECK(rig.arena.bytes_held() <= support::held_max(raw));
  }
}
