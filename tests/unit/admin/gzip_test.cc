// gzip: who takes it by its Accept-Encoding, and that a page gets smaller. That it can be read is e2e's.
#include "admin/gzip.h"

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace sluice;

TEST_CASE("who takes gzip") {
  for (const char* text : {"gzip", "deflate, gzip", "gzip;q=0.5", "br , gzip ; q=1.0", "gzip;q=0.001"}) {
    CAPTURE(text);
    CHECK(admin::takes_gzip(text));
  }
  for (const char* text : {"", "identity", "gzip;q=0", "gzip; q=0.000", "xgzip", "br;q=1,deflate", "*"}) {
    CAPTURE(text);
    CHECK_FALSE(admin::takes_gzip(text));
  }
}

TEST_CASE("a page becomes smaller, and says what it is by its first bytes") {
  std::string page;
  for (int i = 0; i < 10'000; ++i) page += "sluice_requests_total{route=\"" + std::to_string(i) + "\"} 0\n";
  const auto packed = admin::gzip(page);
  REQUIRE(packed.has_value());
  CHECK(packed->size() * 5 < page.size());
  CHECK(packed->starts_with("\x1f\x8b"));
  CHECK(admin::gzip("").has_value());
}

}  // namespace
