// The status page as it is sent: the state stands in it as text, and nothing but its own script may run.
#include "admin/page.h"

#include <string>

#include <doctest/doctest.h>

using namespace sluice;

TEST_CASE("the state stands in the page as text, whatever is in it") {
  const std::string page = admin::status_page("a <script>x</script> & b\n");
  CHECK(page.contains("<pre>a &lt;script&gt;x&lt;/script&gt; &amp; b\n</pre>"));
  CHECK(page.starts_with("<!doctype html>"));
  CHECK(page.ends_with("</html>\n"));
  for (const char* mark : {"@CSS@", "@JS@", "@STATUS@"}) CHECK_FALSE(page.contains(mark));
}

TEST_CASE("it asks nobody else for anything") {
  const std::string page = admin::status_page("");
  for (const char* way : {"src=", "@import", "url(", "import(", "innerHTML", "insertAdjacentHTML", "outerHTML",
                          "document.write", "eval(", "javascript:"}) {
    CAPTURE(way);
    CHECK_FALSE(page.contains(way));
  }
  // The name of SVG alone is no request.
  CHECK(page.find("http") == page.find("http://www.w3.org/2000/svg"));
  CHECK(page.rfind("http") == page.find("http"));
}

TEST_CASE("its policy names its style and its script by their hashes, 32 bytes in base64") {
  const std::string policy(admin::page_policy);
  CHECK(policy.starts_with("default-src 'none'; script-src 'sha256-"));
  size_t hashes = 0;
  for (size_t at = policy.find("'sha256-"); at != std::string::npos; at = policy.find("'sha256-", at + 1)) {
    ++hashes;
    CHECK(policy.find('\'', at + 1) - at == 8 + 44);
    CHECK(policy.substr(at + 8 + 43, 2) == "='");
  }
  CHECK(hashes == 2);
  CHECK_FALSE(policy.contains("unsafe"));
}
