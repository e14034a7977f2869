// Dates as they are written, and made anew when the second changes.
#include "http/date.h"

#include <string>

#include <doctest/doctest.h>

using namespace sluice;

namespace {

std::string at(int64_t seconds, int64_t micros = 0) {
  return std::string(http::date_text(base::Micros{seconds * 1'000'000 + micros}));
}

}  // namespace

TEST_CASE("dates") {
  CHECK(at(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(at(784'111'777) == "Sun, 06 Nov 1994 08:49:37 GMT");       // RFC 9110 5.6.7's own
  CHECK(at(951'782'399) == "Mon, 28 Feb 2000 23:59:59 GMT");
  CHECK(at(951'782'400) == "Tue, 29 Feb 2000 00:00:00 GMT");
  CHECK(at(4'107'542'399) == "Sun, 28 Feb 2100 23:59:59 GMT");
  CHECK(at(4'107'542'400) == "Mon, 01 Mar 2100 00:00:00 GMT");
  CHECK(at(253'402'300'799) == "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST_CASE("the text is that of the second, whatever was asked for before") {
  CHECK(at(59, 999'999) == "Thu, 01 Jan 1970 00:00:59 GMT");
  CHECK(at(60) == "Thu, 01 Jan 1970 00:01:00 GMT");
  CHECK(at(59) == "Thu, 01 Jan 1970 00:00:59 GMT");
  const auto same = http::date_text(base::Micros{59'000'001});
  CHECK(http::date_text(base::Micros{59'999'999}).data() == same.data());
}
