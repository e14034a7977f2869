// explain --url and --key, and the check and explain commands with their exit codes.
#include "config/commands.h"

#include <cstdio>
#include <fstream>

#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

constexpr std::string_view text =
    "[[listener]]\n"                                   // 1
    "name = \"plain\"\naddress = \"127.0.0.1:8080\"\n"
    "[[listener]]\n"                                   // 4
    "name = \"secure\"\naddress = \"127.0.0.1:8443\"\n"
    "[listener.tls]\ncertificates = [{ cert = \"a\", key = \"b\" }]\n"
    "[[upstream]]\n"                                   // 9
    "name = \"app\"\nendpoints = [\"127.0.0.1:3000\"]\n"
    "[upstream.pool]\nidle_timeout = \"7s\"\n"         // 12, 13
    "[[route]]\n"                                      // 14
    "name = \"api\"\nhosts = [\"a.test\"]\npath_prefix = \"/api\"\nmethods = [\"GET\"]\nheaders = { x-canary = \"1\" "
    "}\nstrip_prefix = "
    "\"/api\"\nupstream = \"app\"\n"
    "timeout = \"9s\"\n"                               // 22
    "[[route]]\nname = \"moved\"\npath = \"/old\"\nredirect = { to = \"https://{host}/new\" }\n"
    "[[route]]\nname = \"fixed\"\npath = \"/fixed\"\nrespond = { status = 204 }\n";

Loaded loaded() {
  auto result = load_text(std::string(text), {.record = Record::origins});
  if (!result) FAIL(to_text(result.error()));
  return std::move(*result);
}

std::string answer(const Question& question) {
  const auto result = explain_url(loaded(), question);
  REQUIRE_MESSAGE(result.has_value(), result.error().message);
  return *result;
}

TEST_CASE("a request that is proxied: listener, route, limits, upstream, each with its line") {
  const std::string page = answer({.url = "http://a.test:8080/api/x?y=1", .headers = {{"X-Canary", "1"}}});
  CHECK_HAS(page, "request     GET http://a.test:8080/api/x?y=1\n");
  CHECK_HAS(page, "plain (127.0.0.1:8080)");
  CHECK_HAS(page, "folder/test.toml:1\n");
  CHECK_HAS_NOT(page, "secure");
  CHECK_HAS(page, "api (exact host, path /api/x)");
  CHECK_HAS(page, "folder/test.toml:14\n");
  CHECK_HAS(page, "timeout = \"9s\"");
  CHECK_HAS(page, "folder/test.toml:22\n");
  CHECK_HAS(page, "stream_idle_timeout = \"5m\"");
  CHECK_HAS(page, "sends       GET /x?y=1\n");
  CHECK_HAS(page, "pool.idle_timeout = \"7s\"");
  CHECK_HAS(page, "folder/test.toml:13\n");
  CHECK_HAS(page, "default\n");
}

TEST_CASE("no route is an answer, too") {
  CHECK_HAS(answer({.url = "http://a.test:8080/api"}), "404 no_route");
  CHECK_HAS(answer({.url = "http://a.test:8080/api", .method = "POST", .headers = {{"x-canary", "1"}}}),
            "404 no_route");
  CHECK_HAS(answer({.url = "http://b.test:8080/api", .headers = {{"x-canary", "1"}}}), "404 no_route");
  CHECK_HAS(answer({.url = "http://b.test:8080/api", .headers = {{"x-canary", "1"}, {"Host", "a.test"}}}),
            "api (exact host");
}

TEST_CASE("redirects and fixed answers") {
  CHECK_HAS(answer({.url = "http://b.test:8080/old?q"}), "308 to https://b.test/new?q\n");
  CHECK_HAS(answer({.url = "http://b.test:8080/fixed"}), "204 from the route itself\n");
}

TEST_CASE("the listener is chosen by port, then by scheme") {
  CHECK_HAS(answer({.url = "https://a.test:8443/"}), "secure (127.0.0.1:8443, TLS)");
  CHECK_HAS_NOT(answer({.url = "https://a.test/"}), "plain");
  CHECK_HAS(answer({.url = "http://a.test"}), "plain (127.0.0.1:8080)");
}

TEST_CASE("URLs that are none") {
  for (const char* url : {"a.test/", "ftp://a.test/", "http:///x", "http://u@a.test/", "http://a.test:0/",
                          "http://a.test:70000/", "http://a.test/\n", ""}) {
    CAPTURE(url);
    CHECK_FALSE(explain_url(loaded(), {.url = url}).has_value());
  }
  CHECK_FALSE(explain_url(loaded(), {.url = "http://a.test/", .method = "G T"}).has_value());
  CHECK_FALSE(explain_url(loaded(), {.url = "http://a.test/", .headers = {{"a b", "c"}}}).has_value());
  CHECK(explain_url(loaded(), {.url = "http://[::1]/#x"}).has_value());
}

TEST_CASE("a key: value, origin, meaning, default and its reason") {
  const auto given = explain_key(loaded(), "upstream.app.pool.idle_timeout");
  REQUIRE(given.has_value());
  CHECK_HAS(*given, "upstream.app.pool.idle_timeout = \"7s\"\n");
  CHECK_HAS(*given, "folder/test.toml:13\n");
  CHECK_HAS(*given, "  default   \"50s\": shorter than the 60 s");
  const auto defaulted = explain_key(loaded(), "upstream.app.pool.connect_timeout");
  REQUIRE(defaulted.has_value());
  CHECK_HAS(*defaulted, "= \"1s\"\n");
  CHECK_HAS(*defaulted, "  from      default\n");
  const auto absent = explain_key(loaded(), "upstream.app.health.interval");
  REQUIRE(absent.has_value());
  CHECK_HAS(*absent, "= \"5s\"\n");
  CHECK_HAS(*absent, "none: its table is not in the file");
  const auto unset = explain_key(loaded(), "route.api.redirect");
  REQUIRE(unset.has_value());
  CHECK_HAS(*unset, "route.api.redirect = (not set)\n");
  const auto wrong = explain_key(loaded(), "upstream.app.pool.idel_timeout");
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().suggestion == "upstream.app.pool.idle_timeout");
  if (!Availability::built().has(Feature::circuit)) {
    CHECK_HAS(*explain_key(loaded(), "upstream.app.circuit.max_requests"), "not available yet (the circuit breaker)");
  }
}

class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view content) {
    char name[] = "/tmp/sluice-test-XXXXXX";
    const int fd = mkstemp(name);
    REQUIRE(fd >= 0);
    path_ = name;
    std::FILE* stream = fdopen(fd, "w");
    REQUIRE(stream != nullptr);
    REQUIRE(std::fwrite(content.data(), 1, content.size(), stream) == content.size());
    std::fclose(stream);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST_CASE("check: text, JSON and exit codes") {
  const TemporaryFile good_file(text);
  Outcome outcome = check_command(good_file.path(), CheckFormat::text, Strict::no);
  CHECK(outcome.code == 0);
  CHECK(outcome.out == good_file.path() + ": good: 2 listeners, 1 upstream, 3 routes\n");
  CHECK(check_command(good_file.path(), CheckFormat::json, Strict::no).out == "[]\n");

  const TemporaryFile bad_file("[drain]\ndeadlin = 1\n");
  outcome = check_command(bad_file.path(), CheckFormat::text, Strict::no);
  CHECK(outcome.code == 2);
  CHECK_HAS(outcome.out, bad_file.path() + ":2:1: error: unknown key");
  outcome = check_command(bad_file.path(), CheckFormat::json, Strict::no);
  CHECK(outcome.code == 2);
  CHECK_HAS(outcome.out, "\"suggestion\": \"deadline\"");

  const TemporaryFile odd_file(std::string(text) + "[[upstream]]\nname = \"unused\"\nendpoints = [\"127.0.0.1:1\"]\n");
  outcome = check_command(odd_file.path(), CheckFormat::text, Strict::no);
  CHECK(outcome.code == 0);
  CHECK_HAS(outcome.out, "warning: no route uses the upstream \"unused\"");
  CHECK_HAS(outcome.out, "3 routes, 1 warning\n");

  // --strict: a warning is enough. What has none is as good as before.
  outcome = check_command(odd_file.path(), CheckFormat::text, Strict::yes);
  CHECK(outcome.code == 2);
  CHECK_HAS(outcome.out, odd_file.path() + ": refused by --strict: 2 listeners, 2 upstreams, 3 routes, 1 warning\n");
  CHECK(check_command(odd_file.path(), CheckFormat::json, Strict::yes).code == 2);
  CHECK(check_command(odd_file.path(), CheckFormat::json, Strict::no).code == 0);
  CHECK(check_command(good_file.path(), CheckFormat::text, Strict::yes).code == 0);
  CHECK(check_command(bad_file.path(), CheckFormat::text, Strict::yes).code == 2);
}

TEST_CASE("explain: exit codes, and which stream says what") {
  const TemporaryFile file(text);
  Outcome outcome = explain_command(file.path(), Question{.url = "http://x.test:8080/none"});
  CHECK(outcome.code == 0);
  CHECK_HAS(outcome.out, "404 no_route");
  CHECK(outcome.err.empty());
  outcome = explain_command(file.path(), Question{.url = "nonsense"});
  CHECK(outcome.code == 2);
  CHECK_HAS(outcome.err, "the URL starts with http:// or https://");
  outcome = explain_command(file.path(), "drain.deadlin");
  CHECK(outcome.code == 2);
  CHECK_HAS(outcome.err, "did you mean \"drain.deadline\"?");
  outcome = explain_command("no/such/file", "drain.deadline");
  CHECK(outcome.code == 2);
  CHECK_HAS(outcome.err, "no/such/file: error: cannot open the file");
}

}  // namespace
}  // namespace sluice::config
