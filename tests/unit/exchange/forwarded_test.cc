// Forwarding fields as pure functions: who is believed, what is made anew, which address is the client's.
#include "exchange/forwarded.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace sluice;
using exchange::find_client;
using exchange::Trust;
using http::Token;

namespace {

net::Address ip(const char* text) { return *net::Address::parse_ip(text, 4000); }

struct Rig {
  base::Arena arena;
  http::Fields fields{arena};
  std::vector<net::Cidr> trusted{*net::Cidr::parse("10.0.0.0/8")};
  exchange::Random random{7};
  exchange::RequestIds forward(Trust trust) {
    exchange::ForwardFacts facts{ip("10.1.1.1"), trust, "https", "example.com", http::Version::http_11, "me"};
    return exchange::add_forwarding(fields, facts, random);
  }
};

}  // namespace

TEST_CASE("from an untrusted peer the headers say nothing") {
  Rig rig;
  rig.fields.add("x-forwarded-for", "1.2.3.4");
  const auto client = find_client(ip("192.0.2.1"), rig.trusted, rig.fields);
  CHECK(client.address.ip_text() == "192.0.2.1");
  CHECK(client.peer == Trust::no);
}

TEST_CASE("the rightmost untrusted address is the client") {
  Rig rig;
  rig.fields.add("x-forwarded-for", "6.6.6.6, 1.2.3.4");
  rig.fields.add("x-forwarded-for", "10.9.9.9");
  CHECK(find_client(ip("10.0.0.1"), rig.trusted, rig.fields).address.ip_text() == "1.2.3.4");
}

TEST_CASE("a chain of trusted addresses ends at its far end") {
  Rig rig;
  rig.fields.add("x-forwarded-for", "10.2.2.2, 10.3.3.3");
  CHECK(find_client(ip("10.0.0.1"), rig.trusted, rig.fields).address.ip_text() == "10.2.2.2");
}

TEST_CASE("what is no address ends the walk at the hop that said it") {
  Rig rig;
  rig.fields.add("x-forwarded-for", "1.2.3.4, unknown, 10.3.3.3");
  CHECK(find_client(ip("10.0.0.1"), rig.trusted, rig.fields).address.ip_text() == "10.3.3.3");
}

TEST_CASE("Forwarded wins over X-Forwarded-For, and a disagreement is seen") {
  Rig rig;
  rig.fields.add("x-forwarded-for", "1.2.3.4");
  rig.fields.add("forwarded", "for=\"[2001:db8::1]:99\";proto=https");
  const auto client = find_client(ip("10.0.0.1"), rig.trusted, rig.fields);
  CHECK(client.address.ip_text() == "2001:db8::1");
  CHECK(client.disagree);
}

TEST_CASE("claims of an untrusted client are dropped and made anew") {
  Rig rig;
  rig.fields.add("X-Forwarded-For", "9.9.9.9");
  rig.fields.add("X-Forwarded-Proto", "gopher");
  rig.fields.add("X-Forwarded-Prefix", "/admin");
  rig.fields.add("X-Real-IP", "9.9.9.9");
  rig.fields.add("Forwarded", "for=9.9.9.9");
  rig.fields.add("X-Request-Id", "mine");
  rig.forward(Trust::no);
  CHECK(rig.fields.value(Token::x_forwarded_for) == "10.1.1.1");
  CHECK(rig.fields.value(Token::x_forwarded_proto) == "https");
  CHECK(rig.fields.value(Token::x_forwarded_host) == "example.com");
  CHECK(rig.fields.value(Token::forwarded) == "for=10.1.1.1;host=\"example.com\";proto=https");
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
  const auto ids = rig.forward(Trust::yes);
  CHECK(rig.fields.value(Token::x_forwarded_for) == "1.2.3.4, 10.1.1.1");
  CHECK(rig.fields.value(Token::x_forwarded_proto) == "http");
  CHECK(rig.fields.value(Token::via) == "1.1 cdn, 1.1 me");
  CHECK(ids.request_id == "abc");
}

TEST_CASE("traceparent: a valid one passes, others are replaced with their tracestate") {
  const std::string good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  Rig rig;
  rig.fields.add("traceparent", good);
  rig.fields.add("tracestate", "a=b");
  CHECK(rig.forward(Trust::no).trace_id == "0af7651916cd43dd8448eb211c80319c");
  CHECK(rig.fields.value(Token::tracestate) == "a=b");
  for (const std::string& bad :
       {std::string("00-00000000000000000000000000000000-b7ad6b7169203331-01"), good + "x", good.substr(1),
        std::string("ff") + good.substr(2), std::string("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}) {
    Rig other;
    other.fields.add("traceparent", bad);
    other.fields.add("tracestate", "a=b");
    other.forward(Trust::no);
    CHECK(exchange::valid_traceparent(other.fields.value(Token::traceparent)));
    CHECK(other.fields.value(Token::traceparent) != bad);
    CHECK(!other.fields.has(Token::tracestate));
  }
}

TEST_CASE("our pseudonym in Via is counted over all fields") {
  Rig rig;
  rig.fields.add("Via", "1.1 me, 1.0 other, 2.0 me (comment)");
  rig.fields.add("Via", "1.1 me");
  CHECK(exchange::times_in_via(rig.fields, "me") == 3);
  CHECK(exchange::times_in_via(rig.fields, "m") == 0);
}

TEST_CASE("a quote that a client left open in Via hides nothing behind it") {
  for (const char* const odd : {"1.1 \"x", "1.1 x (a \\\"", "\"", "1.1 a \"b\\"}) {
    Rig rig;
    rig.fields.add("Via", odd);
    rig.forward(Trust::no);
    CHECK(exchange::times_in_via(rig.fields, "me") == 1);
  }
}
