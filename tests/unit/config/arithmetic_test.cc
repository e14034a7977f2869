// What values amount to together: for each warning a file at the limit, which is silent, and one above, which is told;
// and the page that each names.
#include <fstream>
#include <set>
#include <sstream>

#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

std::string with(std::string_view pool, std::string_view of_route = "", std::string_view before = "",
                 std::string_view of_upstream = "") {
  return concat({before, "\n", listener, upstream, of_upstream, "\npool = { ", pool, " }\n", route, of_route, "\n"});
}
std::string named(std::string_view endpoints, std::string_view pool) {
  return concat({listener, "[[upstream]]\nname = \"app\"\n", endpoints, "\npool = { ", pool, " }\n", route});
}

struct Pair {
  std::string at_the_limit;
  std::string above;
  std::string_view told;
};

std::vector<Pair> pairs() {
  const auto tls = [](std::string_view name) {
    return concat({"[[listener]]\n", name,
                   "address = \"127.0.0.1:1\"\n[listener.tls]\ncertificates = [{ cert = \"a.pem\", key = "
                   "\"a.key\" }]\nticket_keys = \"t\"\n[[route]]\nrespond = { status = 200 }\n"});
  };
  return {
      {with("acquire_timeout = \"5s\""), with("acquire_timeout = \"5001ms\""),
       "test.toml:8:28: warning: acquire_timeout (\"5001ms\") is above \"5s\""},
      {with("acquire_timeout = \"2s\"", "timeout = \"2s\""), with("acquire_timeout = \"2001ms\"", "timeout = \"2s\""),
       "test.toml:11:11: warning: acquire_timeout (\"2001ms\" of upstream \"app\") is above the timeout (\"2s\") of "
       "route \"*\""},
      {with("acquire_timeout = \"3s\"", "timeout = \"2s\"\nwait_budget = \"2s\""),
       with("", "timeout = \"2s\"\nwait_budget = \"2001ms\""),
       "wait_budget (\"2001ms\") is above the timeout (\"2s\") of route \"*\""},
      {with("", "wait_budget = \"5s\""), with("", "wait_budget = \"5001ms\""),
       "wait_budget (\"5001ms\") is above \"5s\""},
      {with("connect_timeout = \"3s\"", "timeout = \"3s\""), with("connect_timeout = \"3001ms\"", "timeout = \"3s\""),
       "connect_timeout (\"3001ms\" of upstream \"app\") is above the timeout (\"3s\") of route \"*\""},
      {with("connect_timeout = \"3s\"", "timeout = \"0\""), with("connect_timeout = \"3s\"", "timeout = \"2s\""),
       "connect_timeout (\"3s\" of upstream \"app\") is above the timeout (\"2s\")"},
      {with("max_lifetime = \"0\""),
       named("endpoints = [\"127.0.0.1:1\", \"app.internal:80\"]", "max_lifetime = \"0\""),
       "with max_lifetime = \"0\" connections to the addresses of a name never end"},
      {named("dns = \"app.internal:80\"", "max_lifetime = \"1ms\""),
       named("dns = \"app.internal:80\"", "max_lifetime = \"0\""), "with max_lifetime = \"0\""},
      {named("srv = \"_http._tcp.app.internal\"", ""),
       named("srv = \"_http._tcp.app.internal\"", "max_lifetime = \"0\""), "with max_lifetime = \"0\""},
      {with("idle_timeout = \"60s\""), with("idle_timeout = \"60001ms\""),
       "pool.idle_timeout (\"60001ms\") is above \"1m\""},
      {with("min_idle = 10", "", "", "server_limit = 10"), with("min_idle = 11", "", "", "server_limit = 10"),
       "pool.min_idle (11) x 1 endpoint x 1 replica = 11 connections that are always open: above server_limit (10)"},
      {named("server_limit = 30\nendpoints = [\"a:1\", \"a:2\", \"a:3\"]", "min_idle = 10"),
       named("server_limit = 29\nendpoints = [\"a:1\", \"a:2\", \"a:3\"]", "min_idle = 10"),
       "pool.min_idle (10) x 3 endpoints x 1 replica = 30 connections"},
      {with("min_idle = 5", "", "[runtime]\nreplicas = 2", "server_limit = 10"),
       with("min_idle = 5", "", "[runtime]\nreplicas = 3", "server_limit = 10"),
       "pool.min_idle (5) x 1 endpoint x 3 replicas = 15 connections"},
      {with("", "timeout = \"20s\""), with("", "timeout = \"20001ms\""),
       "drain.deadline (\"25s\") is shorter than deregister_wait (\"5s\") and the timeout of route \"*\" (\"20001ms\") "
       "together"},
      {with("", "", "[drain]\ndeadline = \"35s\""), with("", "", "[drain]\ndeadline = \"34999ms\""),
       "test.toml:2:12: warning: drain.deadline (\"34999ms\") is shorter"},
      {with("", "timeout = \"18s\"", "[drain]\nderegister_wait = \"7s\""),
       with("", "timeout = \"18s\"", "[drain]\nderegister_wait = \"7001ms\""),
       "is shorter than deregister_wait (\"7001ms\") and the timeout of route \"*\" (\"18s\") together"},
      {tls("name = \"https\"\n"), tls(""), "ticket_keys on a listener without a name"},
  };
}

// As it is in Markdown: the words of a heading in lower case, joined by '-'.
std::set<std::string> anchors_of(const char* name) {
  std::ifstream stream(name);
  REQUIRE_MESSAGE(stream.good(), name);
  std::set<std::string> anchors;
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with("##")) continue;
    std::string anchor;
    for (const char c : line.substr(line.find(' ') + 1)) {
      if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-') anchor += static_cast<char>(std::tolower(c));
      if (c == ' ') anchor += '-';
    }
    anchors.insert(anchor);
  }
  return anchors;
}

TEST_CASE("at the limit silent, above it told, once, with a page that is there") {
  const std::set<std::string> anchors = anchors_of("docs/configuration.md");
  std::set<std::string> named_pages;
  for (const Pair& pair : pairs()) {
    CAPTURE(pair.told);
    CHECK(warnings(pair.at_the_limit) == "");
    const std::string text = warnings(pair.above);
    CHECK_HAS(text, pair.told);
    const std::string_view mark = "see docs/configuration.md#";
    const std::size_t at = text.find(mark);
    REQUIRE(at != std::string::npos);
    CHECK(text.find("warning:") == text.rfind("warning:"));
    const std::string page = text.substr(at + mark.size(), text.find('\n', at) - at - mark.size());
    CHECK_MESSAGE(anchors.contains(page), page);
    named_pages.insert(page);
  }
  CHECK(named_pages.size() == 7);
}

TEST_CASE("each route and each of its upstreams counts, and only where it leads") {
  const std::string two =
      concat({listener, upstream,
              "[[upstream]]\nname = \"slow\"\nendpoints = [\"127.0.0.1:3001\"]\npool = { acquire_timeout = \"4s\" }\n",
              "[[route]]\nname = \"fast\"\npath = \"/a\"\ntimeout = \"2s\"\nupstream = \"app\"\n"});
  const auto split = [&](std::string_view timeout) {
    return concat({two, "[[route]]\nname = \"both\"\ntimeout = \"", timeout,
                   "\"\nsplit = [{ upstream = \"app\" }, { upstream = \"slow\" }]\n"});
  };
  CHECK(warnings(split("4s")) == "");
  CHECK_HAS(warnings(split("3s")),
            "acquire_timeout (\"4s\" of upstream \"slow\") is above the timeout (\"3s\") of route \"both\"");
  CHECK(warnings(with("", "timeout = \"1s\"")) == "");
}

TEST_CASE("what no request waits for is not counted: answers of our own, and a route without a limit") {
  CHECK(warnings(concat({listener, "[[route]]\ntimeout = \"10m\"\nrespond = { status = 200 }\n"})) == "");
  CHECK(warnings(with("", "timeout = \"0\"", "[drain]\ndeadline = \"6s\"")) == "");
}

TEST_CASE("replicas_dns is a name without a port, and stands alone") {
  const auto fleet = [](std::string_view keys) { return with("", "", concat({"[runtime]\n", keys})); };
  CHECK(good(fleet("replicas_dns = \"Sluice.internal\"")).runtime.replicas_dns == "sluice.internal");
  CHECK(good(fleet("replicas_dns = \"\"\nreplicas = 3")).runtime.replicas == 3);
  CHECK_HAS(bad(fleet("replicas_dns = \"a.test\"\nreplicas = 3")), "replicas_dns cannot stand beside replicas");
  for (const char* no : {"a.test:80", "10.0.0.1", "::1", "[::1]"}) {
    CAPTURE(no);
    CHECK_HAS(bad(fleet(concat({"replicas_dns = \"", no, "\""}))), "takes a name whose addresses are counted");
  }
  CHECK_HAS(bad(fleet("replicas_dns = \"*.a.test\"")), "no wildcard");
  CHECK_HAS(bad(fleet("replicas_dns = \"a b\"")), "is a host name");
}

TEST_CASE("replicas and server_limit have bounds") {
  CHECK(good(whole("[runtime]\nreplicas = 100000")).runtime.replicas == 100'000);
  CHECK_HAS(bad(whole("[runtime]\nreplicas = 0")), "replicas must be from 1 to 100000");
  CHECK_HAS(bad(whole("[runtime]\nreplicas = 100001")), "replicas must be from 1 to 100000");
  CHECK(good(with("", "", "", "server_limit = 4294967295")).upstreams[0].server_limit == 4'294'967'295);
  CHECK_HAS(bad(with("", "", "", "server_limit = -1")), "server_limit must be from 0 to 4294967295");
  // The largest product does not wrap round.
  CHECK_HAS(warnings(with("min_idle = 1000000, max_connections = 1000000", "", "[runtime]\nreplicas = 100000",
                          "server_limit = 4294967295")),
            "= 100000000000 connections");
}

}  // namespace
}  // namespace sluice::config
