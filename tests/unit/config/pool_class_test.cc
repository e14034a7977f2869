// [[upstream.pool_class]]: an array of tables inside of one; what a class may name, at its limits and above.
#include "config/diff.h"
#include "config/explain.h"
#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

const std::string routes =
    "[[route]]\nname = \"slow\"\npath = \"/slow\"\nupstream = \"app\"\n"
    "[[route]]\nname = \"fast\"\nupstream = \"app\"\n";

std::string with_classes(std::string_view classes, std::string_view more = "") {
  return concat({listener, upstream, classes, more, routes});
}

std::string one(std::string_view name, std::string_view limit, std::string_view of) {
  return concat({"[[upstream.pool_class]]\nname = \"", name, "\"\nmax_connections = ", limit, "\nroutes = ", of, "\n"});
}

TEST_CASE("pool_class: a number or a share, of the routes that it names") {
  const Snapshot s = good(with_classes(one("a", "8", "[\"slow\"]") + one("b", "\"25%\"", "[\"fast\"]")));
  REQUIRE(s.upstreams[0].pool_classes.size() == 2);
  CHECK(s.upstreams[0].pool_classes[0] ==
        upstream::PoolClassOptions{.name = "a", .max_connections = 8, .routes = {"slow"}});
  CHECK(s.upstreams[0].pool_classes[1] == upstream::PoolClassOptions{.name = "b", .percent = 25, .routes = {"fast"}});
}

TEST_CASE("pool_class: each upstream has its own, and what follows belongs to that upstream") {
  const std::string next = "[[upstream]]\nname = \"next\"\nendpoints = [\"127.0.0.1:3002\"]\n";
  const Snapshot s = good(with_classes(
      one("a", "8", "[\"slow\"]") + "[upstream.pool]\nmin_idle = 1\n" + next + "[upstream.pool]\nmin_idle = 2\n" +
          one("a", "9", "[\"both\"]"),
      "[[route]]\nname = \"both\"\npath = \"/both\"\nsplit = [{ upstream = \"app\" }, { upstream = \"next\" }]\n"));
  CHECK(s.upstreams[0].pool.min_idle == 1);
  CHECK(s.upstreams[1].pool.min_idle == 2);
  CHECK(s.upstreams[0].pool_classes[0].max_connections == 8);
  CHECK(s.upstreams[1].pool_classes[0].max_connections == 9);
  const std::string wrong = bad(with_classes(one("a", "8", "[\"slow\"]") + next + "endpoint = 1\n"));
  CHECK_HAS(wrong, "unknown key \"endpoint\" in [[upstream]]");
}

TEST_CASE("pool_class: the least and the most of its limit") {
  for (const char* limit : {"1", "1000000", "\"1%\"", "\"100%\""}) {
    CAPTURE(limit);
    good(with_classes(one("a", limit, "[\"slow\"]")));
  }
  const auto refused = [](std::string_view limit) { return bad(with_classes(one("a", limit, "[\"slow\"]"))); };
  CHECK_HAS(refused("0"), "max_connections must be from 1 to 1000000");
  CHECK_HAS(refused("1000001"), "max_connections must be from 1 to 1000000");
  CHECK_HAS(refused("\"0%\""), "must be a share from \"1%\" to \"100%\"");
  CHECK_HAS(refused("\"101%\""), "must be a share from \"1%\" to \"100%\"");
  CHECK_HAS(refused("\"half\""), "takes a whole number, or a share in quotes, such as \"25%\"");
  CHECK_HAS(refused("\"8\""), "8");
  CHECK_HAS(refused("0.5"), "not a fraction");
}

std::string many(std::size_t count) {
  std::string classes;
  std::string more;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string n = std::to_string(i);
    classes += one("c" + n, "1", "[\"r" + n + "\"]");
    more += "[[route]]\nname = \"r" + n + "\"\npath = \"/r" + n + "\"\nupstream = \"app\"\n";
  }
  return with_classes(classes, more);
}

TEST_CASE("pool_class: 16 of an upstream, and no more") {
  static_assert(upstream::PoolClassOptions::most == 16);
  good(many(16));
  CHECK_HAS(bad(many(17)), "an upstream has 16 pool classes at most");
}

TEST_CASE("pool_class: names, routes and what they lack, with the place and what may be meant") {
  CHECK_HAS(bad(with_classes("[[upstream.pool_class]]\nmax_connections = 1\nroutes = [\"slow\"]\n")), "needs a name");
  CHECK_HAS(bad(with_classes("[[upstream.pool_class]]\nname = \"a\"\nroutes = [\"slow\"]\n")), "needs max_connections");
  CHECK_HAS(bad(with_classes("[[upstream.pool_class]]\nname = \"a\"\nmax_connections = 1\n")), "needs routes");
  CHECK_HAS(bad(with_classes(one("a", "1", "[]"))), "needs routes");
  CHECK_HAS(bad(with_classes(one("a", "1", "[\"slow\"]") + one("a", "1", "[\"fast\"]"))),
            "upstream \"app\" has another pool class of the name \"a\"");
  const std::string unknown = bad(with_classes(one("a", "1", "[\"slw\"]")));
  CHECK_HAS(unknown, "there is no route \"slw\"");
  CHECK_HAS(unknown, "routes = [\"slw\"]");
  CHECK_HAS(unknown, "^");
  CHECK_HAS(unknown, "slow");
  CHECK_HAS(bad(with_classes(one("a", "1", "[\"slow\"]") + one("b", "1", "[\"fast\", \"slow\"]"))),
            "route \"slow\" is in the pool class \"a\" already");
  CHECK_HAS(bad(with_classes(one("a", "1", "[\"slow\", \"slow\"]"))), "is in the pool class \"a\" already");
  const std::string elsewhere = bad(with_classes(
      one("a", "1", "[\"slo\"]"), "[[route]]\nname = \"slo\"\npath = \"/slo\"\nrespond = { status = 204 }\n"));
  CHECK_HAS(elsewhere, "route \"slo\" never goes to upstream \"app\"");
  CHECK_HAS(elsewhere, "slow");
}

TEST_CASE("pool_class: a route that falls back to the upstream goes to it") {
  good(with_classes(
      "[[upstream]]\nname = \"spare\"\nendpoints = [\"127.0.0.1:3002\"]\n" + one("a", "1", "[\"f\"]"),
      "[[route]]\nname = \"f\"\npath = \"/f\"\nupstream = \"app\"\nfallback = { upstream = \"spare\" }\n"));
}

TEST_CASE("pool_class: an unknown key, a single table, another type") {
  CHECK_HAS(bad(with_classes(one("a", "1", "[\"slow\"]") + "route = \"slow\"\n")),
            "unknown key \"route\" in [[upstream.pool_class]]");
  CHECK_HAS(bad(with_classes("[upstream.pool_class]\nname = \"a\"\n")), "[[upstream.pool_class]]");
  CHECK_HAS(bad(with_classes("pool_class = [1]\n")), "pool_class is an array of tables, not of a number");
}

TEST_CASE("pool_class: a reload tells its keys by its name, wherever it stands") {
  const Snapshot before = good(with_classes(one("a", "8", "[\"slow\"]") + one("b", "2", "[\"fast\"]")));
  const Snapshot after = good(with_classes(one("b", "2", "[\"fast\"]") + one("a", "9", "[\"slow\"]")));
  CHECK(to_text(diff(before, after)) == "upstreams: ~app (pool_class.a.max_connections)");
}

TEST_CASE("pool_class: explained by its name, with its place") {
  const auto loaded = load_text(with_classes(one("a", "8", "[\"slow\"]")), {.record = Record::origins});
  REQUIRE(loaded.has_value());
  const auto key = explain_key(*loaded, "upstream.app.pool_class.a.max_connections");
  REQUIRE(key.has_value());
  CHECK_HAS(*key, "upstream.app.pool_class.a.max_connections = 8");
  CHECK_HAS(*key, "folder/test.toml:8");
  const auto url = explain_url(*loaded, {.url = "http://a.test/slow"});
  REQUIRE(url.has_value());
  CHECK_HAS(*url, "pool_class[0].max_connections = 8");
}

}  // namespace
}  // namespace sluice::config
