// What a reload changes.
#include "config/diff.h"

#include <algorithm>

#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

Diff between(std::string_view before, std::string_view after) {
  return diff(good(std::string(before)), good(std::string(after)));
}

const std::string two =
    "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n[[listener]]\nname = \"b\"\naddress = [\"127.0.0.1:2\", "
    "\"127.0.0.1:3\"]\n" +
    std::string(upstream) + "[[upstream]]\nname = \"old\"\nendpoints = [\"127.0.0.1:9\"]\n" + std::string(route);

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  const std::size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), by);
}

TEST_CASE("the same text changes nothing, nor does another order of the keys") {
  CHECK(between(two, two).empty());
  CHECK(to_text(between(two, two)) == "nothing changed");
  CHECK(between(whole("[drain]\ndeadline = \"25s\"\nderegister_wait = \"5s\""), whole()).empty());
  CHECK(between(whole("[drain]\ndeadline = \"25000ms\""), whole()).empty());
}

std::string texts(const std::vector<ItemChange>& changes) {
  std::string text;
  for (const ItemChange& change : changes) {
    text += (text.empty() ? "" : " ") + std::string(1, "~+-"[static_cast<int>(change.change)]) + change.name;
    for (const std::string& key : change.keys) text += " " + key;
  }
  return text;
}

TEST_CASE("listeners and upstreams are matched by name, with the keys that changed") {
  std::string after = replaced(two, "name = \"a\"\n", "name = \"a\"\nidle_timeout = \"60s\"\n");
  after = replaced(after, "name = \"old\"", "name = \"new\"");
  after = replaced(after, "endpoints = [\"127.0.0.1:3000\"]\n",
                   "endpoints = [\"127.0.0.1:3001\"]\npool = { max_connections = 3 }\n");
  const Diff d = between(two, after);
  CHECK(texts(d.listeners) == "~a idle_timeout");
  CHECK(texts(d.upstreams) == "~app endpoints pool.max_connections +new -old");
  CHECK(d.routes.empty());
  CHECK(to_text(d) == "listeners: ~a (idle_timeout); upstreams: ~app (endpoints, pool.max_connections) +new -old");
}

TEST_CASE("an item that moved in the file is kept") {
  const std::string other = "[[upstream]]\nname = \"old\"\nendpoints = [\"127.0.0.1:9\"]\n";
  const Diff d = between(std::string(listener) + std::string(upstream) + other + std::string(route),
                         std::string(listener) + other + std::string(upstream) + std::string(route));
  CHECK(d.empty());
}

TEST_CASE("an upstream that turns TLS or checks on or off has changed") {
  const std::string with_tls = replaced(two, "name = \"app\"\n", "name = \"app\"\ntls = {}\nhealth = {}\n");
  const Diff d = between(two, with_tls);
  REQUIRE(d.upstreams.size() == 1);
  CHECK(std::ranges::find(d.upstreams[0].keys, "tls.verify") != d.upstreams[0].keys.end());
  CHECK(between(with_tls, two).upstreams.size() == 1);
}

TEST_CASE("routes: changed, moved, added, or the same") {
  const auto routes = [](std::string_view text) {
    return std::string(listener) + std::string(upstream) + std::string(text);
  };
  const std::string a = "[[route]]\nname = \"a\"\npath = \"/a\"\nupstream = \"app\"\n";
  const std::string b = "[[route]]\nname = \"b\"\npath = \"/b\"\nupstream = \"app\"\n";
  CHECK(between(routes(a + b), routes(a + b)).empty());
  CHECK(to_text(between(routes(a + b), routes(b + a))) == "routes: another order");
  CHECK(to_text(between(routes(a + b), routes(a))) == "routes: -b");
  CHECK(to_text(between(routes(a), routes(b))) == "routes: +b -a");
  CHECK(to_text(between(routes(a), routes(replaced(a, "\"/a\"", "\"/c\"")))) == "routes: ~a (path)");
}

TEST_CASE("many changes are counted, not all named") {
  const auto routes = [](int n) {
    std::string text = std::string(listener) + std::string(upstream);
    for (int i = 0; i < n; ++i)
      text += "[[route]]\nname = \"r" + std::to_string(i) + "\"\npath = \"/" + std::to_string(i) +
              "\"\nupstream = \"app\"\n";
    return text;
  };
  CHECK(to_text(between(routes(1), routes(21))).ends_with("+r20"));
  CHECK(to_text(between(routes(1), routes(22))).ends_with("+r20 and 1 more"));
}

TEST_CASE("settings of the process") {
  CHECK(to_text(between(whole(), whole("[drain]\ndeadline = \"9s\"\n[log]\nlevel = \"debug\""))) ==
        "settings: drain.deadline log.level");
}

}  // namespace
}  // namespace sluice::config
