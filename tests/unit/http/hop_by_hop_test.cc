// Connection lists and what they nominate.
#include "http/hop_by_hop.h"

#include <string>

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::http;

TEST_CASE("Connection options") {
  ConnectionOptions o;
  read_connection("Keep-Alive, upgrade", o);
  CHECK(o.keep_alive);
  CHECK(o.upgrade);
  CHECK(!o.close);
  CHECK(!o.nominates);
  read_connection("x-a,CLOSE", o);
  CHECK(o.close);
  CHECK(o.nominates);
}

TEST_CASE("nominated fields go, but for those an attacker would like to see gone (row 15)") {
  base::Arena arena;
  Fields fields(arena);
  for (const char* name : {"X-A", "x-a", "Via", "Host", "Content-Length", "Transfer-Encoding", "X-Forwarded-For",
                           "X-Forwarded-Any", "Authorization", "Cookie", "X-B"}) {
    fields.add(name, "1");
  }
  CHECK(remove_nominated(fields,
                         "x-A, via,,host, content-length,transfer-encoding, x-forwarded-for, X-FORWARDED-ANY, "
                         "authorization, cookie, not here",
                         100) == 10);
  std::string left;
  for (const Field& f : fields) left += std::string(f.name()) + " ";
  CHECK(left == "Host Content-Length Transfer-Encoding X-Forwarded-For X-Forwarded-Any Authorization Cookie X-B ");
  CHECK(remove_nominated(fields, "a,b,c,x-b", 3) == 3);
  CHECK(fields.find("x-b") != nullptr);      // the fourth was not looked at
}

TEST_CASE("TE and Upgrade lists") {
  CHECK(te_takes_trailers("gzip;q=0.5, Trailers"));
  CHECK(!te_takes_trailers("trailers;q=0, xtrailers"));
  CHECK(upgrade_choice("h2c, WebSocket, foo") == "WebSocket");
  CHECK(upgrade_choice("h2c") == "");
  CHECK(upgrade_choice("TLS/1.0, \"x\"") == "");
}
