// rate_limit of a route: who is admitted, what the others are told, and what a reload keeps.
#include <string>

#include "rig.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;
using metrics::Name;
using sim::Rig;

namespace {

std::string toml(std::string_view limit) {
  return "[[listener]]\naddress = \"127.0.0.1:8080\"\nprotocols = [\"http/1.1\"]\n"
         "[[route]]\nname = \"r\"\nrespond = { body = \"ok\" }\n" +
         std::string(limit);
}

std::string ask(Rig& rig, const char* address = "192.0.2.7", std::string_view more = "") {
  support::ScriptedPeer& client = rig.client(0, address);
  client.send("GET / HTTP/1.1\r\nHost: a.test\r\n" + std::string(more) + "\r\n");
  rig.sim.settle();
  return client.take();
}

bool admitted(Rig& rig, const char* address = "192.0.2.7", std::string_view more = "") {
  return ask(rig, address, more).starts_with("HTTP/1.1 200 ");
}

const std::string two_a_minute = toml("rate_limit = { requests = 2, per = \"60s\" }\n");

}  // namespace

TEST_CASE("who is over the limit gets 429 and is told when to come again; others are served") {
  Rig rig(two_a_minute);
  CHECK(admitted(rig));
  CHECK(admitted(rig));
  const std::string refused = ask(rig);
  CHECK(refused.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
  CHECK(refused.find("retry-after: 30\r\n") != std::string::npos);
  CHECK(refused.find("ratelimit-policy: \"default\";q=2;w=60\r\n") != std::string::npos);
  CHECK(refused.find("ratelimit: \"default\";r=0;t=30\r\n") != std::string::npos);
  CHECK(admitted(rig, "192.0.2.8"));
  rig.sim.run_for(base::seconds(31));
  CHECK(admitted(rig));
  CHECK_FALSE(admitted(rig));
  CHECK(rig.metric(Name::rate_limit_total, {"r", "allowed"}) == 4);
  CHECK(rig.metric(Name::rate_limit_total, {"r", "limited"}) == 2);
  CHECK(rig.metric(Name::rate_limit_total, {"r", "would_limit"}) == 0);
  CHECK(rig.metric(Name::local_replies_total, {"rate_limited"}) == 2);
}

TEST_CASE("a gRPC call is told RESOURCE_EXHAUSTED") {
  Rig rig(two_a_minute);
  for (int i = 0; i < 2; ++i) REQUIRE(admitted(rig));
  const std::string refused = ask(rig, "192.0.2.7", "content-type: application/grpc\r\n");
  CHECK(refused.starts_with("HTTP/1.1 200 "));
  CHECK(refused.find("grpc-status: 8\r\n") != std::string::npos);
}

TEST_CASE("a reload keeps what everybody owes while the limit counts as before, and begins anew when it does not") {
  Rig rig(two_a_minute);
  for (int i = 0; i < 2; ++i) CHECK(admitted(rig));
  rig.reload(two_a_minute + "[[route]]\nname = \"more\"\npath = \"/more\"\nrespond = { status = 204 }\n");
  CHECK_FALSE(admitted(rig));
  rig.reload(toml("rate_limit = { requests = 2, per = \"60s\", dry_run = true }\n"));
  CHECK(admitted(rig));
  CHECK(rig.metric(Name::rate_limit_total, {"r", "would_limit"}) == 1);
  rig.reload(two_a_minute);
  CHECK_FALSE(admitted(rig));
  rig.reload(toml("rate_limit = { requests = 3, per = \"60s\" }\n"));
  for (int i = 0; i < 3; ++i) CHECK(admitted(rig));
  CHECK_FALSE(admitted(rig));
  rig.reload(toml(""));
  CHECK(admitted(rig));
}

TEST_CASE("by a field, a cookie, or for the whole route") {
  Rig rig(toml("rate_limit = { requests = 1, per = \"60s\", key = \"header:X-Key\" }\n"));
  CHECK(admitted(rig, "192.0.2.7", "X-Key: a\r\n"));
  CHECK_FALSE(admitted(rig, "192.0.2.8", "X-Key: a\r\n"));
  CHECK(admitted(rig, "192.0.2.8", "X-Key: b\r\n"));
  CHECK(admitted(rig));
  CHECK_FALSE(admitted(rig, "192.0.2.8"));
  rig.reload(toml("rate_limit = { requests = 1, per = \"60s\", key = \"cookie:session\" }\n"));
  CHECK(admitted(rig, "192.0.2.7", "Cookie: a=b; session=a\r\n"));
  CHECK_FALSE(admitted(rig, "192.0.2.8", "Cookie: session=a\r\n"));
  rig.reload(toml("rate_limit = { requests = 1, per = \"60s\", key = \"route\" }\n"));
  CHECK(admitted(rig, "192.0.2.7"));
  CHECK_FALSE(admitted(rig, "192.0.2.8"));
}

TEST_CASE("who is denied pays nothing") {
  Rig rig(toml("deny = [\"192.0.2.9\"]\nrate_limit = { requests = 1, per = \"60s\", key = \"route\" }\n"));
  CHECK(ask(rig, "192.0.2.9").starts_with("HTTP/1.1 403 "));
  CHECK(admitted(rig));
}
