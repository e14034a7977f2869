// What a reload changes.
#include "config/diff.h"

#include <algorithm>

#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

Diff between(std::string_view before, std::string_view after) { return diff(good(std::string(before)), good(std::string(after))); }

const std::string two =
    "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n[[listener]]\nname = \"b\"\naddress = [\"127.0.0.1:2\", \"127.0.0.1:3\"]\n" +
    std::string(upstream) + "[[upstream]]\nname = \"old\"\nendpoints = [\"127.0.0.1:9\"]\n" + std::string(route);

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  const std::size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), by);
}

TEST_CASE("the same text changes nothing, nor does another order of the keys") {
  CHECK(between(two, two).empty());
  CHECK(to_text(between(two, two)) == "no change");
  CHECK(between(whole("[drain]\ndeadline = \"25s\"\nderegister_wait = \"5s\""), whole()).empty());
  CHECK(between(whole("[drain]\ndeadline = \"25000ms\""), whole()).empty());
}

TEST_CASE("listeners and upstreams are matched by name, with the keys that changed") {
  std::string after = replaced(two, "name = \"a\"\n", "name = \"a\"\nidle_timeout = \"60s\"\n");
  after = replaced(after, "name = \"old\"", "name = \"new\"");
  after = replaced(after, "endpoints = [\"127.0.0.1:3000\"]\n", "endpoints = [\"127.0.0.1:3001\"]\npool = { max_connections = 3 }\n");
  const Diff d = between(two, after);
  REQUIRE(d.listeners.size() == 2);
  CHECK(d.listeners[0].change == Change::changed);
  CHECK(d.listeners[0].keys == std::vector<std::string>{"idle_timeout"});
  CHECK(d.listeners[1].change == Change::kept);
  CHECK(d.listeners[1].before == 1);
  REQUIRE(d.upstreams.size() == 3);
  CHECK(d.upstreams[0].keys == std::vector<std::string>{"endpoints", "pool.max_connections"});
  CHECK(d.upstreams[1].change == Change::added);
  CHECK(d.upstreams[1].before == no_index);
  CHECK(d.upstreams[2].change == Change::removed);
  CHECK(d.upstreams[2].name == "old");
  CHECK(d.upstreams[2].after == no_index);
  CHECK_FALSE(d.routes);
  CHECK(to_text(d) == "listeners: ~a; upstreams: ~app +new -old");
}

TEST_CASE("an item that moved in the file is kept") {
  const std::string other = std::string("[[upstream]]\nname = \"old\"\nendpoints = [\"127.0.0.1:9\"]\n");
  const Diff d = between(std::string(listener) + std::string(upstream) + other + std::string(route),
                         std::string(listener) + other + std::string(upstream) + std::string(route));
  CHECK(d.empty());
  CHECK(d.upstreams[0].before == 1);
  CHECK(d.upstreams[0].after == 0);
}

TEST_CASE("sockets are matched by address, whatever their listener is called") {
  const Diff d = between(two, replaced(replaced(two, "name = \"b\"", "name = \"c\""), "127.0.0.1:3\"", "127.0.0.1:4\""));
  const auto change_of = [&](std::string_view address) {
    const auto found = std::find_if(d.sockets.begin(), d.sockets.end(), [&](const SocketChange& s) { return s.address == address; });
    REQUIRE(found != d.sockets.end());
    return found->change;
  };
  CHECK(change_of("127.0.0.1:1") == Change::kept);
  CHECK(change_of("127.0.0.1:2") == Change::kept);
  CHECK(change_of("127.0.0.1:3") == Change::removed);
  CHECK(change_of("127.0.0.1:4") == Change::added);
}

TEST_CASE("an upstream that turns TLS or checks on or off has changed") {
  const std::string with_tls = replaced(two, "name = \"app\"\n", "name = \"app\"\ntls = {}\nhealth = {}\n");
  const Diff d = between(two, with_tls);
  CHECK(d.upstreams[0].change == Change::changed);
  CHECK(std::find(d.upstreams[0].keys.begin(), d.upstreams[0].keys.end(), "tls.verify") != d.upstreams[0].keys.end());
  CHECK(between(with_tls, two).upstreams[0].change == Change::changed);
}

TEST_CASE("routes: changed, moved, or the same") {
  const auto routes = [](std::string_view text) { return std::string(listener) + std::string(upstream) + std::string(text); };
  const std::string a = "[[route]]\nname = \"a\"\npath = \"/a\"\nupstream = \"app\"\n";
  const std::string b = "[[route]]\nname = \"b\"\npath = \"/b\"\nupstream = \"app\"\n";
  CHECK_FALSE(between(routes(a + b), routes(a + b)).routes);
  CHECK(between(routes(a + b), routes(b + a)).routes);
  CHECK(between(routes(a + b), routes(a)).routes);
  CHECK(to_text(between(routes(a), routes(b))) == "routes changed");
}

TEST_CASE("settings of the process, and those that need a restart") {
  const Diff d = between(whole(), whole("[runtime]\nworkers = 3\n[log]\nlevel = \"debug\""));
  CHECK(d.settings == std::vector<std::string>{"log.level", "runtime.workers"});
  CHECK(d.restart == std::vector<std::string>{"runtime.workers"});
  CHECK(to_text(d) == "settings: log.level runtime.workers; needs a restart: runtime.workers");
}

}  // namespace
}  // namespace sluice::config
