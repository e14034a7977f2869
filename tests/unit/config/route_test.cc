// Values of routes: hosts, paths, methods, header edits, split, redirect, respond, rate limits.
#include "config/dump.h"
#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

std::string with(std::string_view lines) { return concat({listener, upstream, route, lines, "\n"}); }
std::string doing(std::string_view action) { return concat({listener, upstream, "[[route]]\n", action, "\n"}); }

TEST_CASE("hosts") {
  CHECK(good(with("hosts = [\"Example.COM\", \"*.example.com\", \"10.0.0.1\", \"[::1]\"]")).routes[0].hosts.front() ==
        "example.com");
  CHECK_HAS(bad(with("hosts = [\"a.*.b\"]")), "hosts takes a wildcard only as the whole first label");
  CHECK_HAS(bad(with("hosts = [\"*\"]")), "hosts takes a wildcard only as the whole first label");
  CHECK_HAS(bad(with("hosts = [\"a.b:80\"]")), "hosts is matched without a port");
  CHECK_HAS(bad(with("hosts = [\"a..b\"]")), "hosts has an empty label");
  CHECK_HAS(bad(with("hosts = [\"a.b.\"]")), "hosts must not end in a dot");
  CHECK_HAS(bad(with("hosts = [\"a b\"]")), "hosts is a host name");
  CHECK_HAS(bad(with("hosts = [\"\"]")), "hosts must not be empty");
  const std::string label(63, 'x');
  good(with("hosts = [\"" + label + ".b\"]"));
  CHECK_HAS(bad(with("hosts = [\"" + label + "x.b\"]")), "more than 63 characters");
  const std::string name = label + "." + label + "." + label + "." + std::string(61, 'y');
  good(with("hosts = [\"" + name + "\"]"));
  CHECK_HAS(bad(with("hosts = [\"" + name + "y\"]")), "longer than a DNS name may be");
}

TEST_CASE("paths") {
  CHECK(good(with("path_prefix = \"/api\"")).routes[0].path_match == route::PathMatch::prefix);
  CHECK(good(with("path = \"/a%20b\"")).routes[0].path == "/a%20b");
  CHECK_HAS(bad(with("path = \"api\"")), "path must start with '/'");
  CHECK_HAS(bad(with("path = \"/a b\"")), "path must be visible ASCII");
  CHECK_HAS(bad(with("path_prefix = \"/a?b\"")), "path_prefix is matched without a query");
  CHECK_HAS(bad(with("path_regex = \"^/v[\"")), "path_regex does not compile: missing ]: [");
  CHECK_HAS(bad(with("path_regex = \"\"")), "path_regex must not be empty");
  CHECK_HAS(bad(with("path_regex = \"(a{1000}){1000}\"")), "path_regex does not compile");
  CHECK(good(with("path_regex = \"^/v[0-9]+/\"")).routes[0].path_match == route::PathMatch::regex);
}

TEST_CASE("methods and upgrades") {
  CHECK(good(with("methods = [\"GET\", \"QUERY\", \"x-own\"]")).routes[0].methods.size() == 3);
  CHECK_HAS(bad(with("methods = [\"G T\"]")), "is no method");
  CHECK_HAS(bad(with("methods = [\"CONNECT\"]")), "must not name CONNECT");
  CHECK(good(with("upgrade = [\"WebSocket\"]")).routes[0].upgrade.front() == "websocket");
  CHECK(good(with("upgrade = []")).routes[0].upgrade.empty());
  CHECK_HAS(bad(with("upgrade = [\"a b\"]")), "is no protocol name");
}

TEST_CASE("header matches and edits") {
  const Snapshot s =
      good(with("headers = { X-Canary = \"1\" }\nrequest_headers = { set = { X-A = \"1\" }, add = { X-B = [\"2\", "
                "\"3\"] }, remove = [\"X-C\"] }"));
  CHECK(s.routes[0].headers.front() == route::HeaderValue{"x-canary", "1"});
  CHECK(s.routes[0].request_headers.set.front() == route::HeaderValue{"x-a", "1"});
  REQUIRE(s.routes[0].request_headers.add.size() == 2);
  CHECK(s.routes[0].request_headers.add[1] == route::HeaderValue{"x-b", "3"});
  CHECK(s.routes[0].request_headers.remove == std::vector<std::string>{"x-c"});
  CHECK_HAS(bad(with("request_headers = { set = { \"a b\" = \"1\" } }")), "is no field name");
  CHECK_HAS(bad(with("request_headers = { set = { a = \"x\\r\\ny: z\" } }")), "control character");
  CHECK_HAS(bad(with("request_headers = { set = { a = \" x\" } }")), "must not begin or end with a blank");
  CHECK_HAS(bad(with("request_headers = { set = { a = 1 } }")), "request_headers.set takes values in quotes");
  CHECK_HAS(bad(with("request_headers = { sett = {} }")), "request_headers has no key \"sett\"");
  CHECK_HAS(bad(with("request_headers = { sett = {} }")), "did you mean \"set\"?");
  CHECK_HAS(bad(with("headers = { a = [\"1\"] }")), "headers takes values in quotes");
  for (const char* name :
       {"Connection", "Content-Length", "Transfer-Encoding", "Host", "Upgrade", "TE", "Trailer", "Keep-Alive"}) {
    CAPTURE(name);
    CHECK_HAS(bad(with(concat({"request_headers = { set = { ", name, " = \"x\" } }"}))), "must not edit");
    CHECK_HAS(bad(with(concat({"response_headers = { remove = [\"", name, "\"] }"}))), "must not edit");
  }
  good(with("headers = { Upgrade = \"websocket\" }"));
}

TEST_CASE("split") {
  CHECK_HAS(bad(doing("split = []")), "split needs at least one upstream with a weight above 0");
  CHECK_HAS(bad(doing("split = [{ upstream = \"app\", weight = 0 }]")),
            "split needs at least one upstream with a weight above 0");
  CHECK_HAS(bad(doing("split = [{ upstream = \"app\", weight = 65536 }]")), "split.weight must be from 0 to 65535");
  CHECK_HAS(bad(doing("split = [{ weight = 1 }]")), "split needs upstream");
  CHECK_HAS(bad(doing("split = \"app\"")), "split takes an array of tables");
  CHECK(good(doing("split = [{ upstream = \"app\", weight = 65535 }]")).routes[0].targets[0].weight == 65'535);
}

TEST_CASE("redirect") {
  const Snapshot s = good(doing("redirect = { to = \"https://{host}{path}\" }"));
  CHECK(s.routes[0].action == route::Action::redirect);
  CHECK(s.routes[0].redirect.status == 308);
  CHECK(good(doing("redirect = { to = \"/x\", status = 302 }")).routes[0].redirect.status == 302);
  CHECK_HAS(bad(doing("redirect = { to = \"/x\", status = 304 }")),
            "redirect.status takes status 301, 302, 303, 307 or 308");
  CHECK_HAS(bad(doing("redirect = { to = \"/x\", status = 200 }")), "redirect.status must be from 300 to 399");
  CHECK_HAS(bad(doing("redirect = { to = \"{hots}\" }")),
            "redirect.to knows {host}, {authority}, {path} and {query}, not {hots}");
  const std::pair<std::string_view, std::string_view> slips[] = {
      {"{hots}", "{host}"}, {"{Authority}", "{authority}"}, {"{pth}", "{path}"}, {"{querry}", "{query}"}};
  for (const auto& [wrong, meant] : slips) {
    CHECK_HAS(bad(doing(concat({"redirect = { to = \"https://x/", wrong, "\" }"}))),
              concat({"did you mean \"", meant, "\"?"}));
  }
  CHECK_HAS_NOT(bad(doing("redirect = { to = \"{something}\" }")), "did you mean");
  CHECK_HAS(bad(doing("redirect = { to = \"{host\" }")), "redirect.to has a '{' without a '}'");
  CHECK_HAS(bad(doing("redirect = { to = \"host}\" }")), "redirect.to has a '}' without a '{'");
  CHECK_HAS(bad(doing("redirect = { to = \"\" }")), "redirect.to must not be empty");
  CHECK_HAS(bad(doing("redirect = { to = \"/a b\" }")), "redirect.to holds a blank");
  CHECK_HAS(bad(doing("redirect = { to = \"/a\\r\\nb\" }")), "redirect.to holds a control character");
  CHECK_HAS(bad(doing("redirect = { status = 308 }")), "redirect needs to");
  CHECK_HAS(bad(doing("redirect = \"/x\"")), "redirect takes a table { to = ..., status = ... }");
}

TEST_CASE("respond") {
  const Snapshot s = good(doing("respond = { status = 404, body = \"gone\\n\" }"));
  CHECK(s.routes[0].action == route::Action::respond);
  CHECK(s.routes[0].respond.body == "gone\n");
  CHECK(good(doing("respond = {}")).routes[0].respond.status == 200);
  CHECK_HAS(bad(doing("respond = { status = 199 }")), "respond.status must be from 200 to 599");
  CHECK_HAS(bad(doing("respond = { status = 600 }")), "respond.status must be from 200 to 599");
  CHECK_HAS(bad(doing("respond = { status = 204, body = \"x\" }")), "has a body, which status 204 cannot have");
  const std::string body(1024 * 1024, 'x');
  good(doing("respond = { body = \"" + body + "\" }"));
  CHECK_HAS(bad(doing("respond = { body = \"" + body + "x\" }")), "more than 1 MiB");
}

TEST_CASE("fallback: another upstream or a fixed answer") {
  const auto to = [](std::string_view inner, std::string_view more = "") {
    return with(concat({"fallback = { ", inner, " }\n", more}));
  };
  const std::string spare = "[[upstream]]\nname = \"spare\"\nendpoints = [\"127.0.0.1:3001\"]\n";
  const Snapshot s = good(to("upstream = \"spare\"", spare));
  CHECK(*s.routes[0].fallback == route::Fallback{.upstream = "spare", .upstream_index = 1});
  CHECK(dump(s).find("fallback = { upstream = \"spare\" }") != std::string::npos);
  const Snapshot fixed = good(to("respond = { status = 503, body = \"later\" }"));
  CHECK(*fixed.routes[0].fallback == route::Fallback{.respond = {503, "later"}});
  CHECK(dump(fixed).find("fallback = { respond = { status = 503, body = \"later\" } }") != std::string::npos);
  CHECK_HAS(bad(to("")), "fallback needs one of upstream, respond");
  CHECK_HAS(bad(to("upstream = \"spare\", respond = {}", spare)), "fallback needs one of upstream, respond");
  CHECK_HAS(bad(to("respond = { status = 199 }")), "fallback.respond.status must be from 200 to 599");
  CHECK_HAS(bad(to("upstream = \"spore\"", spare)), "there is no upstream \"spore\"");
  CHECK_HAS(bad(to("upstream = \"spore\"", spare)), "did you mean \"spare\"?");
  CHECK_HAS(warnings(to("upstream = \"app\"")), "fallback to \"app\", which this route asks anyway");
  CHECK_HAS(warnings(doing("respond = {}\nfallback = { respond = {} }")), "fallback is never used");
  CHECK_HAS_NOT(warnings(to("upstream = \"spare\"", spare)), "spare");
}

TEST_CASE("rate limits") {
  const auto limit = [](std::string_view inner) { return with(concat({"rate_limit = { ", inner, " }"})); };
  const Snapshot s = good(limit("requests = 100, key = \"header:X-Key\""), everything());
  CHECK(
      *s.routes[0].rate_limit ==
      route::RateLimit{
          .requests = 100, .per = base::seconds(1), .burst = 100, .key = route::RateKey::header, .key_name = "x-key"});
  const Snapshot by_cookie = good(limit("requests = 1, key = \"cookie:Session\", dry_run = true"));
  CHECK(by_cookie.routes[0].rate_limit->key == route::RateKey::cookie);
  CHECK(by_cookie.routes[0].rate_limit->key_name == "Session");
  CHECK(by_cookie.routes[0].rate_limit->dry_run);
  CHECK(good(limit("requests = 1, key = \"route\"")).routes[0].rate_limit->key == route::RateKey::route);
  CHECK_HAS(bad(limit("requests = 1, key = \"cookie:a b\"")), "is no name of a cookie");
  CHECK_HAS(bad(limit("per = \"1s\""), everything()), "rate_limit needs requests");
  CHECK_HAS(bad(limit("requests = 0"), everything()), "rate_limit.requests must be from 1");
  CHECK_HAS(bad(limit("requests = 1, per = \"0s\""), everything()), "rate_limit.per must be at least");
  CHECK_HAS(bad(limit("requests = 1, key = \"client-ip\""), everything()), "did you mean \"client_ip\"?");
  CHECK(good(limit("requests = 1, cost = \"header:X-Cost\"")).routes[0].rate_limit->cost == "x-cost");
  CHECK(dump(good(limit("requests = 1, cost = \"header:X-Cost\""))).find("cost = \"header:x-cost\"") !=
        std::string::npos);
  CHECK_HAS(bad(limit("requests = 1, cost = \"x-cost\"")), "rate_limit.cost takes cost \"header:NAME\"");
  CHECK_HAS(bad(limit("requests = 1, cost = \"header:\"")), "rate_limit.cost");
}

TEST_CASE("concurrency limits") {
  const auto limit = [](std::string_view inner) { return with(concat({"concurrency_limit = { ", inner, " }"})); };
  CHECK(*good(limit("requests = 20")).routes[0].concurrency_limit == route::ConcurrencyLimit{.requests = 20});
  const Snapshot s = good(limit("requests = 1048574, key = \"cookie:Session\", dry_run = true"));
  CHECK(*s.routes[0].concurrency_limit ==
        route::ConcurrencyLimit{
            .requests = 1'048'574, .key = route::RateKey::cookie, .key_name = "Session", .dry_run = true});
  CHECK(dump(s).find("concurrency_limit = { requests = 1048574, key = \"cookie:Session\", dry_run = true }") !=
        std::string::npos);
  CHECK_HAS(bad(limit("")), "concurrency_limit needs requests");
  CHECK_HAS(bad(limit("requests = 0")), "concurrency_limit.requests must be from 1 to 1048574");
  CHECK_HAS(bad(limit("requests = 1048575")), "concurrency_limit.requests must be from 1 to 1048574");
  CHECK_HAS(bad(limit("requests = 1, key = \"header:a b\"")), "concurrency_limit.key");
}

}  // namespace
}  // namespace sluice::config
