// The loader: places, unknown keys, types, ranges, all problems of a file, byte-order mark, sizes and depths.
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "config/tree.h"
#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

TEST_CASE("the smallest useful file loads and has the defaults") {
  const Snapshot s = good(whole());
  REQUIRE(s.listeners.size() == 1);
  CHECK(s.listeners[0].name == "127.0.0.1:8080");
  CHECK(s.listeners[0].addresses[0].parsed.port() == 8080);
  CHECK(s.listeners[0].protocols == std::vector{http::Protocol::http2, http::Protocol::http1});
  CHECK(s.listeners[0].downstream == http::DownstreamOptions{});
  REQUIRE(s.upstreams.size() == 1);
  CHECK(s.upstreams[0].pool == upstream::PoolOptions{});
  CHECK(s.upstreams[0].endpoints[0].address.has_value());
  CHECK_FALSE(s.upstreams[0].tls.has_value());
  CHECK_FALSE(s.upstreams[0].health.has_value());
  CHECK(s.upstreams[0].outlier == upstream::OutlierOptions{});
  REQUIRE(s.routes.size() == 1);
  CHECK(s.routes[0].name == "*");
  CHECK(s.routes[0].targets[0].upstream_index == 0);
  CHECK(s.runtime == RuntimeOptions{});
  CHECK(s.drain == DrainOptions{});
}

TEST_CASE("an unknown key has place, line, caret and did-you-mean") {
  const std::string text = bad(whole("[drain]\n  deadlin = \"25s\""));
  CHECK(text ==
        "folder/test.toml:2:3: error: unknown key \"deadlin\" in [drain]\n"
        "      deadlin = \"25s\"\n"
        "      ^~~~~~~\n"
        "  did you mean \"deadline\"?\n");
}

TEST_CASE("unknown keys: at the top, in an item, in a table of an item, in the wrong table") {
  CHECK_HAS(bad(whole("lisener = 1")), "unknown key \"lisener\" at the top of the file");
  CHECK_HAS(bad(whole("lisener = 1")), "did you mean \"listener\"?");
  CHECK_HAS(bad(whole() + "metods = []\n"), "unknown key \"metods\" in [[route]]");
  CHECK_HAS(bad(whole() + "metods = []\n"), "did you mean \"methods\"?");
  CHECK_HAS(
      bad(whole() + "[[upstream]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]\n[upstream.pool]\nmax_conections = 1\n"),
      "unknown key \"max_conections\" in [upstream.pool]");
  CHECK_HAS(bad(std::string(listener) + std::string(upstream) + "acquire_timeout = \"1s\"\n" + std::string(route)),
            "unknown key \"acquire_timeout\" in [[upstream]]: it belongs in [upstream.pool]");
  const std::string far = bad(whole("[log]\nzebra = 1"));
  CHECK_HAS(far, "unknown key \"zebra\" in [log]");
  CHECK_HAS_NOT(far, "did you mean");
}

TEST_CASE("all problems of a file are shown, by place") {
  const std::string text =
      bad("[drain]\ndeadline = 25\nfoo = 1\n[log]\nlevel = \"inof\"\n[[listener]]\naddress = "
          "\"nowhere\"\n[[route]]\nupstream = \"x\"\n");
  const std::size_t a = text.find("test.toml:2:12: error: deadline takes a duration in quotes");
  const std::size_t b = text.find("test.toml:3:1: error: unknown key \"foo\"");
  const std::size_t c = text.find("test.toml:5:9: error: level is one of");
  const std::size_t d = text.find("test.toml:7:11: error: address is no address");
  const std::size_t e = text.find("test.toml:9:12: error: there is no upstream \"x\"");
  CHECK(a < b);
  CHECK(b < c);
  CHECK(c < d);
  CHECK(d < e);
  CHECK(e != std::string::npos);
  CHECK_HAS(text, "did you mean \"25s\"?");
  CHECK_HAS(text, "did you mean \"info\"?");
}

TEST_CASE("more problems than a screen can hold are counted") {
  std::string text = whole("[log]");
  text.insert(6, [] {
    std::string lines;
    for (int i = 0; i < 1'500; ++i) lines += "k" + std::to_string(i) + " = 1\n";
    return lines;
  }());
  const auto loaded = load_text(text);
  REQUIRE_FALSE(loaded.has_value());
  REQUIRE(loaded.error().size() == problems_max + 1);
  CHECK(loaded.error().back().message == "and 500 more problems");
}

TEST_CASE("a syntax error is the only problem") {
  const auto loaded = load_text("[drain\nfoo = 1\n");
  REQUIRE_FALSE(loaded.has_value());
  REQUIRE(loaded.error().size() == 1);
  CHECK(loaded.error()[0].span.line == 1);
  CHECK(bad("a = \"\xff\"\n").find("test.toml:1:") != std::string::npos);
  CHECK_HAS(bad("[!]\n"), "test.toml:1:2: error:");  // an assertion of the parser, if it had its way
  CHECK_HAS(bad("a = 1\na = 2\n"), "test.toml:2:5: error:");
}

TEST_CASE("tables and arrays of tables are told apart") {
  CHECK_HAS(bad("[listener]\naddress = \"127.0.0.1:1\"\n"), "it is an array of tables");
  CHECK_HAS(bad("[listener]\naddress = \"127.0.0.1:1\"\n"), "did you mean \"[[listener]]\"?");
  CHECK_HAS(bad(whole("[[drain]]\ndeadline = \"25s\"")), "drain is a table, not an array");
  CHECK_HAS(bad(whole("drain = 3")), "drain is a table, not a number");
  CHECK_HAS(bad("listener = [1]\n"), "listener is an array of tables, not of a number");
  CHECK_HAS(bad(std::string(listener) + std::string(upstream) + "pool = 3\n" + std::string(route)),
            "pool is a table, not a number");
}

TEST_CASE("a byte-order mark is accepted and does not shift columns") {
  good("\xef\xbb\xbf" + whole());
  CHECK_HAS(bad("\xef\xbb\xbfzebra = 1\n" + whole()), "test.toml:1:1: error: unknown key \"zebra\"");
}

TEST_CASE("lines may end in CR LF") {
  std::string text = whole("[drain]\ndeadlin = \"25s\"");
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.replace(at, 1, "\r\n");
  CHECK_HAS(bad(text),
            "test.toml:2:1: error: unknown key \"deadlin\" in [drain]\n    deadlin = \"25s\"\n    ^~~~~~~\n");
}

TEST_CASE("columns and carets count characters, not bytes") {
  CHECK_HAS(bad(whole("log = { \"\xc3\xa9\xc3\xa9\" = 1, levl = \"info\" }")),
            "test.toml:1:19: error: unknown key \"levl\" in [log]\n    log = { \"\xc3\xa9\xc3\xa9\" = 1, levl = "
            "\"info\" }\n               "
            "       ^~~~\n");
}

TEST_CASE("an empty file has nothing to listen on; a file without routes is odd, not wrong") {
  CHECK_HAS(bad(""), "folder/test.toml: error: there is no [[listener]]");
  CHECK_HAS(warnings(std::string(listener)), "there is no [[route]]: every request is answered 404 no_route");
}

TEST_CASE("files that are no configuration: missing, a folder, unreadable, too large") {
  const auto missing = load_file("no/such/file.toml");
  REQUIRE_FALSE(missing.has_value());
  CHECK(to_text(missing.error()) == "no/such/file.toml: error: cannot open the file: No such file or directory\n");
  const auto folder = load_file("/tmp");
  REQUIRE_FALSE(folder.has_value());
  CHECK_HAS(to_text(folder.error()), "this is a folder");

  std::string text(file_bytes_max, '\n');
  CHECK(Source::of("x", text).has_value());
  text += '\n';
  const auto large = Source::of("x", text);
  REQUIRE_FALSE(large.has_value());
  CHECK(large.error().message == "the file is larger than 64 MiB");
}

TEST_CASE("a FIFO, a device or a socket is no configuration, and nothing is waited for") {
  char folder[] = "/tmp/sluice-files-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string fifo = std::string(folder) + "/fifo";
  const std::string socket_path = std::string(folder) + "/socket";
  const std::string link = std::string(folder) + "/link";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  REQUIRE(::symlink(fifo.c_str(), link.c_str()) == 0);
  const int bound = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_storage address;
  const socklen_t size = net::Address::unix_socket(socket_path).to_sockaddr(address);
  REQUIRE(::bind(bound, reinterpret_cast<const sockaddr*>(&address), size) == 0);
  const struct {
    std::string path;
    std::string_view what;
  } cases[] = {{fifo, "a FIFO"},
               {link, "a FIFO"},
               {socket_path, "a socket"},
               {"/dev/zero", "a device"},
               {"/dev/null", "a device"}};
  for (const auto& [path, what] : cases) {
    const auto loaded = load_file(path);
    REQUIRE_FALSE(loaded.has_value());
    CHECK(to_text(loaded.error()) == concat({path, ": error: this is ", what, ", a file is needed\n"}));
  }
  ::close(bound);
  std::filesystem::remove_all(folder);
}

TEST_CASE("a long text without an end shows where it begins") {
  CHECK_HAS(bad("x = 1\n  y = \"\"\"one\ntwo \"\"\n"), "folder/test.toml:2:7: error: this text has no end");
  CHECK_HAS(bad("x = 1\n  y = \"\"\"one\ntwo \"\"\n"), "      y = \"\"\"one\n          ^~~\n");
  CHECK_HAS(bad("y = '''\n\n\n"), "folder/test.toml:1:5: error: this text has no end");
  CHECK_HAS(bad("y = \"\"\"\\\"\"\""), "folder/test.toml:1:5: error: this text has no end");
  CHECK_HAS_NOT(bad("y = \"\"\"a\nb\"\"\"\"\"\nz = '''c'''\n"), "no end");
}

std::string dotted(int parts) {
  std::string key = "a";
  for (int i = 1; i < parts; ++i) key += ".a";
  return key;
}

TEST_CASE("nesting and dotted keys: 64 deep are parsed, 65 are refused before the parser sees them") {
  const int limit = static_cast<int>(nesting_max);
  const auto deep = [](const std::string& text) { return prescan(text).has_value(); };
  CHECK_FALSE(deep(dotted(limit) + " = 1"));
  CHECK_FALSE(deep(dotted(limit + 1) + " = 1"));   // its value lies in 64 tables
  CHECK_FALSE(deep("x = " + std::string(limit, '[') + std::string(limit, ']')));
  CHECK(deep(dotted(limit + 2) + " = 1"));
  CHECK(deep(dotted(100'000) + " = 1"));
  CHECK(deep("[" + dotted(100'000) + "]"));
  CHECK(deep("[[" + dotted(100'000) + "]]"));
  CHECK(deep("x = { " + dotted(100'000) + " = 1 }"));
  CHECK_FALSE(deep("x = " + std::string(limit - 1, '[') + std::string(limit - 1, ']')));
  CHECK(deep("x = " + std::string(limit + 1, '[')));
  CHECK(deep(std::string(100'000, '[')) == false);  // a header that is never closed: one level, and a syntax error
  // Depth adds up over the header, the key and the value.
  CHECK_FALSE(deep("[" + dotted(20) + "]\n" + dotted(20) + " = { " + dotted(20) + " = 1 }"));
  CHECK(deep("[" + dotted(30) + "]\n" + dotted(20) + " = { " + dotted(20) + " = 1 }"));
  // ... and is taken off again.
  std::string siblings;
  for (int i = 0; i < 1'000; ++i)
    siblings += "k" + std::to_string(i) + " = [[1.5, 2.5], { a.b = 1 }]\n[h" + std::to_string(i) + ".x]\n";
  CHECK_FALSE(deep(siblings));
}

TEST_CASE("dots and brackets in strings, comments and numbers are no nesting") {
  std::string dots(1'000, '.');
  std::string brackets(1'000, '[');
  for (const std::string& inner : {dots, brackets}) {
    CHECK_FALSE(prescan("a = \"" + inner + "\"\n").has_value());
    CHECK_FALSE(prescan("a = '" + inner + "'\n").has_value());
    CHECK_FALSE(prescan("a = \"\"\"\n" + inner + "\n\"\"\"\n").has_value());
    CHECK_FALSE(prescan("a = '''" + inner + "\\'''\n").has_value());
    CHECK_FALSE(prescan("a = \"x\\\"" + inner + "\"\n").has_value());
    CHECK_FALSE(prescan("# " + inner + "\n").has_value());
    CHECK_FALSE(prescan("\"" + inner + "\" = 1\n").has_value());
    // Not hidden behind the end of a string, either.
    CHECK(prescan("a = \"\"\"x\"\"\"\"\"\nb = " + std::string(70, '[')).has_value());
    CHECK(prescan("a = '\\'\nb = " + std::string(70, '[')).has_value());
    CHECK(prescan("a = \"\"\nb = " + std::string(70, '[')).has_value());
  }
}

TEST_CASE("too deep is a problem with a place") {
  CHECK_HAS(bad("x = 1\ny = " + std::string(80, '[')), "folder/test.toml:2:69: error: nested deeper than 64 levels");
}

TEST_CASE("characters outside of ASCII stand in quotes and comments, nowhere else") {
  CHECK_FALSE(prescan("a = \"\xc3\xa9\" # \xc3\xa9\n'\xc3\xa9' = 1\n").has_value());
  CHECK_FALSE(prescan("a = \"\"\"\xc3\xa9\n\xc3\xa9\"\"\"\nb = '''\\\n\xc3\xa9'''\n").has_value());
  CHECK_HAS(bad("a = '\xc3\xa9' \xc3\xa9"),
            "test.toml:1:9: error: a character outside of ASCII stands in quotes or in a comment");
  CHECK(prescan("\xc3\xa9 = 1").has_value());
  CHECK(prescan("a = \xef\xbb\xbd").has_value());
  CHECK_HAS(bad("a = \"\"\"x\n\\ \n \xc3\xa9\"\"\""),
            "test.toml:2:2: error: a character outside of ASCII cannot follow a backslash");
  CHECK(prescan("a = \"\"\"\\\xc3\xa9\"\"\"").has_value());
  // A quote that touches a bare value opens no string, so it hides nothing.
  CHECK_HAS(bad("a =0\"\"\"y\xc3\xa9\"\"\"\n"), "test.toml:1:5: error: a quote cannot follow a value");
  CHECK(prescan("a = 0=\"\"\"\xc3\xa9\"\"\"").has_value());
  CHECK(prescan("a = [0[\"\"\"\xc3\xa9\"\"\"").has_value());
  CHECK(prescan("a = [1, 2'\xc3\xa9'").has_value());
  CHECK(prescan("a = 1979-05-27 0\"\"\"\xc3\xa9\"\"\"").has_value());
  CHECK_FALSE(
      prescan("a = [1, '\xc3\xa9', { b = 2, \"\xc3\xa9\" = 3 }, [4.5]]\n\"\xc3\xa9\" = true # \"\n'b'.\"c\" = 1\n")
          .has_value());
}

TEST_CASE("paths are relative to the folder of the file") {
  const Snapshot s = good(whole("[access_log]\noutput = \"logs/access.log\""));
  CHECK(s.access_log.output == exchange::AccessLogOutput::file);
  CHECK(s.access_log.path == "folder/logs/access.log");
  CHECK(good(whole("[access_log]\noutput = \"/var/log/x\"")).access_log.path == "/var/log/x");
}

TEST_CASE("problems as JSON") {
  const auto loaded = load_text(whole("[log]\nlevel = \"a\\\"b\""));
  REQUIRE_FALSE(loaded.has_value());
  CHECK(to_json(loaded.error()) ==
        "[{\"file\": \"folder/test.toml\", \"line\": 2, \"column\": 9, \"severity\": \"error\", \"message\": \"level "
        "is one of "
        "\\\"debug\\\", \\\"info\\\", "
        "\\\"warn\\\", \\\"error\\\", not \\\"a\\\\\\\"b\\\"\", \"suggestion\": \"\"}]\n");
  CHECK(to_json({}) == "[]\n");
  base::Error odd{"\xff\xc3\xa9\x01"};
  CHECK_HAS(to_json({odd}), "\"message\": \"\\ufffd\xc3\xa9\\u0001\"");
}

}  // namespace
}  // namespace sluice::config
