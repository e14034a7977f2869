#include "model.h"

#include <fmt/format.h>

#include <algorithm>

#include "tls_client.h"

namespace sluice::house {
namespace {

constexpr size_t upstreams_max = 4;
constexpr size_t listeners_max = 3;
constexpr size_t routes_max = 6;
constexpr uint32_t first_port = 8080;
constexpr uint32_t ports = 6;

template <class T, size_t n>
T one_of(const T (&all)[n], support::Random& random) {
  return all[random.below(n)];
}

template <class T>
T& any(std::vector<T>& all, support::Random& random) {
  return all[random.below(all.size())];
}

template <class T>
void drop_one(std::vector<T>& all, support::Random& random) {
  all.erase(all.begin() + static_cast<ptrdiff_t>(random.below(all.size())));
}

std::string some_endpoints(support::Random& random) {
  if (random.one_in(2)) return fmt::format("\"{}:80\"", names[random.below(names.size())]);
  const uint64_t first = random.between(1, hosts);
  if (random.one_in(2)) return fmt::format("\"10.0.0.{}:80\"", first);
  return fmt::format("\"10.0.0.{}:80\", \"10.0.0.{}:80\"", first, first % hosts + 1);
}

}  // namespace

Model::Model(support::Random& random) {
  upstreams.push_back(upstream(random));
  upstreams.push_back(upstream(random));
  listeners.push_back(listener(random));
  listeners.push_back(listener(random));
  routes.push_back(route(random));
  routes.push_back(route(random));
}

UpstreamModel Model::upstream(support::Random& random) {
  UpstreamModel made;
  made.name = fmt::format("up{}", next_++);
  made.endpoints = some_endpoints(random);
  made.health = random.one_in(3);
  made.protocol = random.one_in(3) ? "h2" : "http/1.1";
  made.max_connections = random.one_in(3) ? 100 : 4;
  return made;
}

ListenerModel Model::listener(support::Random& random) {
  ListenerModel made;
  made.name = random.one_in(3) ? "" : fmt::format("in{}", next_++);
  const auto taken = [&](uint32_t port) {
    return std::ranges::any_of(listeners, [port](const auto& l) { return l.port == port; });
  };
  do {
    made.port = first_port + static_cast<uint32_t>(random.below(ports));
  } while (taken(made.port));
  made.both = !random.one_in(3);
  made.proxy_protocol = random.one_in(4);
  made.tls = random.one_in(3);
  return made;
}

RouteModel Model::route(support::Random& random) {
  return {fmt::format("r{}", next_++), fmt::format("/{}", random.below(4)), any(upstreams, random).name};
}

void Model::mend() {
  for (RouteModel& route : routes) {
    const auto known = [&](const auto& u) { return u.name == route.upstream; };
    if (std::ranges::none_of(upstreams, known)) route.upstream = upstreams.front().name;
  }
}

std::string Model::change_upstream(support::Random& random) {
  UpstreamModel& it = any(upstreams, random);
  switch (random.below(10)) {
    case 0: it.connect_timeout_ms = one_of({200U, 1'000U, 2'000U}, random); return it.name + ".connect_timeout";
    case 1: it.acquire_timeout_ms = one_of({100U, 1'000U}, random); return it.name + ".acquire_timeout";
    case 2: it.idle_timeout_s = one_of({1U, 30U}, random); return it.name + ".idle_timeout";
    case 3: it.max_connections = one_of({1U, 2U, 4U, 100U}, random); return it.name + ".max_connections";
    case 4: it.min_idle = one_of({0U, 1U, 3U}, random); return it.name + ".min_idle";
    case 5: it.health = !it.health; return it.name + ".health";
    case 6: it.health_interval_ms = one_of({200U, 1'000U, 5'000U}, random); return it.name + ".health.interval";
    case 7: it.endpoints = some_endpoints(random); return it.name + ".endpoints";
    case 8: it.protocol = one_of({"http/1.1", "h2"}, random); return it.name + ".protocol";
    default:
      it.name = fmt::format("up{}", next_++);
      mend();
      return it.name + " (another name)";
  }
}

std::string Model::change_listener(support::Random& random) {
  ListenerModel& it = any(listeners, random);
  switch (random.below(8)) {
    case 0: it.both = !it.both; return "listener.protocols";
    case 1: it.proxy_protocol = !it.proxy_protocol; return "listener.proxy_protocol";
    case 2: it.idle_timeout_s = one_of({1U, 5U, 75U}, random); return "listener.idle_timeout";
    case 3: it.max_age_s = one_of({0U, 1U, 5U}, random); return "listener.max_age";
    case 4: it.tls = !it.tls; return "listener.tls";
    case 5: it.certificate = (it.certificate + 1) % certificates; return "listener.tls.certificates";
    case 6: it.handshake_timeout_s = one_of({1U, 10U}, random); return "listener.handshake_timeout";
    default: it.name = random.one_in(2) ? "" : fmt::format("in{}", next_++); return "listener.name";
  }
}

std::string Model::change(support::Random& random) {
  switch (random.below(12)) {
    case 0: max_connections = one_of({2U, 6U, 12U, 200U}, random); return "runtime.max_connections";
    case 1: deregister_wait_ms = one_of({0U, 500U}, random); return "drain.deregister_wait";
    case 2:
      if (upstreams.size() < upstreams_max) upstreams.push_back(upstream(random));
      return "an upstream more";
    case 3:
      if (upstreams.size() > 1) drop_one(upstreams, random);
      mend();
      return "an upstream less";
    case 4:
      if (listeners.size() < listeners_max) listeners.push_back(listener(random));
      return "a listener more";
    case 5:
      if (listeners.size() > 1) drop_one(listeners, random);
      return "a listener less";
    case 6:
      if (routes.size() < routes_max) routes.push_back(route(random));
      return "a route more";
    case 7:
      if (routes.size() > 1) drop_one(routes, random);
      return "a route less";
    case 8: any(routes, random).upstream = any(upstreams, random).name; return "a route leads elsewhere";
    case 9: return change_listener(random);
    default: return change_upstream(random);
  }
}

std::string Model::toml() const {
  std::string text = fmt::format(
      "[runtime]\nmax_connections = {}\n[drain]\nderegister_wait = \"{}ms\"\ndeadline = \"5s\"\n"
      "[log]\nlevel = \"error\"\n[access_log]\noutput = \"off\"\n[admin]\naddress = \"\"\n",
      max_connections, deregister_wait_ms);
  for (const ListenerModel& l : listeners) {
    text += fmt::format(
        "[[listener]]\naddress = \"127.0.0.1:{}\"\nprotocols = [{}]\nproxy_protocol = \"{}\"\n"
        "idle_timeout = \"{}s\"\nhandshake_timeout = \"{}s\"\nmax_age = \"{}s\"\n",
        l.port, l.both ? "\"h2\", \"http/1.1\"" : "\"http/1.1\"", l.proxy_protocol ? "required" : "off",
        l.idle_timeout_s, l.handshake_timeout_s, l.max_age_s);
    if (!l.name.empty()) text += fmt::format("name = \"{}\"\n", l.name);
    if (l.tls) text += fmt::format("[listener.tls]\ncertificates = [{{ {} }}]\n", certificate(l.certificate));
  }
  for (const UpstreamModel& u : upstreams) {
    text += fmt::format(
        "[[upstream]]\nname = \"{}\"\nendpoints = [{}]\nprotocol = \"{}\"\n[upstream.pool]\n"
        "connect_timeout = \"{}ms\"\nacquire_timeout = \"{}ms\"\nidle_timeout = \"{}s\"\n"
        "max_connections = {}\nmin_idle = {}\n",
        u.name, u.endpoints, u.protocol, u.connect_timeout_ms, u.acquire_timeout_ms, u.idle_timeout_s,
        u.max_connections, std::min(u.min_idle, u.max_connections));
    if (u.health) {
      text += fmt::format("[upstream.health]\nkind = \"tcp\"\ninterval = \"{}ms\"\ntimeout = \"150ms\"\n",
                          u.health_interval_ms);
    }
  }
  for (const RouteModel& r : routes) {
    text += fmt::format("[[route]]\nname = \"{}\"\npath_prefix = \"{}\"\nupstream = \"{}\"\n", r.name, r.prefix,
                        r.upstream);
  }
  return text;
}

}  // namespace sluice::house
