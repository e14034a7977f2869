// The query of an admin request: every name is known or the request is refused.
#include <string>
#include <string_view>

#include "admin/query.h"

#include <doctest/doctest.h>

using namespace sluice;

namespace {

constexpr std::string_view two[] = {"confirm", "limit"};

std::string error(std::string_view target, std::span<const std::string_view> known = two) {
  const auto query = admin::Query::read(target, known);
  return query ? "" : query.error();
}

}  // namespace

TEST_CASE("names that are known, with and without a value, in any order") {
  for (const char* target : {"/a?confirm=60s&limit", "/a?limit&confirm=60s"}) {
    const auto query = admin::Query::read(target, two);
    REQUIRE(query.has_value());
    CHECK(query->value("confirm") == "60s");
    CHECK(query->value("limit") == "");
  }
  CHECK(admin::Query::read("/a?confirm=a=b", two)->value("confirm") == "a=b");
  for (const char* target : {"/a", "/a?"}) CHECK_FALSE(admin::Query::read(target, two)->value("confirm").has_value());
}

TEST_CASE("a name that is not known is refused with those that are") {
  CHECK(error("/a?confrm=60s") == R"(/a knows no "confrm" in its query; it knows confirm, limit)");
  CHECK(error("/a?limit=1&Confirm=60s") == R"(/a knows no "Confirm" in its query; it knows confirm, limit)");
  CHECK(error("/a?&confirm=60s") == R"(/a knows no "" in its query; it knows confirm, limit)");
  CHECK(error("/a?limit&&confirm") != "");
  CHECK(error("/a?con", two) != "");
  CHECK(error("/a?x=1", {}) == R"(/a takes no query, and this one has "x")");
  CHECK(error("/a?", {}) == "");
}

TEST_CASE("a name that stands twice is refused") {
  CHECK(error("/a?confirm=1s&confirm=2s") == R"("confirm" stands twice in the query)");
  CHECK(error("/a?limit&confirm=1s&limit=1") == R"("limit" stands twice in the query)");
}

TEST_CASE("what was sent is shown up to a length") {
  CHECK(error("/a?" + std::string(64, 'x'), {}) ==
        "/a takes no query, and this one has \"" + std::string(64, 'x') + "\"");
  CHECK(error("/a?" + std::string(65, 'x'), {}) ==
        "/a takes no query, and this one has \"" + std::string(64, 'x') + "...\"");
}
