// Cross checks of [[upstream.pool_class]]: whose requests a class takes; see check.h.
#include <map>
#include <set>

#include "config/check_parts.h"

namespace sluice::config {
namespace {

// The parts of one class that must be there.
void check_keys(const upstream::PoolClassOptions& o, const Node* node, Report& report) {
  if (look(node, {"name"}) == nullptr)
    report.error(place(node, {}), "[[upstream.pool_class]] needs a name", "name = \"slow\"");
  if (look(node, {"max_connections"}) == nullptr)
    report.error(place(node, {}), "[[upstream.pool_class]] needs max_connections", "max_connections = \"25%\"");
  const bool refused = look(node, {"routes"}) != nullptr && !look(node, {"routes"})->items.empty();
  if (o.routes.empty() && !refused)
    report.error(place(node, {"routes"}),
                 "[[upstream.pool_class]] needs routes: the names of those whose requests it takes");
}

class PoolClassChecks {
 public:
  PoolClassChecks(const Snapshot& snapshot, Report& report) : s_(snapshot), report_(report) {
    for (std::uint32_t i = 0; i < s_.routes.size(); ++i) routes_.emplace(s_.routes[i].name, i);
  }

  void run(std::size_t index, const Node* node) {
    const upstream::UpstreamOptions& o = s_.upstreams[index];
    const Node* array = look(node, {"pool_class"});
    if (o.pool_classes.size() > upstream::PoolClassOptions::most) {
      const Node* first_above = item_of(array, upstream::PoolClassOptions::most);
      report_.error(
          place(first_above, {}),
          concat({"an upstream has ", std::to_string(upstream::PoolClassOptions::most), " pool classes at most"}));
    }
    std::set<std::string_view> names;
    std::map<std::string_view, std::string_view> taken;  // route -> class
    for (std::size_t i = 0; i < o.pool_classes.size(); ++i) {
      const upstream::PoolClassOptions& one = o.pool_classes[i];
      const Node* at = item_of(array, i);
      check_keys(one, at, report_);
      if (!one.name.empty() && !names.insert(one.name).second)
        report_.error(place(at, {"name"}),
                      concat({"upstream ", quoted(o.name), " has another pool class of the name ", quoted(one.name)}));
      for (const std::string& route : one.routes) {
        const Position where = place_of_text(at, "routes", route);
        check_route(o, route, where);
        const auto [had, fresh] = taken.emplace(route, one.name);
        if (!fresh)
          report_.error(where, concat({"route ", quoted(route), " is in the pool class ", quoted(had->second),
                                       " already: a route is in one class of an upstream"}));
      }
    }
  }

 private:
  void check_route(const upstream::UpstreamOptions& o, const std::string& name, Position where) {
    const auto found = routes_.find(name);
    if (found == routes_.end())
      return report_.error(where, concat({"there is no route ", quoted(name)}), near_name(name, routes_, report_));
    if (goes_to(s_.routes[found->second], o.name)) return;
    Names those;  // that do: one of them may be meant
    for (const auto& [known, index] : routes_) {
      if (!report_.full() && goes_to(s_.routes[index], o.name)) those.emplace(known, index);
    }
    report_.error(where, concat({"route ", quoted(name), " never goes to upstream ", quoted(o.name)}),
                  near_name(name, those, report_));
  }

  static bool goes_to(const route::RouteOptions& route, std::string_view upstream) {
    for (const route::Target& target : route.targets) {
      if (target.upstream == upstream) return true;
    }
    return route.fallback && route.fallback->upstream == upstream;
  }

  const Snapshot& s_;
  Report& report_;
  Names routes_;
};

}  // namespace

void check_pool_classes(const Snapshot& s, const Node& root, Report& report) {
  PoolClassChecks checks(s, report);
  for (std::size_t i = 0; i < s.upstreams.size(); ++i) {
    if (!s.upstreams[i].pool_classes.empty()) checks.run(i, item_of(look(&root, {"upstream"}), i));
  }
}

}  // namespace sluice::config
