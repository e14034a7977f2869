// The router: hosts, then paths, then the conditions of the candidates in file order.
#include "route/router.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/text.h"
#include "route/matcher.h"
#include "route/path.h"
#include "route/regex.h"

namespace sluice::route {
namespace {

constexpr uint32_t none = UINT32_MAX;

// What a route asks for beside host and path.
struct Conditions {
  struct Header {
    http::Token token;
    std::string_view name;
    std::string_view value;
  };
  std::vector<uint32_t> listeners;         // empty = every one
  bool any_method = true;
  uint32_t methods = 0;                    // bits of http::Method
  std::vector<std::string_view> other_methods;
  std::vector<Header> headers;

  bool hold(const Query& query) const {
    if (!listeners.empty() && std::find(listeners.begin(), listeners.end(), query.listener) == listeners.end())
      return false;
    if (!any_method && !method_fits(query)) return false;
    return std::all_of(headers.begin(), headers.end(), [&](const Header& h) { return present(h, query); });
  }

 private:
  bool method_fits(const Query& query) const {
    if (query.method != http::Method::other) return (methods >> static_cast<unsigned>(query.method) & 1) != 0;
    return std::find(other_methods.begin(), other_methods.end(), query.method_text) != other_methods.end();
  }
  static bool present(const Header& h, const Query& query) {
    if (query.fields == nullptr) return false;
    return std::any_of(query.fields->begin(), query.fields->end(), [&](const http::Field& f) {
      return f.token == h.token && f.value() == h.value &&
             (h.token != http::Token::other || base::iequals(f.name(), h.name));
    });
  }
};

struct RegexRoute {
  uint32_t route;
  uint32_t regex;
  bool normal_form;
};

// Routes of a host that no table can find: tried in file order.
struct Unkeyed {
  std::vector<uint32_t> any;
  std::vector<RegexRoute> regex;
};

// A path as it is looked up: in normalised form, or as others read it.
struct Reading {
  std::string_view text;
  std::string_view normal;                 // the normalised path
  bool other() const { return text.data() != normal.data(); }
};

// The author of the pattern wrote of escapes or parameters, so it is meant for the normalised path.
bool means_normal_form(std::string_view pattern) { return pattern.find_first_of(";%") != std::string_view::npos; }

}  // namespace

struct Router::Tables {
  explicit Tables(const std::vector<RouteOptions>& r) : routes(r) {}

  const std::vector<RouteOptions>& routes;
  HostTable hosts;
  PathTable paths;
  PathTable other_paths;  // of routes whose own path others read in another way: for other readings alone
  std::vector<Unkeyed> unkeyed;  // by host
  std::vector<HostMatch> host_kind;  // by host
  std::vector<Regex> regexes;
  std::vector<Conditions> conditions;
  std::vector<uint32_t> condition_of;  // by route, `none` = it asks for nothing more

  std::optional<base::Error> add(uint32_t index);
  void add_conditions(uint32_t index);
  void add_path(PathTable& table, uint32_t host, PathMatch how, std::string_view path, uint32_t index) const;
  uint32_t first_match(uint32_t host, const Reading& path, const Query& query) const;
  Match look_up(const HostTable::Found& hosts_found, const Reading& path, const Query& query) const;

  bool holds(uint32_t route, const Query& query) const {
    return condition_of[route] == none || conditions[condition_of[route]].hold(query);
  }
};

void Router::Tables::add_conditions(uint32_t index) {
  const RouteOptions& route = routes[index];
  condition_of.push_back(none);
  if (route.listener_indices.empty() && route.methods.empty() && route.headers.empty()) return;
  condition_of.back() = static_cast<uint32_t>(conditions.size());
  Conditions& c = conditions.emplace_back();
  c.listeners = route.listener_indices;
  c.any_method = route.methods.empty();
  for (const std::string& method : route.methods) {
    const http::Method known = http::method_of(method);
    if (known == http::Method::other) {
      c.other_methods.push_back(method);
    } else {
      c.methods |= 1U << static_cast<unsigned>(known);
    }
  }
  for (const HeaderValue& h : route.headers) c.headers.push_back({http::token_of(h.name), h.name, h.value});
}

void Router::Tables::add_path(PathTable& table, uint32_t host, PathMatch how, std::string_view path,
                              uint32_t index) const {
  if (how == PathMatch::exact) {
    table.add_exact(host, path, index);
  } else {
    table.add_prefix(host, path, index);
  }
}

std::optional<base::Error> Router::Tables::add(uint32_t index) {
  const RouteOptions& route = routes[index];
  add_conditions(index);
  base::Arena arena;
  const NormalPath path = normalise(route.path, arena, arena);
  uint32_t regex = none;
  if (route.path_match == PathMatch::regex) {
    auto compiled = Regex::compile(route.path);
    if (!compiled) return std::move(compiled.error());
    regex = static_cast<uint32_t>(regexes.size());
    regexes.push_back(std::move(*compiled));
  }
  const auto add_to = [&](uint32_t host, HostMatch kind) {
    if (host >= unkeyed.size()) {
      unkeyed.resize(host + 1);
      host_kind.resize(host + 1);
    }
    host_kind[host] = kind;
    switch (route.path_match) {
      case PathMatch::any: unkeyed[host].any.push_back(index); break;
      case PathMatch::regex: unkeyed[host].regex.push_back({index, regex, means_normal_form(route.path)}); break;
      case PathMatch::exact:
      case PathMatch::prefix:
        add_path(paths, host, route.path_match, path.path, index);
        for (const std::string_view other : path.others) {
          if (!other.empty()) add_path(other_paths, host, route.path_match, other, index);
        }
        break;
    }
  };
  if (route.hosts.empty()) add_to(HostTable::any, HostMatch::any);
  for (const std::string& host : route.hosts)
    add_to(hosts.add(host), host.starts_with("*.") ? HostMatch::wildcard : HostMatch::exact);
  return std::nullopt;
}

// The first route of that host, in file order, that takes the request.
uint32_t Router::Tables::first_match(uint32_t host, const Reading& path, const Query& query) const {
  uint32_t best = none;
  const auto take_first = [&](std::span<const uint32_t> candidates) {
    for (const uint32_t route : candidates) {
      if (route >= best) return;
      if (holds(route, query)) {
        best = route;
        return;
      }
    }
  };
  take_first(unkeyed[host].any);
  paths.find(host, path.text, take_first);
  if (path.other()) other_paths.find(host, path.text, take_first);
  for (const RegexRoute& r : unkeyed[host].regex) {  // last, as they cost most: only those before what was found
    if (r.route >= best) break;
    if (holds(r.route, query) && regexes[r.regex].search(r.normal_form ? path.normal : path.text)) {
      best = r.route;
      break;
    }
  }
  return best;
}

Match Router::Tables::look_up(const HostTable::Found& hosts_found, const Reading& path, const Query& query) const {
  for (const uint32_t host : hosts_found.all()) {
    const uint32_t route = first_match(host, path, query);
    if (route != none) return Match{&routes[route], route, host_kind[host], path.normal, false};
  }
  return Match{nullptr, 0, HostMatch::any, path.normal, false};
}

Router::Router(std::unique_ptr<const Tables> tables) : tables_(std::move(tables)) {}
Router::~Router() = default;

base::Result<std::unique_ptr<const Router>> Router::build(const std::vector<RouteOptions>& routes) {
  CHECK(routes.size() < none);
  auto tables = std::make_unique<Tables>(routes);
  tables->unkeyed.resize(1);
  tables->host_kind.resize(1);
  for (uint32_t i = 0; i < routes.size(); ++i) {
    if (auto error = tables->add(i)) {
      error->message = "route '" + routes[i].name + "': path_regex '" + routes[i].path + "': " + error->message;
      return std::unexpected(std::move(*error));
    }
  }
  return std::make_unique<const Router>(std::move(tables));
}

Match Router::match(const Query& query, base::Arena& arena) const {
  base::Arena scratch;
  const NormalPath path = normalise(query.target.substr(0, query.target.find('?')), arena, scratch);
  HostTable::Found hosts;
  tables_->hosts.find(host_of(query.authority), hosts);
  Match match = tables_->look_up(hosts, {path.path, path.path}, query);
  match.ambiguous = path.deceptive;
  for (const std::string_view other : path.others) {
    if (match.route == nullptr || other.empty()) continue;
    if (tables_->look_up(hosts, {other, path.path}, query).route != match.route) match.ambiguous = true;
  }
  if (match.ambiguous) match.route = nullptr;
  return match;
}

}  // namespace sluice::route
