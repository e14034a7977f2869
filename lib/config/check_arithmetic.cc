// What single values that are each right amount to together: time limits that cannot end before one that holds them,
// more connections than a server bears, a drain too short for what it waits for. Warnings, each with the page that says
// why; see check.h.
#include <algorithm>

#include "config/check_parts.h"

namespace sluice::config {
namespace {

constexpr base::Millis acquire_max = base::seconds(5);  // a person has gone to the next page, a client has given up
constexpr base::Millis idle_max = base::seconds(60);  // most servers close after this

constexpr std::string_view waiting_page = "waiting-for-a-connection";
constexpr std::string_view connecting_page = "connecting-within-the-routes-timeout";
constexpr std::string_view lifetime_page = "connections-that-never-end";
constexpr std::string_view idle_page = "idle-for-longer-than-the-server";
constexpr std::string_view server_page = "more-connections-than-the-server-bears";
constexpr std::string_view drain_page = "a-drain-shorter-than-an-answer";
constexpr std::string_view tickets_page = "ticket-keys-of-a-listener-without-a-name";

std::string count(std::uint64_t n, std::string_view what) {
  return concat({std::to_string(n), " ", what, n == 1 ? "" : "s"});
}

void warn(Report& report, Position at, std::initializer_list<std::string_view> message, std::string_view page) {
  report.warning(at, concat({concat(message), "; see docs/configuration.md#", page}));
}

// Whether discovery brings the addresses: they come, go and may stand for a fleet.
bool has_names(const upstream::UpstreamOptions& o) {
  return !o.dns.empty() || !o.srv.empty() ||
         std::ranges::any_of(o.endpoints, [](const auto& e) { return !e.address.has_value(); });
}

void check_pool(const upstream::UpstreamOptions& o, const Node* node, Report& report) {
  const Node* pool = look(node, {"pool"});
  if (o.pool.acquire_timeout > acquire_max) {
    warn(report, place(pool, {"acquire_timeout"}),
         {"acquire_timeout (", print_duration(o.pool.acquire_timeout), ") is above ", print_duration(acquire_max),
          ": whoever waits that long has mostly left, and the queue holds up those who have not"},
         waiting_page);
  }
  if (o.pool.idle_timeout > idle_max) {
    warn(report, place(pool, {"idle_timeout"}),
         {"pool.idle_timeout (", print_duration(o.pool.idle_timeout), ") is above ", print_duration(idle_max),
          ": most servers close before, maybe just as a request goes out"},
         idle_page);
  }
  if (o.pool.max_lifetime.count == 0 && has_names(o)) {
    warn(report, place(pool, {"max_lifetime"}),
         {"with max_lifetime = \"0\" connections to the addresses of a name never end of themselves: what joins gets "
          "only what is new"},
         lifetime_page);
  }
}

// A name counts as one endpoint: how many addresses it has is known only when it is resolved.
void check_server_limit(const RuntimeOptions& runtime, const upstream::UpstreamOptions& o, const Node* node,
                        Report& report) {
  if (o.server_limit == 0) return;
  const std::uint64_t endpoints = std::max<std::uint64_t>(o.endpoints.size(), 1);
  const std::uint64_t kept = std::uint64_t{o.pool.min_idle} * endpoints * runtime.replicas;
  if (kept <= o.server_limit) return;
  warn(report, place(look(node, {"pool"}), {"min_idle"}),
       {"pool.min_idle (", std::to_string(o.pool.min_idle), ") x ", count(endpoints, "endpoint"), " x ",
        count(runtime.replicas, "replica"), " = ", std::to_string(kept),
        " connections that are always open: above server_limit (", std::to_string(o.server_limit), ")"},
       server_page);
}

void check_route(const Snapshot& s, const route::RouteOptions& o, const Node* node, Report& report) {
  if (o.wait_budget > acquire_max) {
    warn(report, place(node, {"wait_budget"}),
         {"wait_budget (", print_duration(o.wait_budget), ") is above ", print_duration(acquire_max),
          ": whoever waits that long has mostly left, and the queue holds up those who have not"},
         waiting_page);
  }
  if (o.timeout.count == 0) return;
  const auto longer = [&](std::string_view what, base::Millis value, std::string_view of, std::string_view page) {
    warn(
        report, place(node, {what == "wait_budget" ? what : "timeout"}),
        {what, " (", print_duration(value), of.empty() ? "" : " of upstream ", of.empty() ? "" : quoted(of),
         ") is above the timeout (", print_duration(o.timeout), ") of route ", quoted(o.name), ", which ends it first"},
        page);
  };
  const auto exceeds = [&](base::Millis upstream::PoolOptions::* limit) {
    return std::ranges::find_if(
        o.targets, [&](const route::Target& t) { return s.upstreams[t.upstream_index].pool.*limit > o.timeout; });
  };
  if (o.wait_budget > o.timeout) {
    longer("wait_budget", o.wait_budget, "", waiting_page);
  } else if (o.wait_budget.count == 0) {
    if (const auto it = exceeds(&upstream::PoolOptions::acquire_timeout); it != o.targets.end())
      longer("acquire_timeout", s.upstreams[it->upstream_index].pool.acquire_timeout, it->upstream, waiting_page);
  }
  if (const auto it = exceeds(&upstream::PoolOptions::connect_timeout); it != o.targets.end())
    longer("connect_timeout", s.upstreams[it->upstream_index].pool.connect_timeout, it->upstream, connecting_page);
}

// The defaults, taken together, are let be: Kubernetes kills after 30 s, and so long may a route take (see the page).
void check_drain(const Snapshot& s, const Node& root, Report& report) {
  const route::RouteOptions* longest = nullptr;
  for (const route::RouteOptions& o : s.routes) {
    if (o.action == route::Action::proxy && (longest == nullptr || o.timeout > longest->timeout)) longest = &o;
  }
  if (longest == nullptr || (s.drain == DrainOptions{} && longest->timeout == route::RouteOptions{}.timeout)) return;
  const base::Millis needed = base::Millis{longest->timeout.count + s.drain.deregister_wait.count};
  if (s.drain.deadline >= needed) return;
  const auto index = static_cast<std::size_t>(longest - s.routes.data());
  const Node* drain = look(&root, {"drain"});
  const Position at =
      drain != nullptr ? place(drain, {"deadline"}) : place(item_of(look(&root, {"route"}), index), {"timeout"});
  warn(report, at,
       {"drain.deadline (", print_duration(s.drain.deadline), ") is shorter than deregister_wait (",
        print_duration(s.drain.deregister_wait), ") and the timeout of route ", quoted(longest->name), " (",
        print_duration(longest->timeout), ") together: a stop may cut an answer that is in time"},
       drain_page);
}

void check_ticket_keys(const Snapshot& s, const Node& root, Report& report) {
  for (std::size_t i = 0; i < s.listeners.size(); ++i) {
    const Node* node = item_of(look(&root, {"listener"}), i);
    if (!s.listeners[i].tls || s.listeners[i].tls->ticket_keys.empty() || look(node, {"name"}) != nullptr) continue;
    warn(report, place(node, {"tls", "ticket_keys"}),
         {"ticket_keys on a listener without a name: tickets hold for listeners of one name, and this one is called ",
          quoted(s.listeners[i].name), " after its address"},
         tickets_page);
  }
}

}  // namespace

void check_arithmetic(const Snapshot& s, const Node& root, Report& report) {
  for (std::size_t i = 0; i < s.upstreams.size(); ++i) {
    const Node* node = item_of(look(&root, {"upstream"}), i);
    check_pool(s.upstreams[i], node, report);
    check_server_limit(s.runtime, s.upstreams[i], node, report);
  }
  check_ticket_keys(s, root, report);
  if (report.failed()) return;  // names of routes and of their upstreams may not be known
  for (std::size_t i = 0; i < s.routes.size(); ++i)
    check_route(s, s.routes[i], item_of(look(&root, {"route"}), i), report);
  check_drain(s, root, report);
}

}  // namespace sluice::config
