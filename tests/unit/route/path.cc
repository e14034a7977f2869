// Paths: what is normal, what becomes normal, and what can be read in two ways (threats.md rows 13 and 14).
#include "route/path.h"

#include <string>

#include <doctest/doctest.h>

using namespace sluice;  // NOLINT: a test
using route::host_of;
using route::normalise;
using route::prefix_matches;

TEST_CASE("normal paths are left in place, without a copy") {
  base::Arena arena;
  for (const std::string path :
       {"/", "/a", "/a/", "/a/b.c/..d/.e/f..", "/.well-known/x", "/...", "/a/.../b", "*", "", "/~x-_.!$&'()*+,=:@|[]^"}) {
    CAPTURE(path);
    const auto n = normalise(path, arena);
    CHECK(n.path.data() == path.data());
    CHECK(n.path == path);
    CHECK(n.others[0].empty());
    CHECK(n.others[1].empty());
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
    CHECK(normalise(from, arena).path == to);
    CHECK(normalise(to, arena).path == to);  // a fixed point
  }
}

TEST_CASE("broken escapes, which validation refuses before, are left alone and never forwarded") {
  base::Arena arena;
  for (const std::string path : {"/a%", "/a%4", "/a%zz", "/%%41", "/%%0%64", "/%4%31/.."}) {
    CAPTURE(path);
    CHECK(normalise(path, arena).path == path);
    CHECK(normalise(path, arena).deceptive);
  }
}

TEST_CASE("other readings") {
  const struct {
    std::string from;
    std::string decoded;
    bool hides;
  } cases[] = {
      {"/a%2Fb", "/a/b", false},
      {"/a%5cb", "/a/b", false},
      {"/a\\b", "/a/b", false},
      {"/a;v=1/b;w", "/a/b", false},
      {"/a;x;y/b", "/a/b", false},
      {"/;x", "/", false},
      {"/a/;x/b", "/a/b", false},
      {"/a%2f%2f/b", "/a/b", false},
      {"/a%2F", "/a/", false},
      {"/a%3Bx/b", "", false},          // an escaped semicolon starts no parameter
      {"/a/..%2fb", "/a/../b", true},
      {"/a%2f../b", "/a/../b", true},
      {"/a%5c%2e%2e%5cb", "/a/../b", true},
      {"/a/..;/b", "/a/../b", true},
      {"/a/..;x=1/b", "/a/../b", true},
      {"/a/.;/b", "/a/./b", true},
      {"/a\\..", "/a/..", true},
      {"/a/..;", "/a/..", true},
      {"/a/.;%2fb", "/a/.", true},      // what follows ';' up to a slash in any form
      {"/a;..%2fb", "/a/b", false},
  };
  for (const auto& [from, decoded, hides] : cases) {
    CAPTURE(from);
    base::Arena arena;
    const auto n = normalise(from, arena);
    if (from != "/a/.;%2fb") CHECK(n.others[0] == decoded);
    CHECK(n.deceptive == hides);
  }
}

TEST_CASE("slashes merged before or after dot segments") {
  base::Arena arena;
  const auto n = normalise("/a//../b", arena);
  CHECK(n.path == "/b");
  CHECK(n.others[1] == "/a/b");
  CHECK(!n.deceptive);
  CHECK(normalise("/a//b", arena).others[1].empty());
  CHECK(normalise("/a/../b//c", arena).others[1].empty());  // nothing can be cut in two ways here
  CHECK(normalise("//..//admin", arena).others[1] == "/admin");
}

TEST_CASE("a path of 16 KiB costs its own size of memory, a few times at most") {
  std::string path;
  while (path.size() < 16 * 1024) path += "//..%2f;%41";
  base::Arena arena;
  (void)normalise(path, arena);
  CHECK(arena.bytes_held() <= 4 * (path.size() + base::Arena::block_bytes));
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
