// Router: which route a request takes (configuration.md, "Choosing a route"). Built once from a configuration,
// immutable, shared by all workers; a look-up costs the same for ten routes and ten thousand, and takes no memory but
// the request's arena.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/error.h"
#include "http/fields.h"
#include "http/token.h"
#include "route/options.h"

namespace sluice::route {

// What of a request decides. Views need to live during match() only, but Match::path may point into `target`.
struct Query {
  uint32_t listener = 0;  // index in the snapshot
  http::Method method = http::Method::get;
  std::string_view method_text{};
  std::string_view authority{};  // host[:port] as sent, may be empty
  std::string_view target{};  // origin form as sent, or "*"
  const http::Fields* fields = nullptr;  // nullptr: no fields
};

// Which kind of host name the route was found under.
enum class HostMatch : uint8_t { any, wildcard, exact };

struct Match {
  const RouteOptions* route = nullptr;  // nullptr: no route (404 no_route), or ambiguous
  uint32_t index = 0;  // of the route, in file order
  HostMatch host = HostMatch::any;
  std::string_view path{};  // normalised; in the target itself or in the arena
  // The path can be read in two ways that lead to different routes, or is deceptive (path.h; threats.md rows 14, 52):
  // 400 [path].
  bool ambiguous = false;
};

class Router {
 public:
  // `routes` must outlive the Router. Fails only for a path_regex that does not compile, which Regex::compile() tells
  // before.
  static base::Result<std::unique_ptr<const Router>> build(const std::vector<RouteOptions>& routes);
  static base::Result<std::unique_ptr<const Router>> build(std::vector<RouteOptions>&&) = delete;
  struct Tables;  // private to router.cc
  explicit Router(std::unique_ptr<const Tables> tables);
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;
  ~Router();

  // The first matching route of the most specific host that has one. Thread-safe.
  Match match(const Query& query, base::Arena& arena) const;

 private:
  std::unique_ptr<const Tables> tables_;
};

}  // namespace sluice::route
