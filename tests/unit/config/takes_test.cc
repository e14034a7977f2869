// Every key of the schema, changed by a reload: in force afterwards, or named as waiting for a restart. Made from the
// schema, so a new key is asked of the same; one whose values cannot be guessed stands in `others`.
#include <algorithm>
#include <cctype>
#include <map>

#include "config/catalog.h"
#include "config/diff.h"
#include "config/dump.h"
#include "helpers.h"

namespace sluice::config {
namespace {

using namespace test;

// What another value of that key may be, by its path without names: the text of a configuration that has it.
const std::map<std::string, std::string, std::less<>> others = {
    {"runtime.workers", "3"},
    {"runtime.max_memory", "\"1GiB\""},
    {"runtime.replicas_dns", "\"sluice.test\""},
    {"admin.address", "\"127.0.0.1:9902\""},
    {"admin.unix_mode", "\"0600\""},
    {"admin.hosts", "[\"sluice.test\"]"},
    {"log.level", "\"debug\""},
    {"log.format", "\"json\""},
    {"access_log.output", "\"off\""},
    {"access_log.format", "\"common\""},
    {"access_log.fields", "[\"time\", \"path\"]"},
    {"access_log.headers", "[\"x-tenant\", \"response:age\"]"},
    {"access_log.redact_query", "[\"token\"]"},
    {"access_log.only", "\"slow_or_failed\""},
    {"access_log.names", "\"otel\""},
    {"access_log.sample", "0.5"},
    {"dns.servers", "[\"127.0.0.1:5353\"]"},
    {"listener.name", "\"other\""},
    {"listener.address", "\"127.0.0.1:7777\""},
    {"listener.protocols", "[\"http/1.1\"]"},
    {"listener.proxy_protocol", "\"required\""},
    {"listener.trusted_proxies", "[\"10.0.0.0/8\"]"},
    {"listener.forwarded_by", "\"forwarded\""},
    {"listener.health_path", "\"/healthz\""},
    {"listener.error_pages", "{ 5xx = \"5xx.html\" }"},
    {"listener.underscore_headers", "\"reject\""},
    {"listener.unix_mode", "\"0600\""},
    {"listener.tls.certificates", "[{ cert = \"other.pem\", key = \"other.key\" }]"},
    {"listener.tls.min_version", "\"1.2\""},
    {"listener.tls.client_ca", "\"ca.pem\""},
    {"listener.tls.client_auth", "\"optional\""},
    {"listener.tls.ticket_keys", "\"keys\""},
    {"upstream.name", "\"other\""},
    {"upstream.endpoints", "[\"127.0.0.1:3009\"]"},
    {"upstream.dns", "\"app.test:80\""},
    {"upstream.srv", "\"_http._tcp.app.test\""},
    {"upstream.protocol", "\"h2\""},
    {"upstream.host", "\"endpoint\""},
    {"upstream.balance", "\"round_robin\""},
    {"upstream.hash_on", "\"query:user\""},
    {"upstream.source_addresses", "[\"127.0.0.1\"]"},
    {"upstream.proxy_protocol", "\"v1\""},
    {"upstream.tls.server_name", "\"app.test\""},
    {"upstream.tls.ca", "\"ca.pem\""},
    {"upstream.tls.cert", "\"client.pem\""},
    {"upstream.tls.key", "\"client.key\""},
    {"upstream.health.kind", "\"tcp\""},
    {"upstream.health.path", "\"/ready\""},
    {"upstream.health.host", "\"app.test\""},
    {"upstream.health.service", "\"a.B\""},
    {"upstream.health.expect", "\"204\""},
    {"upstream.retry.on", "[\"connect\"]"},
    {"upstream.pool_class.name", "\"slower\""},
    {"upstream.pool_class.max_connections", "\"50%\""},
    {"upstream.pool_class.routes", "[\"aside\", \"main\"]"},
    {"route.name", "\"other\""},
    {"route.listeners", "[\"clear\"]"},
    {"route.hosts", "[\"a.test\"]"},
    {"route.path", "\"/a\""},
    {"route.path_prefix", "\"/a\""},
    {"route.path_regex", "\"^/a\""},
    {"route.methods", "[\"GET\"]"},
    {"route.headers", "{ x-a = \"1\" }"},
    {"route.upstream", "\"second\""},
    {"route.split", "[{ upstream = \"app\", weight = 95 }, { upstream = \"second\", weight = 5 }]"},
    {"route.priority", "\"high\""},
    {"route.concurrency_limit", "{ requests = 1 }"},
    {"route.fallback", "{ upstream = \"second\" }"},
    {"route.error_pages", "{ 404 = \"404.json\" }"},
    {"route.max_body", "\"1MiB\""},
    {"route.upgrade", "[]"},
    {"route.allow", "[\"10.0.0.0/8\"]"},
    {"route.deny", "[\"10.0.0.0/8\"]"},
    {"route.strip_prefix", "\"/api\""},
    {"route.rewrite_prefix", "\"/v2\""},
    {"route.request_headers", "{ set = { x-a = \"1\" } }"},
    {"route.response_headers", "{ set = { x-a = \"1\" } }"},
};
// Keys of which one excludes another, or that stand only with another: these are exchanged, or added, together.
const std::map<std::string, std::string, std::less<>> with = {
    {"runtime.replicas_dns", "replicas"},
    {"upstream.dns", "endpoints"},
    {"upstream.srv", "endpoints"},
    {"route.split", "upstream"},
    {"route.redirect", "upstream"},
    {"route.respond", "upstream"},
    {"upstream.tls.cert", "+key = \"client.key\""},
    {"upstream.tls.key", "+cert = \"client.pem\""},
    {"listener.tls.client_auth", "+client_ca = \"ca.pem\""},
    {"route.rewrite_prefix", "+path_prefix = \"/api\""},
    {"route.strip_prefix", "+path_prefix = \"/api\""},
    {"upstream.health.service", "+kind = \"grpc\""},
};

const char* const base = R"(
[[listener]]
name = "clear"
address = "127.0.0.1:8080"
[[listener]]
name = "tls"
address = "127.0.0.1:8443"
[listener.tls]
certificates = [{ cert = "/a.pem", key = "/a.key" }]
[[upstream]]
name = "app"
endpoints = ["127.0.0.1:3000"]
protocol = "auto"
[upstream.tls]
[upstream.health]
[upstream.retry]
[[upstream.pool_class]]
name = "slow"
max_connections = 8
routes = ["aside"]
[[upstream]]
name = "second"
endpoints = ["127.0.0.1:3001"]
protocol = "h2"
[[route]]
name = "main"
upstream = "app"
[[route]]
name = "aside"
upstream = "app"
path = "/aside"
)";

// "listener[1].tls.min_version" -> "listener.tls.min_version".
std::string without_indices(std::string place) {
  while (place.find('[') != std::string::npos) place.erase(place.find('['), place.find(']') - place.find('[') + 1);
  return place;
}

// Numbers grow by one, also those in durations and sizes; true and false change places. "" = cannot be guessed.
std::string guess(const std::string& value) {
  if (value == "true") return "false";
  if (value == "false") return "true";
  const std::size_t digits = value.find_first_of("0123456789");
  if (digits > 1 || (digits == 1 && value[0] != '"')) return {};
  const std::size_t end = value.find_first_not_of("0123456789", digits);
  const std::string number = value.substr(digits, end == std::string::npos ? end : end - digits);
  const std::string rest = end == std::string::npos ? "" : value.substr(end);
  if (rest.starts_with('.')) return value + "1";
  const bool unit = rest.empty() || rest == "ms\"" || rest == "s\"" || rest == "m\"" || rest == "h\"" ||
                    rest == "B\"" || rest == "KiB\"" || rest == "MiB\"" || rest == "GiB\"" || rest == "TiB\"";
  return unit ? value.substr(0, digits) + std::to_string(std::stoull(number) + 1) + rest : std::string();
}

// The text of a configuration line by line, with the place of each key.
class Text {
 public:
  explicit Text(std::string text) : text_(std::move(text)) {}

  // The key at `place` gets that value; `how` as in `with`.
  std::string with_value(const std::string& place, const std::string& value, std::string_view how) {
    const std::size_t dot = place.rfind('.');
    const std::string table = place.substr(0, dot + 1);
    const std::string key = place.substr(dot + 1);
    const bool adds = how.starts_with('+');
    const std::string added = adds ? std::string(how.substr(1)) : std::string();
    const std::string gone = adds ? added.substr(0, added.find(' ')) : std::string(how);
    std::string result;
    std::map<std::string, int> counts;
    std::string here;
    std::string item;
    for (std::size_t at = 0; at < text_.size();) {
      const std::size_t end = text_.find('\n', at);
      const std::string line = text_.substr(at, end - at);
      at = end + 1;
      if (line.starts_with("[[")) {
        const std::string name = line.substr(2, line.size() - 4);
        const std::size_t inner = name.find('.');
        if (inner == std::string::npos) {
          here = item = name + "[" + std::to_string(counts[name]++) + "].";
        } else {
          here = item + name.substr(inner + 1);
          here += "[" + std::to_string(counts[here]++) + "].";
        }
      } else if (line.starts_with("[")) {
        const std::string name = line.substr(1, line.size() - 2);
        const std::size_t inner = name.find('.');
        here = inner == std::string::npos ? name + "." : item + name.substr(inner + 1) + ".";
      } else if (here == table && (line.starts_with(key + " =") || (!gone.empty() && line.starts_with(gone + " =")))) {
        continue;
      }
      result += line + "\n";
      if (line.starts_with("[") && here == table) result += key + " = " + value + "\n" + (adds ? added + "\n" : "");
    }
    return result;
  }

 private:
  std::string text_;
};

// What is in an item goes by name.
bool names(const Diff& diff, const Setting& setting) {
  const std::string& place = setting.place;
  const std::size_t in_item = place.find('.') + 1;
  const bool nested = place.find('[', in_item) != std::string::npos;
  const std::string path =
      nested ? setting.path.substr(setting.path.find('.', setting.path.find('.') + 1) + 1) : place.substr(in_item);
  const auto item = [&](const std::vector<ItemChange>& changes) {
    return std::ranges::any_of(changes, [&](const ItemChange& change) {
      return change.change != Change::changed || std::ranges::find(change.keys, path) != change.keys.end();
    });
  };
  if (place.starts_with("listener[")) return item(diff.listeners);
  if (place.starts_with("upstream[")) return item(diff.upstreams);
  if (place.starts_with("route[")) return item(diff.routes);
  return std::ranges::find(diff.settings, place) != diff.settings.end();
}

TEST_CASE("every key: a reload takes it, or says that it waits for a restart") {
  const std::string text = dump(good(base));
  const Snapshot running = good(text);
  std::size_t tried = 0;
  std::map<std::string, bool> seen;
  for (const Setting& setting : settings(running)) {
    const std::string path = without_indices(setting.place);
    if (seen[path] || path == "listener.tls.early_data") continue;
    const auto other = others.find(path);
    const std::string value = other != others.end()          ? other->second
                              : !setting.key.example.empty() ? std::string(setting.key.example)
                                                             : guess(setting.value);
    CAPTURE(setting.place);
    CAPTURE(setting.value);
    CAPTURE(value);
    REQUIRE(!value.empty());
    const auto how = with.find(path);
    std::string changed = Text(text).with_value(setting.place, value, how == with.end() ? "" : how->second);
    const std::string_view old_name = "upstream = \"app\"";
    for (std::size_t at = 0; path == "upstream.name" && (at = changed.find(old_name, at)) != std::string::npos;)
      changed.replace(at, old_name.size(), "upstream = \"other\"");
    const Snapshot loaded = good(changed);
    Snapshot next = loaded;
    const std::vector<Waiting> waiting = keep_until_restart(running, next);
    const Diff d = diff(running, next);
    if (setting.key.takes == Takes::restart) {
      REQUIRE(waiting.size() == 1);
      CHECK(waiting[0].key == setting.place);
      CHECK(waiting[0].value == value);
      CHECK(next == running);
      CHECK(d.empty());
    } else {
      CHECK(waiting.empty());
      CHECK(next == loaded);
      CHECK(names(d, setting));
    }
    seen[path] = true;
    ++tried;
  }
  CHECK(tried > 100);
}

}  // namespace
}  // namespace sluice::config
