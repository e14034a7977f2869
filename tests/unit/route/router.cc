// The router: choice of host, file order, conditions, ambiguous paths, and agreement with a naive model over thousands
// of routes.
#include "route/router.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <random>
#include <string>
#include <thread>

#include "route/path.h"
#include "route/regex.h"
#include "route/rewrite.h"
#include "support/count_allocations.h"
#include "support/origin_readings.h"

#include <doctest/doctest.h>

using namespace sluice;  // NOLINT: a test
using route::HostMatch;
using route::Match;
using route::PathMatch;
using route::Query;
using route::RouteOptions;
using route::Router;

namespace {

RouteOptions on(std::vector<std::string> hosts, PathMatch match = PathMatch::any, std::string path = "") {
  RouteOptions r;
  r.hosts = std::move(hosts);
  r.path_match = match;
  r.path = std::move(path);
  return r;
}
RouteOptions prefix(std::string path) { return on({}, PathMatch::prefix, std::move(path)); }
RouteOptions exact(std::string path) { return on({}, PathMatch::exact, std::move(path)); }
RouteOptions regex(std::string path) { return on({}, PathMatch::regex, std::move(path)); }

class Table {
 public:
  explicit Table(std::vector<RouteOptions> routes) : routes_(std::move(routes)) {
    auto built = Router::build(routes_);
    REQUIRE(built.has_value());
    router_ = std::move(*built);
  }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  Match match(const Query& q) { return router_->match(q, arena_); }
  // -1: no route, -2: ambiguous.
  int find(std::string_view authority, std::string_view target) {
    Query q;
    q.authority = authority;
    q.target = target;
    q.method_text = "GET";
    return number(match(q));
  }
  int find(std::string_view target) { return find("", target); }
  static int number(const Match& m) {
    if (m.ambiguous) return -2;
    return m.route == nullptr ? -1 : static_cast<int>(m.index);
  }

 private:
  std::vector<RouteOptions> routes_;
  std::unique_ptr<const Router> router_;
  base::Arena arena_;
};

}  // namespace

// A reload loads on a thread of its own.
TEST_CASE("a router outlives the thread that built it, and dies on another") {
  std::unique_ptr<const Router> router;
  const std::vector<RouteOptions> routes{on({"a.com"}), prefix("/b"), exact("/" + std::string(3000, 'c'))};
  std::thread([&] { router = std::move(*Router::build(routes)); }).join();
  base::Arena arena;
  CHECK(router->match({.method_text = "GET", .authority = "a.com", .target = "/"}, arena).index == 0);
  CHECK(router->match({.method_text = "GET", .target = routes[2].path}, arena).index == 2);
}

TEST_CASE("no route at all") {
  Table t({});
  CHECK(t.find("a.com", "/") == -1);
}

TEST_CASE("hosts by specificity: exact, longest wildcard, any") {
  Table t({on({}), on({"*.com"}), on({"*.example.com"}), on({"www.example.com"}),
           on({"*.b.example.com", "example.com"}), on({"[::1]"})});
  CHECK(t.find("www.example.com", "/") == 3);
  CHECK(t.find("WWW.Example.COM.:8443", "/") == 3);
  CHECK(t.find("x.example.com", "/") == 2);
  CHECK(t.find("y.x.example.com", "/") == 2);
  CHECK(t.find("a.b.example.com", "/") == 4);
  CHECK(t.find("b.example.com", "/") == 2);  // a wildcard stands for one or more labels
  CHECK(t.find("example.com", "/") == 4);
  CHECK(t.find("other.com", "/") == 1);
  CHECK(t.find("com", "/") == 0);
  CHECK(t.find("xexample.com", "/") == 1);
  CHECK(t.find("[::1]:80", "/") == 5);
  CHECK(t.find("", "/") == 0);
  CHECK(t.find(".example.com", "/") == 1);  // no label stands before that dot
  CHECK(t.find(std::string(255 - 12, 'a') + ".example.com", "/") == 2);
  CHECK(t.find(std::string(256 - 12, 'a') + ".example.com", "/") == 0);  // longer than any name
  CHECK(t.find(std::string(16'000, '.'), "/") == 0);
}

TEST_CASE("the match tells under which host it was found") {
  std::vector<RouteOptions> routes{on({"a.com"}), on({"*.a.com"}), on({})};
  const auto router = std::move(*Router::build(routes));
  base::Arena arena;
  CHECK(router->match({.authority = "a.com", .target = "/"}, arena).host == HostMatch::exact);
  CHECK(router->match({.authority = "b.a.com", .target = "/"}, arena).host == HostMatch::wildcard);
  const Match m = router->match({.authority = "b.com", .target = "/x/%61?q=%61"}, arena);
  CHECK(m.host == HostMatch::any);
  CHECK(m.route == &routes[2]);
  CHECK(m.path == "/x/a");
}

TEST_CASE("when no route of a host matches, the next less specific host is tried") {
  Table t({on({"a.b.com"}, PathMatch::prefix, "/exact-host"), on({"*.b.com"}, PathMatch::prefix, "/wild"),
           on({"*.com"}, PathMatch::exact, "/wider"), on({}, PathMatch::prefix, "/any")});
  CHECK(t.find("a.b.com", "/exact-host") == 0);
  CHECK(t.find("a.b.com", "/wild/x") == 1);
  CHECK(t.find("a.b.com", "/wider") == 2);
  CHECK(t.find("a.b.com", "/any") == 3);
  CHECK(t.find("a.b.com", "/none") == -1);
  CHECK(t.find("c.com", "/wild") == -1);
}

TEST_CASE("the first matching route of the file wins, whatever its kind") {
  Table t({prefix("/a/b"), exact("/a/c"), regex("^/a/[cd]$"), prefix("/a"), exact("/a/b"), on({}), exact("/late")});
  CHECK(t.find("/a/b") == 0);
  CHECK(t.find("/a/b/c") == 0);
  CHECK(t.find("/a/bc") == 3);
  CHECK(t.find("/a/c") == 1);
  CHECK(t.find("/a/d") == 2);
  CHECK(t.find("/a") == 3);
  CHECK(t.find("/ab") == 5);
  CHECK(t.find("/late") == 5);  // hidden by the one before
  CHECK(t.find("*") == 5);
  Table short_first({prefix("/"), prefix("/longer")});
  CHECK(short_first.find("/longer/x") == 0);
  CHECK(short_first.find("*") == -1);
}

TEST_CASE("prefixes with a trailing slash, escapes and query") {
  Table t({prefix("/api/"), prefix("/v1"), exact("/sp%20ace"), prefix("//x/./y"), exact("/p%61th")});
  CHECK(t.find("/api/") == 0);
  CHECK(t.find("/api/x/y") == 0);
  CHECK(t.find("/api") == -1);
  CHECK(t.find("/v1?x=/api/") == 1);
  CHECK(t.find("/v1x") == -1);
  CHECK(t.find("/%76%31/z") == 1);
  CHECK(t.find("/sp%20ace") == 2);
  CHECK(t.find("/x/y/z") == 3);  // routes are normalised as requests are
  CHECK(t.find("/path") == 4);
  CHECK(t.find("/?/api/") == -1);
}

TEST_CASE("methods, header fields, listeners") {
  std::vector<RouteOptions> routes;
  routes.push_back(prefix("/m"));
  routes.back().methods = {"POST", "QUERY", "get"};
  routes.push_back(prefix("/m"));
  routes.back().headers = {{"x-canary", "1"}, {"accept", "a/b"}};
  routes.push_back(prefix("/m"));
  routes.back().listener_indices = {2, 5};
  routes.push_back(on({}));
  Table t(std::move(routes));
  base::Arena arena;
  http::Fields fields(arena);
  const auto find = [&](std::string_view method, uint32_t listener) {
    return Table::number(t.match({listener, http::method_of(method), method, "", "/m/x", &fields}));
  };
  CHECK(find("POST", 0) == 0);
  CHECK(find("QUERY", 0) == 0);
  CHECK(find("get", 0) == 0);  // a method of its own: they are case-sensitive
  CHECK(find("GET", 0) == 3);
  CHECK(find("HEAD", 0) == 3);
  CHECK(find("query", 0) == 3);
  CHECK(find("GET", 5) == 2);
  CHECK(find("GET", 1) == 3);
  fields.add("X-Canary", "1");
  CHECK(find("GET", 0) == 3);  // all must be there
  fields.add("Accept", "x/y");
  CHECK(find("GET", 0) == 3);
  fields.add("Accept", "a/b");
  CHECK(find("GET", 2) == 1);
  fields.clear();
  fields.add("X-Canary", "11");
  fields.add("Accept", "a/b");
  CHECK(find("GET", 0) == 3);
  CHECK(Table::number(t.match({.target = "/m"})) == 3);  // without fields
}

TEST_CASE("threats.md row 14: paths that can be cut in two ways") {
  Table t({prefix("/admin"), prefix("/pub/files"), prefix("/pub"), exact("/x"), prefix("/npm/@scope%2fname"),
           prefix("/m;v=1"), regex("^/re/.*;z"), prefix("/re/a"), prefix("/app")});
  CHECK(t.find("/app/a%2fb") == 8);  // one route whatever way it is read
  CHECK(t.find("/app/a%5Cb/c%2Fd") == 8);
  CHECK(t.find("/app/..%2fadmin") == -2);
  CHECK(t.find("/app/..;/admin") == -2);
  CHECK(t.find("/app/%2e%2e%2fapp") == -2);  // a dot segment that only decoding shows, though the route is the same
  CHECK(t.find("/nowhere/..%2fadmin") == -2);
  CHECK(t.find("/app/%2e%2e/admin") == 0);  // shows without: normalised
  CHECK(t.find("/pub%2Ffiles/x") == -1);  // no route for /pub%2Ffiles: nothing is forwarded
  CHECK(t.find("/pub/files%2Fx") == -2);  // /pub for us, /pub/files for others
  CHECK(t.find("/pub/files/a%2Fx") == 1);
  CHECK(t.find("/pub/files;v=1") == -2);
  CHECK(t.find("/x;v=1") == -1);
  CHECK(t.find("/admin/%2f") == 0);
  CHECK(t.find("/npm/@scope%2fname") == 4);  // spelled out in the route
  CHECK(t.find("/npm/@scope%2Fname/-/x") == 4);
  CHECK(t.find("/npm/@scope%2Fname/..%2f..%2fadmin") == -2);
  CHECK(t.find("/m;v=1") == 5);
  CHECK(t.find("/re/a;z") == 6);
  CHECK(t.find("/npm/@scope/name") == -1);  // and then no other spelling is meant
  CHECK(t.find("/npm/@scope%2Fname%2f-") == -1);
  CHECK(t.find("/pub//../app/x") == -2);  // /app or /pub/app
  CHECK(t.find("/app//../app/x") == 8);
}

TEST_CASE("threats.md row 52: escapes and dot segments lead past no route") {
  Table t({prefix("/admin"), exact("/v1/keys:rotate"), prefix("/@x+y"), prefix("/caf%C3%A9"), exact("/a;b"),
           regex("^/re/[a-z:]+$"), regex("^/enc/%[0-9A-F]+$"), prefix("/npm"), on({})});
  CHECK(t.find("/v1/keys:rotate") == 1);
  for (const std::string path :
       {"/v1/keys%3Arotate",  "/v1/keys%3arotate", "/admin%2fx/..", "/admin%5cx/..",   "/admin%2fx",
        "/admin%5Cx",         "/admin%3Bx",        "/admin;x",      "/admin%00",       "/admin%0a",
        "/admin%7f",          "/nowhere%1F",       "/%40x%2By",     "/%40x+y/z",       "/admin//..//%2fadmin",
        "/x/..%2f..%2fadmin", "/re/a%3ab",         "/a%3Bb",        "/npm/..%2fadmin", "/npm%2fx"}) {
    CAPTURE(path);
    CHECK(t.find(path) == -2);
  }
  CHECK(t.find("/caf%c3%a9/x%20y") == 3);  // what a route writes as an escape is one route in all readings
  CHECK(t.find("/a;b") == 4);
  CHECK(t.find("/enc/%C3") == 6);
  CHECK(t.find("/npm/@scope%2fname") == 7);  // package registries
  CHECK(t.find("/npm/%40scope%2Fname/-/name-1.0.tgz") == 7);
  CHECK(t.find("/x%2fy%20z%C3%A9;v=1/%253A%25") == 8);
  CHECK(t.find("/admin%252fx") == 8);  // decoded once
  CHECK(t.find("/admin%2500") == 8);
  // A route that spells an escape out hides no other one.
  Table deny({prefix("/sp%2Fell/admin"), prefix("/sp%2Fell"), on({})});
  CHECK(deny.find("/sp%2fell/x") == 1);
  CHECK(deny.find("/sp%2fell/admin") == 0);
  CHECK(deny.find("/sp%2fell/admin%3b") == -2);
  CHECK(deny.find("/sp%2fell/admin%2fx") == -2);
}

TEST_CASE("regular expressions: searched in the normalised path, refused when broken or huge") {
  Table t({regex("^/v[0-9]+/"), regex("\\.php$"), regex("(?i)^/CASE")});
  CHECK(t.find("/v12/x") == 0);
  CHECK(t.find("/%7612/x") == 0);
  CHECK(t.find("/x/../v1/") == 0);
  CHECK(t.find("/a/v1/") == -1);
  CHECK(t.find("/a.php") == 1);
  CHECK(t.find("/a.php?x=.html") == 1);
  CHECK(t.find("/a.html?x=.php") == -1);
  CHECK(t.find("/case") == 2);
  CHECK(!route::Regex::compile("(").has_value());
  CHECK(!route::Regex::compile("(?=x)").has_value());  // RE2 has no look-ahead
  CHECK(!route::Regex::compile("((a{100}){100}){100}").has_value());
  std::vector<RouteOptions> broken{regex("[")};
  broken[0].name = "r";
  const auto built = Router::build(broken);
  REQUIRE(!built.has_value());
  CHECK(built.error().message.find("route 'r'") != std::string::npos);
}

TEST_CASE("a regular expression that backtracking engines choke on is searched in linear time") {
  Table t({regex("^(/a+)+$"), on({})});
  CHECK(t.find("/" + std::string(16'000, 'a') + "b") == 1);
}

TEST_CASE("usual requests take no memory, odd ones the arena alone") {
  std::vector<RouteOptions> routes;
  for (int i = 0; i < 1000; ++i)
    routes.push_back(on({"h" + std::to_string(i) + ".example.com"}, PathMatch::prefix, "/p" + std::to_string(i)));
  routes.push_back(regex("^/re/[a-z]+$"));
  const auto router = std::move(*Router::build(routes));
  base::Arena arena;
  base::Arena fields_arena;
  http::Fields fields(fields_arena);
  fields.add("accept", "*/*");
  Query q{0, http::Method::get, "GET", "h500.example.com:8443", "/p500/x?y=1", &fields};
  CHECK(router->match(q, arena).index == 500);
  q.target = "/re/abc";
  CHECK(router->match(q, arena).index == 1000);  // RE2 builds its states at the first search
  const uint64_t before = support::allocations();
  for (int i = 0; i < 100; ++i) {
    q.target = "/p500/x?y=1";
    CHECK(router->match(q, arena).index == 500);
    q.target = "/re/abc";
    CHECK(router->match(q, arena).index == 1000);
  }
  CHECK(arena.bytes_held() == 0);
  q.target = "/p500//%61/../x";
  CHECK(router->match(q, arena).path == "/p500/x");
  CHECK(arena.bytes_held() > 0);
  CHECK(support::allocations() <= before + 1);  // the arena's block
}

// ---- against a naive model ----------------------------------------------------------------------------------------

namespace {

class Model {
 public:
  explicit Model(const std::vector<RouteOptions>& routes) : routes_(routes) {
    for (const RouteOptions& r : routes)
      regexes_.push_back(r.path_match == PathMatch::regex ? route::Regex::compile(r.path) : base::fail(""));
  }

  // host is lower case, path is normal.
  int find(const std::string& host, const std::string& path, const Query& q) const {
    std::vector<std::string> names{host};
    for (size_t dot = host.find('.'); dot != std::string::npos; dot = host.find('.', dot + 1))
      names.push_back("*" + host.substr(dot));
    names.emplace_back();
    for (const std::string& name : names) {
      for (size_t i = 0; i < routes_.size(); ++i) {
        if (of_host(routes_[i], name) && takes(i, path, q)) return static_cast<int>(i);
      }
    }
    return -1;
  }

 private:
  static bool of_host(const RouteOptions& r, const std::string& name) {
    if (name.empty()) return r.hosts.empty();
    return std::find(r.hosts.begin(), r.hosts.end(), name) != r.hosts.end();
  }
  bool takes(size_t i, const std::string& path, const Query& q) const {
    const RouteOptions& r = routes_[i];
    if (!r.listener_indices.empty() &&
        std::find(r.listener_indices.begin(), r.listener_indices.end(), q.listener) == r.listener_indices.end())
      return false;
    if (!r.methods.empty() && std::find(r.methods.begin(), r.methods.end(), q.method_text) == r.methods.end())
      return false;
    for (const auto& h : r.headers) {
      const http::Field* f = q.fields->find(h.name);
      if (f == nullptr || f->value() != h.value) return false;
    }
    switch (r.path_match) {
      case PathMatch::any: return true;
      case PathMatch::exact: return r.path == path;
      case PathMatch::prefix:
        return r.path == "/" || path == r.path || path.starts_with(r.path.ends_with('/') ? r.path : r.path + "/");
      case PathMatch::regex: return regexes_[i]->search(path);
    }
    return false;
  }

  const std::vector<RouteOptions>& routes_;
  std::vector<base::Result<route::Regex>> regexes_;
};

// Few words, so that hosts and paths overlap all the time.
class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  size_t below(size_t n) { return engine_() % n; }
  bool one_in(size_t n) { return below(n) == 0; }
  std::string path(size_t depth_max, size_t words) {
    std::string path;
    for (size_t depth = 1 + below(depth_max); depth > 0; --depth) path += "/s" + std::to_string(below(words));
    if (one_in(8)) path += '/';
    return path;
  }
  std::string host() {
    std::string host = "h" + std::to_string(below(5)) + ".org";
    for (size_t n = below(3); n > 0; --n) host = "h" + std::to_string(below(5)) + "." + host;
    return host;
  }

 private:
  std::mt19937 engine_;
};

std::vector<RouteOptions> some_routes(Dice& dice, size_t count, size_t words) {
  std::vector<RouteOptions> routes(count);
  for (RouteOptions& r : routes) {
    for (size_t n = dice.below(3); n > 0; --n) {
      const std::string name = dice.host();
      r.hosts.push_back(dice.one_in(3) ? "*." + name : name);
    }
    const size_t kind = dice.below(100);
    r.path_match = kind < 1    ? PathMatch::any
                   : kind < 3  ? PathMatch::regex
                   : kind < 40 ? PathMatch::exact
                               : PathMatch::prefix;
    if (r.path_match == PathMatch::regex)
      r.path = "^/s" + std::to_string(dice.below(words)) + "/s[0-9]*$";
    else if (r.path_match != PathMatch::any)
      r.path = dice.one_in(500) ? "/" : dice.path(4, words);
    if (r.path_match == PathMatch::any || dice.one_in(6)) r.methods = {dice.one_in(2) ? "POST" : "QUERY"};
    if (dice.one_in(6)) r.headers = {{"x-h", dice.one_in(2) ? "1" : "2"}};
    if (dice.one_in(6)) r.listener_indices = {static_cast<uint32_t>(dice.below(3))};
  }
  return routes;
}

// Returns how many of the questions had a route.
size_t compare(unsigned seed, size_t count, size_t words, size_t questions) {
  Dice dice(seed);
  const std::vector<RouteOptions> routes = some_routes(dice, count, words);
  const Model model(routes);
  const auto router = std::move(*Router::build(routes));
  size_t found = 0;
  for (size_t i = 0; i < questions; ++i) {
    base::Arena arena;
    http::Fields fields(arena);
    if (dice.one_in(2)) fields.add("X-H", dice.one_in(2) ? "1" : "2");
    const std::string host = dice.host();
    const std::string path = dice.path(6, words);
    const std::string_view method = std::array<std::string_view, 3>{"GET", "POST", "QUERY"}[dice.below(3)];
    const Query q{static_cast<uint32_t>(dice.below(3)), http::method_of(method), method, host, path, &fields};
    const int expected = model.find(host, path, q);
    CAPTURE(seed);
    CAPTURE(host);
    CAPTURE(path);
    REQUIRE(Table::number(router->match(q, arena)) == expected);
    found += expected >= 0 ? 1 : 0;
  }
  return found;
}

}  // namespace

TEST_CASE("agrees with a naive model: small tables, many seeds") {
  size_t found = 0;
  for (unsigned seed = 1; seed <= 300; ++seed) found += compare(seed, 1 + seed % 40, 3, 100);
  CHECK(found > 300 * 100 / 10);  // else the questions ask nothing
}

TEST_CASE("agrees with a naive model: 10,000 routes") {
  for (unsigned seed = 1; seed <= 3; ++seed) CHECK(compare(seed, 10'000, 12, 1000) > 500);
}

// ---- against the origins behind us --------------------------------------------------------------------------------

namespace {

// The first route that takes `path`, every escape decoded on both sides.
int plain_find(const std::vector<RouteOptions>& routes, const std::string& path) {
  for (size_t i = 0; i < routes.size(); ++i) {
    const std::string own = support::decode_once(routes[i].path);
    if (routes[i].path_match == PathMatch::exact ? path == own : route::prefix_matches(own, path))
      return static_cast<int>(i);
  }
  return -1;
}

std::string odd_path(Dice& dice) {
  constexpr std::array<std::string_view, 36> pieces{
      "/",   "/",    "/",   "/admin", "/admin", "/a",  "/b",     "a",   "b",      "..",  ".", "/..",
      "/.",  "%2f",  "%2F", "%5c",    "%2e",    ";",   ";x=",    "%3B", "%3a",    ":",   "@", "%40",
      "%20", "%252", "%25", "%C3%A9", "x",      "%61", "rotate", "//",  "/keys:", "%2B", "+", "/..;/"};
  std::string path = "/";
  for (size_t n = 1 + dice.below(9); n > 0; --n) path += pieces[dice.below(pieces.size())];
  return path;
}

}  // namespace

TEST_CASE("what is forwarded takes the same route in every reading of it, and stays below what replaces its prefix") {
  std::vector<RouteOptions> routes{
      prefix("/admin"), exact("/keys:rotate"), prefix("/a/b"),  exact("/a"),       prefix("/a"),
      prefix("/@x"),    prefix("/b"),          exact("/x%20x"), prefix("/%C3%A9"), prefix("/")};
  routes[6].strip_prefix = "/b";
  routes[6].rewrite_prefix = "/inside/b";
  const auto router = std::move(*Router::build(routes));
  const auto origins = support::all_origin_readings();
  Dice dice(20261128);
  size_t forwarded = 0;
  size_t refused = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string path = odd_path(dice);
    base::Arena arena;
    const Match m = router->match({.target = path}, arena);
    if (m.route == nullptr) {
      ++refused;
      continue;
    }
    ++forwarded;
    CAPTURE(path);
    for (const auto& origin : origins) {
      const std::string seen = support::read_as(origin, path);
      CAPTURE(seen);
      REQUIRE(plain_find(routes, seen) == static_cast<int>(m.index));
    }
    if (m.index != 6) continue;
    const std::string sent(route::rewrite_target(*m.route, path, m.path, arena));
    for (const auto& origin : origins) REQUIRE(route::prefix_matches("/inside/b", support::read_as(origin, sent)));
  }
  CHECK(forwarded > 10'000);
  CHECK(refused > 10'000);
}
