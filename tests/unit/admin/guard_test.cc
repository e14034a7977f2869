// Whom the admin listener answers (threats.md row 66).
#include "admin/guard.h"

#include <vector>

#include <doctest/doctest.h>

using namespace sluice;

namespace {

using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

bool taken(std::string_view authority, const Fields& fields = {}, http::Method method = http::Method::get,
           const char* from = "127.0.0.1") {
  base::Arena arena;
  http::Head head(arena);
  head.method = method;
  head.authority = authority;
  for (const auto& [name, value] : fields) head.fields.add(name, value);
  const std::vector<std::string> hosts = {"sluice.internal"};
  const std::string_view why = admin::refusal(head, *net::Address::parse_ip(from), hosts);
  if (!why.empty()) CHECK(why.find_first_of(":(") != std::string_view::npos);   // and it says what to do
  return why.empty();
}

}  // namespace

TEST_CASE("hosts: addresses, localhost, and those of the configuration; none at all in HTTP/1.0") {
  for (const char* host :
       {"", "127.0.0.1", "127.0.0.1:9901", "10.1.2.3:80", "[::1]", "[::1]:9901", "localhost", "LOCALHOST:1",
        "localhost.", "sluice.internal", "Sluice.Internal:9901", "sluice.internal."}) {
    CAPTURE(host);
    CHECK(taken(host));
    CHECK(taken(host, {}, http::Method::post));
  }
  for (const char* host :
       {"evil.test", "evil.test:9901", "127.0.0.1.evil.test", "localhost.evil.test", "x.sluice.internal", "internal",
        "sluice.internal.evil.test", "localhostx", "1.2.3", "%31"}) {
    CAPTURE(host);
    CHECK_FALSE(taken(host));
    CHECK_FALSE(taken(host, {}, http::Method::post));
  }
}

TEST_CASE("nothing that a page of another site sent, and nothing through a proxy") {
  for (const auto method : {http::Method::get, http::Method::head, http::Method::post, http::Method::other}) {
    CHECK(taken("localhost", {{"sec-fetch-site", "none"}}, method));
    CHECK(taken("localhost", {{"Sec-Fetch-Site", "same-origin"}}, method));
    CHECK_FALSE(taken("localhost", {{"sec-fetch-site", "cross-site"}}, method));
    CHECK_FALSE(taken("localhost", {{"sec-fetch-site", "same-site"}}, method));
    CHECK_FALSE(taken("localhost", {{"sec-fetch-site", ""}}, method));
    CHECK_FALSE(taken("localhost", {{"sec-fetch-site", "none"}, {"Sec-Fetch-Site", "cross-site"}}, method));
    CHECK_FALSE(taken("localhost", {{"Origin", "http://evil.test"}}, method));
    CHECK_FALSE(taken("localhost", {{"origin", "null"}}, method));
    CHECK_FALSE(taken("localhost", {{"origin", ""}}, method));
    CHECK_FALSE(taken("localhost", {{"via", "1.1 sluice"}}, method));
    CHECK_FALSE(taken("localhost", {{"Via", ""}}, method));
  }
}

TEST_CASE("POST comes from this host; other methods may come from elsewhere") {
  for (const char* far : {"10.0.0.1", "2001:db8::1"}) {
    CHECK(taken("10.0.0.2", {}, http::Method::get, far));
    CHECK_FALSE(taken("10.0.0.2", {}, http::Method::post, far));
  }
  for (const char* near : {"127.0.0.1", "127.9.9.9", "::1"}) CHECK(taken("10.0.0.2", {}, http::Method::post, near));
}
