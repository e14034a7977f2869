// Cross checks of routes: actions, names, prefixes, labels, and what can never be reached; see check.h.
#include <algorithm>
#include <set>

#include "config/check_parts.h"

namespace sluice::config {
namespace {

constexpr std::size_t label_max = 128;

class RouteChecks {
 public:
  RouteChecks(Snapshot& snapshot, const Node& root, Report& report)
      : s_(snapshot), array_(look(&root, {"route"})), report_(report) {
    for (std::uint32_t i = 0; i < s_.listeners.size(); ++i) listeners_.emplace(s_.listeners[i].name, i);
    for (std::uint32_t i = 0; i < s_.upstreams.size(); ++i) upstreams_.emplace(s_.upstreams[i].name, i);
    used_.resize(s_.upstreams.size());
  }

  void run(const Node& root) {
    for (std::size_t i = 0; i < s_.routes.size(); ++i) {
      const Node* node = item_of(array_, i);
      check_action(node);
      resolve_listeners(s_.routes[i], node);
      resolve_upstreams(s_.routes[i], node);
      resolve_fallback(s_.routes[i], node);
      check_prefixes(s_.routes[i], node);
    }
    name_routes();
    if (s_.routes.empty() && array_ == nullptr)
      report_.warning({}, "there is no [[route]]: every request is answered 404 no_route");
    if (report_.failed()) return;  // what follows would only repeat it
    warn_of_unused(root);
    warn_of_hidden();
  }

 private:
  void check_action(const Node* node) {
    std::vector<std::string_view> given;
    for (std::string_view key : {"upstream", "split", "redirect", "respond"}) {
      if (look(node, {key}) != nullptr) given.push_back(key);
    }
    if (given.empty())
      report_.error(place(node, {}), "[[route]] needs one of upstream, split, redirect, respond",
                    "upstream = \"NAME\"");
    for (std::size_t i = 1; i < given.size(); ++i) {
      report_.error(place(node, {given[i]}), concat({given[i], " cannot stand beside ", given[0],
                                                     ": a route has one of upstream, split, redirect, respond"}));
    }
  }

  void resolve_listeners(route::RouteOptions& o, const Node* node) {
    for (const std::string& name : o.listeners) {
      const auto found = listeners_.find(name);
      if (found != listeners_.end()) {
        o.listener_indices.push_back(found->second);
        continue;
      }
      report_.error(place_of_text(node, "listeners", name), concat({"there is no listener ", quoted(name)}),
                    near_name(name, listeners_, report_));
    }
  }

  void resolve_upstreams(route::RouteOptions& o, const Node* node) {
    for (std::size_t i = 0; i < o.targets.size(); ++i) {
      route::Target& target = o.targets[i];
      const auto found = upstreams_.find(target.upstream);
      if (found != upstreams_.end()) {
        target.upstream_index = found->second;
        used_[found->second] = true;
        continue;
      }
      if (target.upstream.empty()) continue;  // reported where it was read
      const Node* one = look(item_of(look(node, {"split"}), i), {"upstream"});
      report_.error(one != nullptr ? one->at : place(node, {"upstream"}),
                    concat({"there is no upstream ", quoted(target.upstream)}),
                    near_name(target.upstream, upstreams_, report_));
    }
  }

  void resolve_fallback(route::RouteOptions& o, const Node* node) {
    if (!o.fallback) return;
    const Position at = place(node, {"fallback", "upstream"});
    if (o.action != route::Action::proxy)
      report_.warning(place(node, {"fallback"}), "fallback is never used: this route asks no upstream");
    route::Fallback& to = *o.fallback;
    if (to.upstream.empty()) return;
    const auto found = upstreams_.find(to.upstream);
    if (found == upstreams_.end()) {
      return report_.error(at, concat({"there is no upstream ", quoted(to.upstream)}),
                           near_name(to.upstream, upstreams_, report_));
    }
    to.upstream_index = found->second;
    used_[found->second] = true;
    if (std::ranges::find(o.targets, to.upstream, &route::Target::upstream) != o.targets.end()) {
      report_.warning(at, concat({"fallback to ", quoted(to.upstream),
                                  ", which this route asks anyway: what failed there is asked there again"}));
    }
  }

  void check_prefixes(route::RouteOptions& o, const Node* node) {
    const bool has_prefix = o.path_match == route::PathMatch::prefix;
    if (!o.rewrite_prefix.empty() && o.strip_prefix.empty()) {
      if (has_prefix) {
        o.strip_prefix = o.path;
      } else {
        report_.error(place(node, {"rewrite_prefix"}),
                      "rewrite_prefix needs a strip_prefix or a path_prefix to stand in place of");
      }
    }
    const bool fixed = has_prefix || o.path_match == route::PathMatch::exact;
    if (fixed && !o.strip_prefix.empty() && !o.path.starts_with(o.strip_prefix) &&
        !o.strip_prefix.starts_with(o.path)) {
      report_.warning(place(node, {"strip_prefix"}),
                      concat({"no path of this route starts with ", quoted(o.strip_prefix)}));
    }
  }

  // Labels: the given ones first, so that a made one never takes a given one's name.
  void name_routes() {
    std::set<std::string> names;
    for (std::size_t i = 0; i < s_.routes.size(); ++i) {
      const std::string& name = s_.routes[i].name;
      if (!name.empty() && !names.insert(name).second) {
        report_.error(place(item_of(array_, i), {"name"}),
                      concat({"there is another route of the name ", quoted(name)}));
      }
    }
    std::unordered_map<std::string, std::uint32_t> made_count;
    for (route::RouteOptions& o : s_.routes) {
      if (!o.name.empty()) continue;
      const std::string made = made_name(o);
      std::uint32_t& count = made_count[made];
      do {
        ++count;
        o.name = count == 1 ? made : concat({made, "#", std::to_string(count)});
      } while (!names.insert(o.name).second);
    }
  }

  static std::string made_name(const route::RouteOptions& o) {
    std::string name;
    for (const std::string& host : o.hosts) name += concat({name.empty() ? "" : ",", host});
    if (o.hosts.empty()) name = "*";
    switch (o.path_match) {
      case route::PathMatch::any: break;
      case route::PathMatch::exact: name += o.path; break;
      case route::PathMatch::prefix: name += concat({o.path, o.path.ends_with('/') ? "*" : "/*"}); break;
      case route::PathMatch::regex: name += concat({"~", o.path}); break;
    }
    for (char& c : name) {
      if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\') c = '_';
    }
    if (name.size() > label_max) name = concat({std::string_view(name).substr(0, label_max - 3), "..."});
    return name;
  }

  void warn_of_unused(const Node& root) {
    for (std::size_t i = 0; i < used_.size(); ++i) {
      if (!used_[i])
        report_.warning(place(item_of(look(&root, {"upstream"}), i), {"name"}),
                        concat({"no route uses the upstream ", quoted(s_.upstreams[i].name)}));
    }
    std::vector<bool> reached(s_.listeners.size());
    for (const route::RouteOptions& o : s_.routes) {
      if (o.listener_indices.empty()) return;
      for (const std::uint32_t index : o.listener_indices) reached[index] = true;
    }
    for (std::size_t i = 0; i < reached.size() && !s_.routes.empty(); ++i) {
      if (!reached[i])
        report_.warning(place(item_of(look(&root, {"listener"}), i), {"name"}),
                        concat({"no route serves the listener ", quoted(s_.listeners[i].name)}));
    }
  }

  void warn_of_hidden() {
    const std::vector<std::uint32_t> hidden = hidden_by(s_.routes);
    for (std::size_t i = 0; i < hidden.size(); ++i) {
      if (hidden[i] == i) continue;
      const Node* other = item_of(array_, hidden[i]);
      const std::string line = other == nullptr ? "?" : std::to_string(other->at.line);
      report_.warning(place(item_of(array_, i), {}),
                      concat({"route ", quoted(s_.routes[i].name), " can never be reached: ",
                              quoted(s_.routes[hidden[i]].name), " (line ", line, ") takes all its requests"}));
    }
  }

  Snapshot& s_;
  const Node* array_;
  Report& report_;
  Names listeners_;
  Names upstreams_;
  std::vector<bool> used_;
};

}  // namespace

void check_routes(Snapshot& s, const Node& root, Report& report) { RouteChecks(s, root, report).run(root); }

}  // namespace sluice::config
