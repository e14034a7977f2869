// error_pages: keys, files, the limits of both, and where the problems are shown.
#include "exchange/error_pages.h"
#include "config/dump.h"
#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

std::string on_route(std::string_view pages) { return concat({whole(), "error_pages = ", pages, "\n"}); }
std::string on_listener(std::string_view pages) {
  return concat({listener, "error_pages = ", pages, "\n", upstream, route});
}

TEST_CASE("error_pages: statuses and classes, files beside the configuration") {
  const Snapshot s = good(on_route("{ 404 = \"p/404.html\", 5xx = \"/e.json\", \"4xx\" = \"c.txt\" }"));
  const std::vector<route::ErrorPageFile> all = {{404, "folder/p/404.html"}, {5, "/e.json"}, {4, "folder/c.txt"}};
  CHECK(s.routes[0].error_pages == all);
  CHECK_HAS(dump(s), "error_pages = { 404 = \"folder/p/404.html\", 5xx = \"/e.json\", 4xx = \"folder/c.txt\" }");
  CHECK(good(on_listener("{ 400 = \"a.txt\" }")).listeners[0].error_pages.size() == 1);
  CHECK(good(on_listener("{}")).listeners[0].error_pages.empty());
  for (const char* status : {"400", "403", "404", "405", "408", "413", "414", "417", "421", "429", "431", "501", "502",
                             "503", "504", "505", "508"}) {
    CAPTURE(status);
    good(on_route(concat({"{ ", status, " = \"a.txt\" }"})));
  }
}

TEST_CASE("error_pages: what cannot be") {
  for (const char* status : {"100", "103", "200", "204", "301", "304", "401", "418", "499", "500", "599"}) {
    CAPTURE(status);
    CHECK_HAS(bad(on_route(concat({"{ ", status, " = \"a.txt\" }"}))),
              concat({"error_pages has the key ", status, ", which is no failure that sluice tells itself"}));
  }
  for (const char* status : {"0404", "99", "600", "3xx", "5XX", "all", "-1", "99999999999999999999"}) {
    CAPTURE(status);
    CHECK_HAS(bad(on_route(concat({"{ ", status, " = \"a.txt\" }"}))), "which is no status");
  }
  CHECK_HAS(bad(on_route("\"a.html\"")), "error_pages takes a table { 404 = \"FILE\", 5xx = \"FILE\" }, not text");
  CHECK_HAS(bad(on_route("{ 404 = 1 }")), "error_pages takes a file's path in quotes");
  CHECK_HAS(bad(on_route("{ 404 = \"a.png\" }")), "takes files that end in .html, .json or .txt");
  CHECK_HAS(bad(on_route("{ 404 = \"\" }")), "error_pages must not be empty");
}

TEST_CASE("each file is looked at once, and its problem stands where it is named") {
  std::vector<std::string> asked;
  LoadOptions options;
  options.files.error_page = [&](const std::string& file) {
    asked.push_back(file);
    base::Error problem{"larger than 64 KiB"};
    problem.span.file = file;
    return file == "folder/big.txt" ? std::vector{problem} : std::vector<base::Error>{};
  };
  const std::string text = concat({listener, "error_pages = { 5xx = \"a.txt\" }\n", upstream, route,
                                   "error_pages = { 404 = \"a.txt\", 502 = \"big.txt\", 503 = \"big.txt\" }\n"});
  const std::string problems = bad(text, options);
  CHECK_HAS(problems, "test.toml:9:38: error: folder/big.txt: larger than 64 KiB");
  CHECK_HAS(problems, "502 = \"big.txt\"");
  CHECK(asked == std::vector<std::string>{"folder/a.txt", "folder/big.txt"});
}

TEST_CASE("so many files, however often each is named, and not one more") {
  const auto with = [](std::size_t files) {
    std::string text = concat({listener, upstream});
    for (std::size_t i = 0; i < files; ++i) {
      const std::string number = std::to_string(i);
      text += concat({"[[route]]\nupstream = \"app\"\npath = \"/", number, "\"\nerror_pages = { 404 = \"", number,
                      ".txt\", 503 = \"0.txt\" }\n"});
    }
    return text;
  };
  good(with(exchange::error_page_files_max));
  CHECK_HAS(bad(with(exchange::error_page_files_max + 1)), "error_pages name more than 32 files");
}

}  // namespace
}  // namespace sluice::config
