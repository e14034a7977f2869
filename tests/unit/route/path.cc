// Paths: what is normal, what becomes normal, and what can be read in two ways (threats.md rows 13, 14, 52).
#include "route/path.h"

#include <string>

#include "route/rewrite.h"
#include "support/held.h"
#include "support/random.h"

#include <doctest/doctest.h>

using namespace sluice;  // NOLINT: a test
using route::host_of;
using route::normalise;
using route::prefix_matches;

TEST_CASE("normal paths are left in place, without a copy") {
  base::Arena arena;
  for (const std::string path : {"/", "/a", "/a/", "/a/b.c/..d/.e/f..", "/.well-known/x", "/...", "/a/.../b", "*", "",
                                 "/~x-_.!$&'()*+,=:@|[]^"}) {
    CAPTURE(path);
    const auto n = normalise(path, arena, arena);
    CHECK(n.path.data() == path.data());
    CHECK(n.path == path);
    for (const auto other : n.others) CHECK(other.empty());
    CHECK(!n.deceptive);
  }
  CHECK(arena.bytes_held() == 0);
}

TEST_CASE("normalisation") {
  const struct {
    std::string from;
    std::string to;
  } cases[] = {
      {"//", "/"},
      {"/a//b///c", "/a/b/c"},
      {"/a//", "/a/"},
      {"/.", "/"},
      {"/..", "/"},
      {"/../..", "/"},
      {"/a/.", "/a/"},
      {"/a/..", "/"},
      {"/a/./b", "/a/b"},
      {"/a/b/../c", "/a/c"},
      {"/a/b/../../../c", "/c"},
      {"/a/b/..", "/a/"},
      {"/../a", "/a"},
      {"/a/%2e%2E/b", "/b"},
      {"/a/.%2e/b", "/b"},
      {"/%2e", "/"},
      {"/%61%7E%5f", "/a~_"},
      {"/a%20b%c3%BC", "/a%20b%C3%BC"},  // not unreserved: upper case only
      {"/%2525", "/%2525"},              // decoded once
      {"/%252e%252e/x", "/%252e%252e/x"},
      {"/%00", "/%00"},
      {"/a%2fb", "/a%2Fb"},
      {"/a;x/b", "/a;x/b"},
      // RFC 3986 5.2.4
      {"/a/b/c/./../../g", "/a/g"},
      {"/b/c/g/../h", "/b/c/h"},
  };
  for (const auto& [from, to] : cases) {
    CAPTURE(from);
    base::Arena arena;
    CHECK(normalise(from, arena, arena).path == to);
    CHECK(normalise(to, arena, arena).path == to);  // a fixed point
  }
}

TEST_CASE("broken escapes, which validation refuses before, are left alone and never forwarded") {
  base::Arena arena;
  for (const std::string path : {"/a%", "/a%4", "/a%zz", "/%%41", "/%%0%64", "/%4%31/.."}) {
    CAPTURE(path);
    CHECK(normalise(path, arena, arena).path == path);
    CHECK(normalise(path, arena, arena).deceptive);
  }
}

TEST_CASE("other readings: every escape decoded, once; parameters kept, cut behind that, cut before it") {
  const struct {
    std::string from;
    std::string keep, cut, cut_first;
  } cases[] = {
      {"/a%2Fb", "/a/b", "", ""},
      {"/a%5cb", "/a/b", "", ""},
      {"/a\\b", "/a/b", "", ""},
      {"/a%2f%2f/b", "/a/b", "", ""},
      {"/a%2F", "/a/", "", ""},
      {"/keys%3Arotate%40%2b", "/keys:rotate@+", "", ""},
      {"/a%20b%c3%BC", "/a b\xc3\xbc", "", ""},
      {"/%252F", "/%2F", "", ""},
      {"/a;v=1/b;w", "", "/a/b", "/a/b"},
      {"/a;x;y/b", "", "/a/b", "/a/b"},
      {"/;x", "", "/", "/"},
      {"/a/;x/b", "", "/a/b", "/a/b"},
      {"/a%3Bx/b", "/a;x/b", "/a/b", ""},
      {"/a;x%2fb", "/a;x/b", "/a/b", "/a"},
      {"/a%3Bx;y/b", "/a;x;y/b", "/a/b", "/a;x/b"},
      {"/a//b%3A", "/a/b:", "", ""},
  };
  for (const auto& [from, keep, cut, cut_first] : cases) {
    CAPTURE(from);
    base::Arena arena;
    const auto n = normalise(from, arena, arena);
    CHECK(n.others[0] == keep);
    CHECK(n.others[1] == cut);
    CHECK(n.others[2] == cut_first);
    CHECK(!n.deceptive);
  }
}

TEST_CASE("deceptive: a dot segment, or the end of a parameter, by a separator that is not one for all") {
  base::Arena arena;
  for (const std::string path : {"/a/..%2fb", "/a%2f../b",     "/a%5c%2e%2e%5cb", "/a/..;/b",          "/a/..;x=1/b",
                                 "/a/.;/b",   "/a\\..",        "/a/..;",          "/a/.;%2fb",         "/a;..%2f./b",
                                 "/a/..%3Bx", "/admin%2fx/..", "/admin%5cx/..",   "/admin%2fx/%2e%2e", "/admin/;/..",
                                 "/a%2fb/.",  "/./a%2fb",      "/x/..%2fy/../z",  "/a;x%5cb",          "/a%5Cb%3b"}) {
    CAPTURE(path);
    CHECK(normalise(path, arena, arena).deceptive);
  }
  for (const std::string path :
       {"/a/../b", "/a/%2e%2e/b%20", "/a%2fb/...", "/a%2f.b", "/a;..", "/a;x/..b", "/a%252f..", "/..%252fa"}) {
    CAPTURE(path);
    CHECK(!normalise(path, arena, arena).deceptive);
  }
}

TEST_CASE("deceptive: escaped control characters, and no others") {
  for (unsigned c = 0; c < 256; ++c) {
    constexpr char digits[] = "0123456789abcdef";
    const std::string path = std::string("/a%") + digits[c >> 4] + digits[c & 15] + "b";
    CAPTURE(path);
    base::Arena arena;
    CHECK(normalise(path, arena, arena).deceptive == (c < 0x20 || c == 0x7f));
  }
}

TEST_CASE("slashes merged before or after dot segments") {
  base::Arena arena;
  const auto n = normalise("/a//../b%3A", arena, arena);
  CHECK(n.path == "/b%3A");
  CHECK(n.others[0] == "/b:");
  CHECK(n.others[1] == "/a/b:");
  CHECK(!n.deceptive);
  CHECK(normalise("/a//b", arena, arena).others[1].empty());
  CHECK(normalise("/a/../b//c", arena, arena).others[1].empty());  // nothing can be cut in two ways here
  CHECK(normalise("//..//admin", arena, arena).others[1].empty());  // both say /admin
}

// Row 49, of a request that is nothing but its path: the session's copy, the normalised one, and the one that goes
// upstream.
TEST_CASE("what a path costs in its request's arena, however many ways there are to read it") {
  constexpr std::string_view pieces[] = {"/",   "//", "/..", "/.", "%2f", "%41", ";",
                                         "%3b", "\\", "%5C", "a",  "bcd", "%3A"};
  route::RouteOptions options;
  options.strip_prefix = "/";
  options.rewrite_prefix = "/new";
  support::Random random(7);
  for (int i = 0; i < 400; ++i) {
    std::string path = "/x";
    const size_t size = i % 4 == 0 ? 16 * 1024 : random.between(1, 16 * 1024);
    const size_t kinds = random.between(1, std::size(pieces));
    while (path.size() < size) path += pieces[random.below(kinds)];
    CAPTURE(path.substr(0, 100));
    base::Arena arena;
    base::Arena scratch;
    const std::string_view target = arena.copy(path);
    const size_t own = arena.bytes_held();
    const auto n = normalise(target, arena, scratch);
    CHECK(arena.bytes_held() - own <= path.size() + 2 * base::Arena::block_bytes);
    CHECK(scratch.bytes_held() <= 5 * (path.size() + base::Arena::block_bytes));
    (void)route::rewrite_target(options, target, n.path, arena);
    CHECK(arena.bytes_held() <= support::held_max(path.size()));
  }
}

TEST_CASE("prefixes match by whole segments") {
  CHECK(prefix_matches("/api", "/api"));
  CHECK(prefix_matches("/api", "/api/"));
  CHECK(prefix_matches("/api", "/api/x"));
  CHECK(!prefix_matches("/api", "/apix"));
  CHECK(!prefix_matches("/api", "/ap"));
  CHECK(prefix_matches("/api/", "/api/x"));
  CHECK(!prefix_matches("/api/", "/api"));
  CHECK(prefix_matches("/", "/x"));
  CHECK(prefix_matches("", "/x"));
  CHECK(!prefix_matches("/", "*"));
}

TEST_CASE("the host of an authority") {
  CHECK(host_of("example.com") == "example.com");
  CHECK(host_of("example.com:80") == "example.com");
  CHECK(host_of("example.com.") == "example.com");
  CHECK(host_of("example.com.:80") == "example.com");
  CHECK(host_of("[::1]:80") == "[::1]");
  CHECK(host_of("[::1]") == "[::1]");
  CHECK(host_of("") == "");
  CHECK(host_of(":80") == "");
}
