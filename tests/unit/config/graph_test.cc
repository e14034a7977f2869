// explain --graph: what leads where, in three forms, and nothing of the file is markup.
#include "config/graph.h"

#include <string>

#include "helpers.h"

#include <doctest/doctest.h>  // last: its CHECK replaces ours

namespace {

using namespace sluice;
using namespace sluice::config;

std::string drawn(GraphFormat format, const std::string& more = "") {
  const auto loaded = test::load_text(R"(
[[listener]]
name = "web"
address = "127.0.0.1:8080"
[[listener]]
name = "inside"
address = "127.0.0.1:8081"
[[upstream]]
name = "shop"
endpoints = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80"]
[[upstream]]
name = "spare"
dns = "spare.internal:80"
[[upstream]]
name = "idle"
endpoints = ["10.0.0.9:80"]
[[route]]
name = "old"
hosts = ["a.test"]
path_prefix = "/old"
redirect = { to = "https://{host}/new", status = 308 }
[[route]]
name = "cart"
listeners = ["web"]
path_prefix = "/cart"
methods = ["GET"]
split = [{ upstream = "shop", weight = 9 }, { upstream = "spare", weight = 1 }]
[[route]]
name = "all"
upstream = "shop"
fallback = { upstream = "spare" }
[[route]]
name = "late"
path = "/late"
upstream = "shop"
)" + more);
  REQUIRE(loaded.has_value());
  return graph(*loaded->snapshot, format);
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_CASE("text: each listener with its routes, where they lead, and what is never reached") {
  const std::string text = drawn(GraphFormat::text);
  CHECK(has(text, "listener web  127.0.0.1:8080\n  + route old  a.test /old*\n      --> redirect 308  https://"));
  CHECK(has(text,
            "  + route cart  any host /cart* GET\n      --> upstream shop  10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80, and "
            "2 more  (weight 9)\n      --> upstream spare  dns spare.internal:80  (weight 1)\n"));
  CHECK(has(text, "      ..> upstream spare  dns spare.internal:80  (fallback)\n"));
  CHECK(has(text, "  x route late  any host = /late; never reached: route all takes all of it\n"));
  CHECK(has(text, "x upstream idle  10.0.0.9:80; no route leads here\n"));
  const std::string inside = text.substr(text.find("listener inside"));
  CHECK_FALSE(has(inside, "route cart"));
}

TEST_CASE("mermaid: boxes and lines by number") {
  const std::string text = drawn(GraphFormat::mermaid);
  CHECK(text.starts_with("flowchart LR\n  l0[\"listener web<br/>127.0.0.1:8080\"]\n"));
  CHECK(has(text, "  l0 --> r1\n"));
  CHECK_FALSE(has(text, "  l1 --> r1\n"));
  CHECK(has(text, "  r1 -->|weight 9| u0\n"));
  CHECK(has(text, "  r2 -.->|fallback| u1\n"));
  CHECK(has(text, "  l0 -.-> r3\n"));
}

TEST_CASE("svg: a box for each, and lines between them") {
  const std::string text = drawn(GraphFormat::svg);
  CHECK(text.starts_with("<svg xmlns="));
  CHECK(text.ends_with("</svg>\n"));
  CHECK(has(text, "<title>route cart any host /cart* GET</title>"));
  CHECK(has(text, "class=\"odd\""));
}

TEST_CASE("what stands in the file is text in every form") {
  const std::string more =
      "[[route]]\nname = \"odd\"\nhosts = [\"b.test\"]\npath = '/\"><b>`|;'\nupstream = \"idle\"\n";
  CHECK(has(drawn(GraphFormat::mermaid, more), "route odd<br/>b.test = /#34;#62;#60;b#62;#96;#124;#59;"));
  CHECK(has(drawn(GraphFormat::svg, more), "b.test = /&quot;&gt;&lt;b&gt;`|;<"));
}

TEST_CASE("formats by their words") {
  CHECK(graph_format("svg") == GraphFormat::svg);
  CHECK_FALSE(graph_format("dot").has_value());
}

}  // namespace
