// Whose bucket a request draws on: keys of addresses, fields and cookies.
#include "exchange/admission.h"
#include "exchange/request_key.h"

#include "base/arena.h"

#include <doctest/doctest.h>

namespace sluice::exchange {
namespace {

using route::RateKey;

std::string_view key_of(const Client& client) {
  static base::Arena arena;
  static const http::Fields none(arena);
  return limit_key(RateKey::client_ip, {}, client, none);
}

Client from(const char* address) { return {.address = *net::Address::parse_ip(address, 1234)}; }

std::string key_of(const char* address) { return std::string(key_of(from(address))); }

TEST_CASE("a client is its address, one of version 6 its /64, whatever the port") {
  CHECK(key_of("192.0.2.1") == key_of("192.0.2.1"));
  CHECK(key_of("192.0.2.1") != key_of("192.0.2.2"));
  CHECK(key_of("::ffff:192.0.2.1") == key_of("192.0.2.1"));
  CHECK(key_of("2001:db8:0:1::1") == key_of("2001:db8:0:1:ffff::2"));
  CHECK(key_of("2001:db8:0:1::1") != key_of("2001:db8:0:2::1"));
}

TEST_CASE("clients that nobody knows are one, and no address is theirs") {
  Client unknown;
  unknown.unknown = true;
  CHECK(key_of(unknown) == key_of(Client{}));
  CHECK(key_of(unknown) != key_of("0.0.0.0"));
  CHECK(key_of(unknown) != key_of("::"));
}

TEST_CASE("a field, a cookie, or the route") {
  base::Arena arena;
  http::Fields fields(arena);
  fields.add("x-key", "k1");
  fields.add("cookie", "a=1; session=s1 ;sessions=no");
  fields.add("cookie", "other=2");
  const Client client = from("192.0.2.1");
  CHECK(limit_key(RateKey::header, "x-key", client, fields) == "k1");
  CHECK(limit_key(RateKey::header, "x-none", client, fields).empty());
  CHECK(limit_key(RateKey::cookie, "session", client, fields) == "s1");
  CHECK(limit_key(RateKey::route, {}, client, fields).empty());
  CHECK(cookie_value(fields, "other") == "2");
  CHECK(cookie_value(fields, "sess").empty());
  CHECK(cookie_value(fields, "Session").empty());
}

TEST_CASE("cookies that are malformed end the search, not the process") {
  for (const char* text : {"", ";", ";;;", "=", "a", "a;", " ; a", "a=;"}) {
    base::Arena arena;
    http::Fields fields(arena);
    fields.add("cookie", text);
    CHECK(cookie_value(fields, "a").empty());
    CHECK(cookie_value(fields, "b").empty());
  }
}

}  // namespace
}  // namespace sluice::exchange
