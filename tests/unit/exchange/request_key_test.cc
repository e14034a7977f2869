// What a request is told apart by, for ring_hash; the keys of limits are in admission_test.cc.
#include "exchange/request_key.h"

#include "base/arena.h"

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::exchange;
using upstream::HashOn;

TEST_CASE("a query parameter: the first of that name, as it was sent") {
  CHECK(query_value("/p?user=7", "user") == "7");
  CHECK(query_value("/p?a=1&user=x%20y&user=2", "user") == "x%20y");
  CHECK(query_value("http://h/p?superuser=1&user=3#user=4", "user") == "3");
  for (const char* none : {"/p", "/p?", "/p?user", "/p?user=", "/p?User=1", "/user=1", "/p?a=user=1", "/p?&&"}) {
    CAPTURE(none);
    CHECK(query_value(none, "user").empty());
  }
}

TEST_CASE("a request without what is named has no key; the same value is the same key") {
  base::Arena arena;
  http::Head head(arena);
  head.target = "/p?user=7";
  head.fields.add("x-user", "7");
  Client client;
  upstream::UpstreamOptions options;
  options.hash_on = HashOn::query;
  options.hash_name = "user";
  CHECK(ring_key(options, client, head, "/p") == 0);  // another balance
  options.balance = upstream::Balance::ring_hash;
  const uint64_t key = ring_key(options, client, head, "/p");
  CHECK(key != 0);
  options.hash_on = HashOn::header;
  options.hash_name = "x-user";
  CHECK(ring_key(options, client, head, "/p") == key);
  options.hash_name = "x-none";
  CHECK(ring_key(options, client, head, "/p") == 0);
  options.hash_on = HashOn::client_ip;
  CHECK(ring_key(options, client, head, "/p") == 0);  // nobody knows it
  client.address = *net::Address::parse("10.0.0.1:80");
  const uint64_t one = ring_key(options, client, head, "/p");
  client.address = *net::Address::parse("10.0.0.1:81");
  CHECK(ring_key(options, client, head, "/p") == one);
  options.hash_on = HashOn::path;
  CHECK(ring_key(options, client, head, "/p") != ring_key(options, client, head, "/q"));
}

}  // namespace
