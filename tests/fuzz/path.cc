// Paths and targets through normalisation, the router and the rewriting of a route. Input: "authority SP target". What
// must hold: the normal form is a fixed point without dot segments; the router agrees with itself on the normal form;
// what it forwards takes the same route in every way an origin may read it; a rewritten target starts with a slash and
// keeps the query.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "http/validate.h"
#include "route/path.h"
#include "route/rewrite.h"
#include "route/router.h"
#include "support/origin_readings.h"

namespace {

using namespace sluice;  // NOLINT: a fuzz target

std::vector<route::RouteOptions> make_routes() {
  const auto make = [](std::vector<std::string> hosts, route::PathMatch match, std::string path) {
    route::RouteOptions r;
    r.hosts = std::move(hosts);
    r.path_match = match;
    r.path = std::move(path);
    r.strip_prefix = match == route::PathMatch::prefix ? r.path : "";
    return r;
  };
  using enum route::PathMatch;
  return {make({"a.com"}, prefix, "/admin"),
          make({"*.a.com", "b.com"}, prefix, "/app/"),
          make({}, exact, "/x"),
          make({}, prefix, "/a/b"),
          make({}, regex, "^/v[0-9]+/"),
          make({}, prefix, "/sp%2Fell"),
          make({}, prefix, "/a"),
          make({"c.com"}, any, ""),
          make({"d.com"}, prefix, "/admin"),
          make({"d.com"}, exact, "/v1/keys:rotate"),
          make({"d.com"}, prefix, "/@x/+"),
          make({"d.com"}, prefix, "/%C3%A9"),
          make({"d.com"}, any, "")};
}

bool has_dot_segment(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '/') continue;
    const std::string_view rest = path.substr(i + 1, path.find('/', i + 1) - i - 1);
    if (rest == "." || rest == "..") return true;
  }
  return false;
}

void check_path(std::string_view path, base::Arena& arena) {
  const route::NormalPath n = route::normalise(path, arena, arena);
  if (!path.starts_with('/')) {
    CHECK(n.path == path);
    return;
  }
  CHECK(n.path.starts_with('/') && n.path.size() <= path.size());
  if (n.deceptive && n.path == path) return;  // a broken escape
  CHECK(!has_dot_segment(n.path));
  CHECK(n.path.find("//") == std::string_view::npos);
  const route::NormalPath again = route::normalise(n.path, arena, arena);
  CHECK(again.path == n.path);
  if (n.deceptive) return;
  CHECK(!again.deceptive && again.others[0] == n.others[0]);
  for (const std::string_view other : n.others) {
    CHECK(other.empty() || other.starts_with('/'));
    CHECK(!has_dot_segment(other) && other.find("//") == std::string_view::npos &&
          other.find('\\') == std::string_view::npos);
  }
  CHECK(arena.bytes_held() <= 8 * (path.size() + 2 * base::Arena::block_bytes));
}

// `path` is valid (http::is_origin_form), of the host d.com, whose routes have no separators in escapes.
void check_origins(const std::vector<route::RouteOptions>& routes, const route::RouteOptions& taken,
                   std::string_view path) {
  for (const support::OriginReading& origin : support::all_origin_readings()) {
    const std::string seen = support::read_as(origin, path);
    const auto first = std::find_if(routes.begin(), routes.end(), [&](const route::RouteOptions& r) {
      if (r.hosts.empty() || r.hosts.front() != "d.com") return false;
      const std::string own = support::decode_once(r.path);
      return r.path_match == route::PathMatch::exact ? seen == own : route::prefix_matches(own, seen);
    });
    CHECK(&*first == &taken);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<route::RouteOptions> routes = make_routes();
  static const auto router = std::move(*route::Router::build(routes));

  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t space = input.find(' ');
  const std::string_view authority = space == std::string_view::npos ? std::string_view() : input.substr(0, space);
  const std::string_view target = space == std::string_view::npos ? input : input.substr(space + 1);
  const std::string_view path = target.substr(0, target.find('?'));

  base::Arena arena;
  check_path(path, arena);

  const route::Match match = router->match({.authority = authority, .target = target}, arena);
  CHECK(!match.ambiguous || match.route == nullptr);
  const route::Match normal = router->match({.authority = authority, .target = match.path}, arena);
  if (!match.ambiguous) CHECK(normal.route == match.route || normal.ambiguous);
  if (match.route != nullptr && authority == "d.com" && http::is_origin_form(path))
    check_origins(routes, *match.route, path);
  if (match.route != nullptr) {
    const std::string_view to = route::rewrite_target(*match.route, target, match.path, arena);
    CHECK(to == target || to.starts_with('/'));
    CHECK(!to.starts_with("//") || to == target);
    if (path.size() < target.size()) CHECK(to.ends_with(target.substr(path.size())));
  }
  (void)route::expand_redirect({"https://{host}{path}", 308}, {authority, match.path, target}, arena);
  return 0;
}
