// Which routes are hidden by earlier ones of the same host: hidden_by() of check.h. Pure.
#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/check.h"

namespace sluice::config {
namespace {

using route::PathMatch;
using route::RouteOptions;

// Earlier routes looked at for one path of one host. Only routes that differ in methods, headers or listeners alone
// share a path, so this is plenty; a file that goes beyond gets fewer warnings, not a slow load.
constexpr std::size_t candidates_max = 64;
constexpr std::size_t segments_max = 64;

template <class T>
bool includes(const std::vector<T>& all, const std::vector<T>& some) {
  return std::all_of(some.begin(), some.end(),
                     [&](const T& one) { return std::find(all.begin(), all.end(), one) != all.end(); });
}

// Whether `first` takes every request that `later` would, the path aside.
bool covers(const RouteOptions& first, const RouteOptions& later) {
  const auto no_narrower = [](const auto& a, const auto& b) { return a.empty() || (!b.empty() && includes(a, b)); };
  return no_narrower(first.listener_indices, later.listener_indices) && no_narrower(first.methods, later.methods) &&
         includes(later.headers, first.headers);
}

// The routes of one host by what they match, in the order of the file.
class HostIndex {
 public:
  // The earliest route added so far that takes all requests of `later`; `none` if there is none.
  std::uint32_t coverer(const std::vector<RouteOptions>& routes, std::uint32_t later, std::uint32_t none) const {
    const RouteOptions& o = routes[later];
    std::uint32_t best = none;
    const auto try_key = [&](PathMatch match, std::string_view path) {
      const auto found = by_path_.find(key(match, path));
      if (found == by_path_.end()) return;
      for (const std::uint32_t index : found->second) {
        if (best != none && index >= best) break;
        if (covers(routes[index], o)) best = index;
      }
    };
    try_key(PathMatch::any, "");
    if (o.path_match == PathMatch::exact || o.path_match == PathMatch::regex) try_key(o.path_match, o.path);
    if (o.path_match != PathMatch::exact && o.path_match != PathMatch::prefix) return best;
    // Prefixes that hold this path: itself, and every part that ends where a segment does.
    try_key(PathMatch::prefix, o.path);
    std::size_t slash = 0;
    for (std::size_t n = 0; n < segments_max && (slash = o.path.find('/', slash)) != std::string::npos; ++n, ++slash) {
      try_key(PathMatch::prefix, std::string_view(o.path).substr(0, slash));
      try_key(PathMatch::prefix, std::string_view(o.path).substr(0, slash + 1));
    }
    return best;
  }

  void add(const RouteOptions& o, std::uint32_t index) {
    auto& same = by_path_[key(o.path_match, o.path)];
    if (same.size() < candidates_max) same.push_back(index);
  }

 private:
  static std::string key(PathMatch match, std::string_view path) {
    std::string text(1, static_cast<char>('0' + static_cast<int>(match)));
    return text.append(path);
  }

  std::unordered_map<std::string, std::vector<std::uint32_t>> by_path_;
};

}  // namespace

std::vector<std::uint32_t> hidden_by(const std::vector<RouteOptions>& routes) {
  std::vector<std::uint32_t> result(routes.size());
  std::unordered_map<std::string, HostIndex> hosts;
  static const std::vector<std::string> any{""};
  for (std::uint32_t i = 0; i < routes.size(); ++i) {
    const auto& names = routes[i].hosts.empty() ? any : routes[i].hosts;
    result[i] = i;
    bool reachable = false;
    for (const std::string& host : names) {
      HostIndex& index = hosts[host];
      const std::uint32_t by = index.coverer(routes, i, i);
      if (by == i) {
        reachable = true;
      } else if (result[i] == i) {
        result[i] = by;
      }
      index.add(routes[i], i);
    }
    if (reachable) result[i] = i;
  }
  return result;
}

}  // namespace sluice::config
