// What a route changes: targets, redirects, fields, weights.
#include "route/rewrite.h"

#include <array>
#include <string>

#include <doctest/doctest.h>

using namespace sluice;  // NOLINT: a test
using route::RouteOptions;

TEST_CASE("strip and rewrite of prefixes") {
  const struct {
    std::string strip, rewrite, target, path, to;
  } cases[] = {
      {"", "", "/%61//b?q", "/a/b", "/%61//b?q"},           // untouched: as the client sent it
      {"/api", "", "/api/x?q=1", "/api/x", "/x?q=1"},
      {"/api", "", "/api", "/api", "/"},
      {"/api", "", "/api/", "/api/", "/"},
      {"/api", "", "/api?", "/api", "/?"},
      {"/api", "", "/apix/y", "/apix/y", "/apix/y"},        // not by whole segments: untouched
      {"/api", "", "/other//x", "/other/x", "/other//x"},
      {"/api", "/v2", "/api/x", "/api/x", "/v2/x"},
      {"/api", "/v2", "/api", "/api", "/v2"},
      {"/api", "/v2/", "/api/x", "/api/x", "/v2/x"},
      {"/api", "/", "/api/x", "/api/x", "/x"},
      {"/api", "/", "/api", "/api", "/"},
      {"/api/", "/v2", "/api/x", "/api/x", "/v2/x"},
      {"/api/", "/v2", "/api", "/api", "/api"},
      {"/", "/v2", "/x?q", "/x", "/v2/x?q"},
      {"/", "/v2/", "/", "/", "/v2/"},
      {"", "/v2", "/x", "/x", "/v2/x"},
      {"/api", "/v2", "//api/./%78", "/api/x", "/v2/x"},    // the normalised path is rewritten
      {"/api", "/v2", "*", "*", "*"},
      {"/api", "/v2", "/api/x?a?b", "/api/x", "/v2/x?a?b"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.target);
    CAPTURE(c.strip);
    CAPTURE(c.rewrite);
    RouteOptions o;
    o.strip_prefix = c.strip;
    o.rewrite_prefix = c.rewrite;
    base::Arena arena;
    CHECK(route::rewrite_target(o, c.target, c.path, arena) == c.to);
  }
}

TEST_CASE("redirects") {
  base::Arena arena;
  const route::RedirectFacts facts{"Example.com:8080", "/a/b", "/a//b?x=1&y={path}"};
  const auto to = [&](std::string text) {
    return std::string(route::expand_redirect({std::move(text), 308}, facts, arena));
  };
  CHECK(to("https://{host}{path}") == "https://Example.com/a/b?x=1&y={path}");
  CHECK(to("https://{authority}/new") == "https://Example.com:8080/new?x=1&y={path}");
  CHECK(to("/fixed?none") == "/fixed?none");
  CHECK(to("/s/{query}") == "/s/x=1&y={path}");
  CHECK(to("/x#top") == "/x?x=1&y={path}#top");
  CHECK(to("{nope}{{path}}") == "{nope}{/a/b}?x=1&y={path}");
  CHECK(to("{pat") == "{pat?x=1&y={path}");
  CHECK(to("") == "?x=1&y={path}");
  const route::RedirectFacts bare{"[::1]:80", "/", "/"};
  CHECK(route::expand_redirect({"https://{host}{path}", 301}, bare, arena) == "https://[::1]/");
  CHECK(route::expand_redirect({"/?{query}", 301}, bare, arena) == "/?");
}

TEST_CASE("header edits: remove, set, add") {
  base::Arena arena;
  http::Fields f(arena);
  f.add("X-A", "1");
  f.add("X-A", "2");
  f.add("Via", "v");
  f.add("Accept", "*/*");
  route::HeaderEdits edits;
  edits.remove = {"via", "x-none"};
  edits.set = {{"x-a", "3"}, {"server", "s"}};
  edits.add = {{"x-a", "4"}, {"via", "w"}};
  route::edit(f, edits);
  REQUIRE(f.size() == 5);
  CHECK(f[0].name() == "Accept");
  CHECK(f[1].value() == "3");
  CHECK(f.value(http::Token::server) == "s");
  CHECK(f[3].value() == "4");
  CHECK(f[4].value() == "w");
  CHECK(f[4].token == http::Token::via);
}

TEST_CASE("targets are drawn by weight") {
  RouteOptions o;
  o.targets = {{"only", 7, 42}};
  CHECK(route::pick_target(o, 0) == 42);
  o.targets = {{"a", 95, 1}, {"none", 0, 2}, {"b", 5, 3}};
  std::array<int, 4> hits{};
  // All of the number line in equal steps, so the shares are exact.
  for (uint64_t i = 0; i < 10'000; ++i) ++hits[route::pick_target(o, i * (UINT64_MAX / 10'000) + 7)];
  CHECK(hits[2] == 0);
  CHECK(hits[1] == doctest::Approx(9500).epsilon(0.001));
  CHECK(hits[3] == doctest::Approx(500).epsilon(0.01));
  CHECK(route::pick_target(o, 0) == 1);
  CHECK(route::pick_target(o, UINT64_MAX) == 3);
  o.targets = {{"z", 0, 9}, {"a", 65535, 1}, {"b", 65535, 2}};
  CHECK(route::pick_target(o, 0) == 1);
  CHECK(route::pick_target(o, UINT64_MAX) == 2);
}
