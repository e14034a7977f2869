// dump, config/full.toml, config/sluice.toml and docs/configuration.md: what is printed is what is loaded.
#include "config/dump.h"

#include <fstream>
#include <sstream>

#include "config/catalog.h"
#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

// Tests run in the root of the source tree.
std::string file(const char* name) {
  std::ifstream stream(name);
  REQUIRE_MESSAGE(stream.good(), name);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

constexpr const char* rewrite = "write it anew: test_config --no-skip --test-case='write the schema'";
constexpr std::string_view reference_mark = "\n## Reference\n";

// Not a test: after a change of the schema, or of what is built, this brings the two files up to date.
TEST_CASE("write the schema" * doctest::skip()) {
  std::ofstream("config/full.toml") << full_toml();
  const std::string docs = file("docs/configuration.md");
  const std::size_t at = docs.find(reference_mark);
  REQUIRE(at != std::string::npos);
  std::ofstream("docs/configuration.md") << docs.substr(0, at + reference_mark.size()) << reference();
}

TEST_CASE("config/full.toml is what the schema writes") {
  CHECK_MESSAGE(file("config/full.toml") == full_toml(), rewrite);
}

TEST_CASE("config/full.toml loads without a warning") {
  const auto loaded = load_file("config/full.toml");
  if (!loaded) FAIL(to_text(loaded.error()));
  CHECK(to_text(loaded->warnings).empty());
}

// full.toml with its examples and defaults live. Tables that need files, too; not what excludes what is already there.
std::string uncommented(std::string text) {
  std::string result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t hash = line.find_first_not_of(' ');
    const bool live = hash != std::string::npos && line[hash] == '#' && hash + 1 < line.size() && line[hash + 1] != ' ';
    if (live) line.erase(hash, 1);
    bool excluded = false;
    for (const char* key : {"name = \"https\"", "path = ", "path_regex = ", "split = ", "redirect = ", "respond = ",
                            "fallback = ", "allow = ", "rate_limit = ", "concurrency_limit = ", "path_prefix = "}) {
      excluded = excluded || line.compare(0, std::string_view(key).size(), key) == 0;
    }
    if (line == "name = \"\"") line = "name = \"api\"";  // of the route, which the example of a pool class names
    if (!excluded) result += line + "\n";
  }
  return result;
}

TEST_CASE("every key in config/full.toml has its default") {
  for (const Availability& available : {Availability::built(), Availability::everything()}) {
    const LoadOptions options{.available = available};
    bool all = true;
    for (int f = 0; f <= static_cast<int>(Feature::rate_limit); ++f)
      all = all && available.has(static_cast<Feature>(f));
    const std::string text = all ? uncommented(full_toml(available)) : full_toml(available);
    const Snapshot full = good(text, options);
    Snapshot plain = good(
        "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[upstream]]\nname = \"app\"\n"
        "endpoints = [\"127.0.0.1:3000\", { address = \"127.0.0.1:3001\", weight = 2 }]\nhealth = {}\ntls = {}\n" +
            std::string(route),
        options);
    if (all) {
      plain.listeners[0].tls = tls::ServerTlsOptions{.certificates = {{"folder/example.pem", "folder/example.key"}}};
      plain.upstreams[0].pool_classes = {{.name = "slow", .percent = 25, .routes = {"api"}}};
      plain.routes[0].name = "api";
    }
    const auto expected = settings(plain, available);
    const auto found = settings(full, available);
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      CAPTURE(found[i].path);
      CHECK(found[i].path == expected[i].path);
      CHECK(found[i].value == expected[i].value);
    }
    CHECK(full == plain);
  }
}

TEST_CASE("every key of the schema stands in config/full.toml and in docs/configuration.md, with its reason") {
  const std::string full = file("config/full.toml");
  const std::string docs = file("docs/configuration.md");
  Snapshot one;
  one.listeners.emplace_back();
  one.upstreams.emplace_back().pool_classes.emplace_back();
  one.routes.emplace_back();
  const auto all = all_settings(one, Availability::everything());
  CHECK(all.size() >= 115);
  for (const Setting& setting : all) {
    CAPTURE(setting.place);
    CHECK_HAS(full, concat({setting.key.name, " = "}));
    CHECK_HAS(docs, concat({"`", setting.key.name, "`"}));
    CHECK_FALSE(setting.key.what.empty());
    CHECK_FALSE(setting.key.why.empty());
  }
}

TEST_CASE("the reference in docs/configuration.md is what the schema writes") {
  const std::string docs = file("docs/configuration.md");
  CHECK_MESSAGE(docs.ends_with(concat({reference_mark, reference()})), rewrite);
}

TEST_CASE("what is dumped loads again to the same") {
  const std::string text =
      "[runtime]\nworkers = 2\n[access_log]\noutput = \"/var/log/a b.log\"\n"
      "[[listener]]\nname = \"x\"\naddress = [\"127.0.0.1:1\", \"unix:/run/x\"]\nunix_mode = \"0602\"\ntrusted_proxies "
      "= [\"10.0.0.0/8\", "
      "\"fd00::/8\"]\n"
      "[[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:3000\", { address = \"[::1]:1\", weight = 7 }]\nhost = "
      "\"a.test\"\nsource_addresses = [\"127.0.0.2\"]\n"
      "[upstream.tls]\nserver_name = \"a.test\"\nca = \"/etc/ca.pem\"\n[upstream.health]\nexpect = "
      "\"200,300-302\"\n[upstream.retry]\non = "
      "[\"503\"]\nbudget = 0.125\n"
      "[[upstream.pool_class]]\nname = \"slow\"\nmax_connections = 3\nroutes = [\"r\", \"s\"]\n"
      "[[upstream.pool_class]]\nname = \"other\"\nmax_connections = \"25%\"\nroutes = [\"v\"]\n"
      "[[upstream]]\nname = \"next\"\nendpoints = [\"127.0.0.1:3002\"]\n"
      "[[upstream.pool_class]]\nname = \"slow\"\nmax_connections = \"1%\"\nroutes = [\"v\"]\n"
      "[[route]]\nname = \"v\"\npath = \"/v\"\nsplit = [{ upstream = \"app\" }, { upstream = \"next\" }]\n"
      "[[route]]\nname = \"r\"\nhosts = [\"*.a.test\"]\npath_regex = \"^/[\\\"\\\\\\\\]\"\nheaders = { a = \"1\" "
      "}\nupstream = "
      "\"app\"\nallow = [\"127.0.0.1\"]\n"
      "request_headers = { set = { b = \"\\\"\\t\\\\\" }, add = { c = [\"1\", \"2\"] }, remove = [\"d\"] }\nupgrade = "
      "[]\nmax_body = "
      "\"10MiB\"\n"
      "[[route]]\nname = \"s\"\nsplit = [{ upstream = \"app\", weight = 3 }]\n[[route]]\nname = \"t\"\npath = "
      "\"/t\"\nredirect = { to = "
      "\"/x\", status = 301 }\n"
      "[[route]]\nname = \"u\"\npath = \"/u\"\nrespond = { status = 418, body = \"\\u0000\\u007f\" }\n";
  const Snapshot first = good(text);
  CHECK(good(dump(first)) == first);
  const Snapshot defaults = good(whole());
  CHECK(good(dump(defaults)) == defaults);
  const Snapshot all = good(whole(), everything());
  CHECK(good(dump(all, Availability::everything()), everything()) == all);
}

TEST_CASE("secrets are hidden in a dump") {
  const std::string text =
      dump(good(whole() + "headers = { X-Api-Key = \"hush\" }\nrequest_headers = { set = { Authorization = \"hush\", "
                          "X-Plain = \"seen\" }, add = { Cookie = \"hush\" } }\n"
                          "response_headers = { set = { Set-Cookie = \"hush\" }, add = { X-Token = \"hush\" } }\n"));
  CHECK_HAS_NOT(text, "hush");
  CHECK_HAS(text, "\"authorization\" = \"***\"");
  CHECK_HAS(text, "\"x-plain\" = \"seen\"");
}

}  // namespace
}  // namespace sluice::config
