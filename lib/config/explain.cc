// Explaining requests and keys; see explain.h.
#include "config/explain.h"

#include <algorithm>

#include "base/arena.h"
#include "base/text.h"
#include "config/catalog.h"
#include "http/fields.h"
#include "http/validate.h"
#include "route/rewrite.h"
#include "route/router.h"

namespace sluice::config {
namespace {

struct Url {
  bool tls = false;
  std::uint16_t port = 80;
  std::string authority;
  std::string target;  // path and query
};

base::Result<Url> parse_url(std::string_view text) {
  Url url;
  const std::size_t scheme_end = text.find("://");
  const std::string scheme =
      scheme_end == std::string_view::npos ? std::string() : base::to_lower(text.substr(0, scheme_end));
  if (scheme != "http" && scheme != "https") return base::fail("the URL starts with http:// or https://");
  url.tls = scheme == "https";
  url.port = url.tls ? 443 : 80;
  std::string_view rest = text.substr(scheme_end + 3);
  rest = rest.substr(0, rest.find('#'));
  const std::size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  url.authority = http::without_empty_port(rest.substr(0, authority_end));
  url.target = rest.substr(authority_end);
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  if (url.authority.empty()) return base::fail("the URL names no host");
  if (url.authority.find('@') != std::string::npos)
    return base::fail("a URL with a user name is not what a proxy sees: leave it out");
  const bool visible = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!visible) return base::fail("a URL is visible ASCII: write other characters as %XX");
  const std::size_t colon = url.authority.rfind(':');
  if (colon != std::string::npos && url.authority.find(']', colon) == std::string::npos) {
    const auto port = base::parse_u64(std::string_view(url.authority).substr(colon + 1));
    if (!port || *port == 0 || *port > 65'535) return base::fail("the URL has no good port");
    url.port = static_cast<std::uint16_t>(*port);
  }
  return url;
}

// Writes "WORD  TEXT  FILE:LINE" lines.
class Page {
 public:
  explicit Page(const Loaded& loaded) : loaded_(loaded) {}

  void line(std::string_view word, std::string_view fact) { text += concat({pad(word, 12), fact, "\n"}); }
  void item(std::string_view word, std::string_view fact, std::string_view place) {
    line(word, pad(fact, 50) + origin(place));
  }

  // All settings in force below `prefix` ("route[3].").
  void settings_of(const std::vector<Setting>& all, std::string_view prefix) {
    for (const Setting& setting : all) {
      if (!setting.place.starts_with(prefix) || setting.value.empty()) continue;
      const std::string_view name = std::string_view(setting.place).substr(prefix.size());
      text += concat({"            ", pad(concat({name, " = ", setting.value}), 50), origin(setting.place), "\n"});
    }
  }

  // "sluice.toml:12", or "default" for what the file does not say.
  std::string origin(std::string_view place) const {
    const auto found = loaded_.origins.find(place);
    return found == loaded_.origins.end() ? "default" : concat({loaded_.file, ":", std::to_string(found->second.line)});
  }

  std::string text;

 private:
  static std::string pad(std::string_view fact, std::size_t width) {
    std::string padded(fact);
    padded.resize(std::max(width, padded.size() + 2), ' ');
    return padded;
  }

  const Loaded& loaded_;
};

// Listeners of the URL's port; if none has it, those of its scheme; if there is none, all.
std::vector<std::uint32_t> listeners_for(const Snapshot& s, const Url& url) {
  std::vector<std::uint32_t> by_port;
  std::vector<std::uint32_t> by_scheme;
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 0; i < s.listeners.size(); ++i) {
    const ListenerOptions& listener = s.listeners[i];
    const bool scheme = listener.tls.has_value() == url.tls;
    const bool port = std::any_of(
        listener.addresses.begin(), listener.addresses.end(),
        [&](const ListenAddress& address) { return address.parsed.is_ip() && address.parsed.port() == url.port; });
    all.push_back(i);
    if (scheme) by_scheme.push_back(i);
    if (scheme && port) by_port.push_back(i);
  }
  return !by_port.empty() ? by_port : !by_scheme.empty() ? by_scheme : all;
}

std::string_view words(route::HostMatch match) {
  switch (match) {
    case route::HostMatch::any: return "any host";
    case route::HostMatch::wildcard: return "host by wildcard";
    case route::HostMatch::exact: return "exact host";
  }
  return "";
}

std::string place_of(std::string_view table, std::size_t index) {
  return concat({table, "[", std::to_string(index), "]"});
}

class UrlExplainer {
 public:
  UrlExplainer(const Loaded& loaded, const Question& question, const Url& url)
      : s_(*loaded.snapshot), all_(settings(s_)), question_(question), url_(url), page_(loaded), fields_(arena_) {
    for (const auto& [name, value] : question.headers) {
      if (base::iequals(name, "host")) {
        url_.authority = value;
      } else {
        fields_.add(name, value);
      }
    }
  }

  base::Result<std::string> run() {
    const auto router = route::Router::build(s_.routes);
    if (!router) return std::unexpected(router.error());
    page_.line("request",
               concat({question_.method, " ", url_.tls ? "https" : "http", "://", url_.authority, url_.target}));
    for (const std::uint32_t index : listeners_for(s_, url_)) listener(**router, index);
    return std::move(page_.text);
  }

 private:
  void listener(const route::Router& router, std::uint32_t index) {
    const ListenerOptions& options = s_.listeners[index];
    std::string addresses;
    for (const ListenAddress& address : options.addresses)
      addresses += concat({addresses.empty() ? "" : ", ", address.text});
    page_.text += "\n";
    page_.item("listener", concat({options.name, " (", addresses, options.tls ? ", TLS)" : ")"}),
               place_of("listener", index));
    page_.settings_of(all_, place_of("listener", index) + ".");

    route::Query query;
    query.listener = index;
    query.method = http::method_of(question_.method);
    query.method_text = question_.method;
    query.authority = url_.authority;
    query.target = url_.target;
    query.fields = &fields_;
    const route::Match match = router.match(query, arena_);
    if (match.ambiguous) return page_.line("answer", "400 bad_request: the path can be read in two ways");
    if (match.route == nullptr)
      return page_.line("answer", "404 no_route: no route of this listener takes the request");
    route(match);
  }

  void route(const route::Match& match) {
    const route::RouteOptions& options = *match.route;
    page_.item("route", concat({options.name, " (", words(match.host), ", path ", match.path, ")"}),
               place_of("route", match.index));
    page_.settings_of(all_, place_of("route", match.index) + ".");
    switch (options.action) {
      case route::Action::respond:
        return page_.line("answer", concat({std::to_string(options.respond.status), " from the route itself"}));
      case route::Action::redirect: {
        const route::RedirectFacts facts{url_.authority, match.path, url_.target};
        const std::string_view location = route::expand_redirect(options.redirect, facts, arena_);
        return page_.line("answer", concat({std::to_string(options.redirect.status), " to ", location}));
      }
      case route::Action::proxy: break;
    }
    page_.line("sends",
               concat({question_.method, " ", route::rewrite_target(options, url_.target, match.path, arena_)}));
    for (const route::Target& target : options.targets) {
      const std::string share =
          options.targets.size() > 1 ? concat({" (weight ", std::to_string(target.weight), ")"}) : std::string();
      page_.item("upstream", target.upstream + share, place_of("upstream", target.upstream_index));
      page_.settings_of(all_, place_of("upstream", target.upstream_index) + ".");
    }
    if (!options.fallback || options.fallback->upstream.empty()) return;
    page_.item("fallback", options.fallback->upstream, place_of("upstream", options.fallback->upstream_index));
    page_.settings_of(all_, place_of("upstream", options.fallback->upstream_index) + ".");
  }

  const Snapshot& s_;
  const std::vector<Setting> all_;
  const Question& question_;
  Url url_;
  Page page_;
  base::Arena arena_;
  http::Fields fields_;
};

// The value this key has when no file gives it.
std::string default_of(const Setting& setting) {
  Snapshot defaults;
  const Availability built = Availability::built();
  defaults.listeners.push_back(default_listener(built));
  defaults.upstreams.push_back(default_upstream(built));
  defaults.upstreams.back().pool_classes.emplace_back();
  defaults.routes.emplace_back();
  std::string place = setting.place;
  for (std::size_t open = place.find('['); open != std::string::npos; open = place.find('[', open + 1))
    place.replace(open, place.find(']', open) - open + 1, "[0]");
  for (const Setting& one : all_settings(defaults, built)) {
    if (one.place == place) return one.key.example.empty() ? one.value : std::string();
  }
  return {};
}

}  // namespace

base::Result<std::string> explain_url(const Loaded& loaded, const Question& question) {
  const auto url = parse_url(question.url);
  if (!url) return std::unexpected(url.error());
  if (const std::string wrong = field_name(question.method); !wrong.empty())
    return base::fail(concat({quoted(question.method), " is no method"}));
  for (const auto& [name, value] : question.headers) {
    if (const std::string wrong = field_name(name); !wrong.empty()) return base::fail(wrong);
    if (!field_value(value).empty()) return base::fail(concat({"the value of ", name, " ", field_value(value)}));
  }
  return UrlExplainer(loaded, question, *url).run();
}

base::Result<std::string> explain_key(const Loaded& loaded, std::string_view key) {
  const std::vector<Setting> all = all_settings(*loaded.snapshot);
  const auto found = std::find_if(all.begin(), all.end(), [&](const Setting& setting) { return setting.path == key; });
  if (found == all.end()) {
    std::vector<std::string_view> paths;
    for (const Setting& setting : all) paths.push_back(setting.path);
    base::Error error{concat({"there is no key ", quoted(key),
                              " (a key is TABLE.KEY or TABLE.NAME.KEY, as in upstream.app.pool.idle_timeout)"})};
    error.suggestion = nearest(key, paths);
    return std::unexpected(std::move(error));
  }
  Page page(loaded);
  const bool given = loaded.origins.contains(found->place);
  page.text = concat({found->path, " = ", found->value.empty() ? "(not set)" : found->value, "\n"});
  page.line("  from", page.origin(found->place));
  switch (found->force) {
    case Force::yes: break;
    case Force::table_absent:
      page.line("  effect", "none: its table is not in the file, and its presence is what turns this on");
      break;
    case Force::not_built:
      page.line("  effect", concat({"none: not available yet (", words(found->key.needs), ")"}));
      break;
  }
  page.line("  means", found->key.what);
  const std::string value = default_of(*found);
  page.line(given ? "  default" : "  why", concat({value, value.empty() ? "" : ": ", found->key.why}));
  return std::move(page.text);
}

}  // namespace sluice::config
