// Reading of error pages: what is refused, and why; the limit.
#include "exchange/error_pages.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>  // last: its CHECK replaces ours

using namespace sluice;

namespace {

struct Folder {
  Folder() { REQUIRE(::mkdtemp(name) != nullptr); }
  ~Folder() { std::filesystem::remove_all(name); }
  std::string write(const std::string& file, const std::string& text) const {
    std::ofstream(name + ("/" + file), std::ios::binary) << text;
    return name + ("/" + file);
  }
  std::string why_not(const std::string& file) const {
    const auto page = exchange::load_error_page(file);
    REQUIRE_FALSE(page.has_value());
    CHECK(page.error().span.file == file);
    return page.error().message;
  }
  char name[32] = "/tmp/sluice-pages-XXXXXX";
};

}  // namespace

TEST_CASE("a page: its bytes, and its content type by the name of its file") {
  Folder folder;
  const std::string bytes("a\0\xff<", 4);
  const auto page = exchange::load_error_page(folder.write("a.html", bytes));
  REQUIRE(page.has_value());
  CHECK((*page)->body == bytes);
  CHECK((*page)->content_type == "text/html; charset=utf-8");
  CHECK(exchange::page_type("x/y.json") == "application/json");
  CHECK(exchange::page_type("y.txt") == "text/plain; charset=utf-8");
  for (const char* file : {"", "y", "y.htm", "y.html.gz", "html", "y.HTML"}) CHECK(exchange::page_type(file).empty());
}

TEST_CASE("at the limit a file is taken, above it it is refused; so is what is no file") {
  Folder folder;
  const std::string most(exchange::error_page_bytes_max, 'x');
  CHECK((*exchange::load_error_page(folder.write("a.txt", most)))->body == most);
  CHECK(folder.why_not(folder.write("b.txt", most + "x")) == "larger than 64 KiB: too much for an error page");
  CHECK(folder.why_not(folder.name + std::string("/none.txt")) == "cannot open the file: No such file or directory");
  CHECK(folder.why_not(folder.name) == "this is a folder, a file is needed");
  const std::string fifo = folder.name + std::string("/f.txt");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(folder.why_not(fifo) == "this is a FIFO, a file is needed");
}

TEST_CASE("a status has its own page, else that of its class") {
  exchange::ErrorPages pages;
  CHECK(pages.empty());
  CHECK(pages.find(503) == nullptr);
  const auto one = std::make_shared<const exchange::ErrorPage>();
  const auto all = std::make_shared<const exchange::ErrorPage>();
  pages.add(5, all);
  pages.add(503, one);
  CHECK_FALSE(pages.empty());
  CHECK(pages.find(503) == one.get());
  CHECK(pages.find(502) == all.get());
  CHECK(pages.find(404) == nullptr);
}
