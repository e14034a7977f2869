// The schema of [[upstream]]; see schema.h.
#include "config/composite.h"
#include "config/schema_parts.h"
#include "upstream/grpc_health.h"
#include "upstream/standing.h"

namespace sluice::config {
namespace {

template <class E>
constexpr unsigned n(E value) {
  return static_cast<unsigned>(value);
}

constexpr std::int64_t count_max = 1'000'000;

constexpr Word protocols[] = {{"http/1.1", n(upstream::Protocol::http1)},
                              {"h2", n(upstream::Protocol::http2), Feature::http2},
                              {"auto", n(upstream::Protocol::any), Feature::http2}};
constexpr Word balances[] = {{"p2c", n(upstream::Balance::p2c)},
                             {"p2c_ewma", n(upstream::Balance::p2c_ewma)},
                             {"round_robin", n(upstream::Balance::round_robin)},
                             {"least_requests", n(upstream::Balance::least_requests)},
                             {"ring_hash", n(upstream::Balance::ring_hash), Feature::ring_hash}};
constexpr Word proxy_out[] = {
    {"off", n(net::ProxyProtocolOut::off)}, {"v1", n(net::ProxyProtocolOut::v1)}, {"v2", n(net::ProxyProtocolOut::v2)}};
constexpr Word health_kinds[] = {{"http", n(upstream::HealthKind::http)},
                                 {"tcp", n(upstream::HealthKind::tcp)},
                                 {"grpc", n(upstream::HealthKind::grpc), Feature::grpc_health}};

constexpr DurationRange above_zero{.min = base::millis(1)};

void key(Visitor& v, const Key& key, Codec&& codec) { v.key(key, codec); }

std::string empty_or(std::string_view text, TextRule rule) { return text.empty() ? std::string() : rule(text); }
std::string optional_name_and_port(std::string_view text) { return empty_or(text, name_and_port); }
std::string optional_service(std::string_view text) { return empty_or(text, service_name); }
std::string optional_host(std::string_view text) { return empty_or(text, host_name); }

std::string grpc_service(std::string_view text) {
  if (text.size() > upstream::grpc_service_max) return "is longer than 127 bytes";
  return empty_or(text, label_text);
}

std::string request_target(std::string_view text) { return path_text(text.substr(0, text.find('?'))); }

void visit_pool(Visitor& v, upstream::PoolOptions& o) {
  key(v,
      {"max_connections", Takes::now, "per endpoint, whole process, idle ones counted",
       "what a common application server takes; see upstream_pool_recommended_connections"},
      Number(o.max_connections, 1, count_max));
  key(v,
      {"min_idle", Takes::now, "per endpoint, connected and handshaken before /readyz is 200, and kept",
       "no traffic, no connections"},
      Number(o.min_idle, 0, count_max));
  key(v,
      {"acquire_timeout", Takes::now, "longest wait for a connection; then 503 with a reason",
       "a queue longer than a second only adds to the load of a slow upstream"},
      Duration(o.acquire_timeout, above_zero));
  key(v,
      {"max_waiting", Takes::now, "requests in the queue of the upstream; above it 503 at once",
       "eight waiting for each connection are served within acquire_timeout if one takes 100 ms"},
      Number(o.max_waiting, 0, count_max));
  key(v,
      {"queue_target", Takes::now,
       "a queue in which nobody has waited longer is calm; 0 = it always is: first come, first served, and nobody is "
       "shed",
       "a queue that a burst left is empty again, or shrinks: only one that stands and grows is cut "
       "(docs/queueing.md)"},
      Duration(o.queue_target));
  key(v,
      {"queue_interval", Takes::now,
       "a queue that was not calm for so long, and grew meanwhile, is served newest first, and what it has beyond "
       "what is served in that time, 64 at least, is refused: 503 `pool_timeout`, the oldest of the lowest `priority`",
       "by simulation at loads from 0.5 to 3 of the capacity: no loss below it, and above it half of the served wait "
       "2 ms instead of a second"},
      Duration(o.queue_interval, above_zero));
  key(v,
      {"max_client_share", Takes::now,
       "percent of the connections in use that requests of one client address (IPv6: its /64) may have while others "
       "wait, and only then; 100 = no limit",
       "one client alone has them all; a second one gets answers beside it"},
      Number(o.max_client_share, 1, 100));
  key(v,
      {"connect_timeout", Takes::now,
       "TCP and TLS together; a connection of HTTP/2 that is asked whether it lives has as long",
       "within a data centre a connect takes a millisecond; a lost SYN is sent again after one second"},
      Duration(o.connect_timeout, above_zero));
  key(v,
      {"idle_timeout", Takes::now, "an idle connection is closed after this",
       "shorter than the 60 s after which most servers close: they never close one that we just chose"},
      Duration(o.idle_timeout, above_zero));
  key(v,
      {"max_lifetime", Takes::now, "+-20 % jitter; 0 = none",
       "connections follow a changed load balancer or a rotated certificate within minutes"},
      Duration(o.max_lifetime));
  key(v, {"max_requests", Takes::now, "per connection; 0 = no limit", "max_lifetime bounds it already"},
      Number(o.max_requests, 0, std::numeric_limits<std::int64_t>::max()));
  key(v,
      {"max_in_flight", Takes::now,
       "requests at one endpoint, whole process, of any version, tunnels too; who comes later waits; 0 = no limit",
       "over HTTP/1 max_connections is this limit already; for HTTP/2, where a connection carries many"},
      Number(o.max_in_flight, 0, count_max));
  key(v,
      {"max_tunnels", Takes::now,
       "per endpoint, whole process: a connection that became a tunnel (101, or CONNECT over HTTP/2) leaves "
       "max_connections and counts "
       "here",
       "WebSockets stay open for hours and must not starve requests"},
      Number(o.max_tunnels, 0, count_max));
  key(v,
      {"keepalive", Takes::now,
       "TCP, new connections: after so long a silence the peer's host is asked whether it lives, three times a third "
       "of it apart; 0 = never",
       "a host that is gone is noticed within a minute, and firewalls that forget silent connections do not forget "
       "ours"},
      Duration(o.keepalive));
  key(v,
      {"user_timeout", Takes::now,
       "TCP, new connections: what the peer's host does not acknowledge, or takes no byte of, for so long ends the "
       "connection; 0 = the system's patience (Linux: 15 minutes)",
       "a receiver that pauses (gRPC streams, a slow upload) looks like a dead one here: Linux counts the probes of a "
       "closed window too"},
      Duration(o.user_timeout));
}

void visit_client_tls(Visitor& v, tls::ClientTlsOptions& o) {
  key(v,
      {"server_name", Takes::now, "SNI and the name that is verified",
       "\"\": the endpoint's name as configured; of srv the domain after the service labels"},
      Text(o.server_name, optional_host));
  key(v, {"ca", Takes::now, "file with the CAs that are believed", "\"\": the system's, or what SSL_CERT_FILE names"},
      FilePath(o.ca));
  key(v, {"verify", Takes::now, "whether the certificate is verified", "without it anybody on the path can answer"},
      Flag(o.verify));
  key(v, {"cert", Takes::now, "client certificate; needs key", "\"\": none"}, FilePath(o.cert));
  key(v, {"key", Takes::now, "its key", "\"\": none"}, FilePath(o.key));
}

void visit_health(Visitor& v, upstream::HealthOptions& o) {
  key(v,
      {"kind", Takes::now, "http, tcp (a connect) or grpc (grpc.health.v1)",
       "a process that accepts may still be unable to answer"},
      Choice(o.kind, health_kinds));
  key(v, {"path", Takes::now, "http: what is asked for", "the usual name"}, Text(o.path, request_target));
  key(v, {"host", Takes::now, "http, grpc: the host that is asked for", "\"\": the endpoint's name"},
      Text(o.host, optional_host));
  key(v,
      {"service", Takes::now, "grpc: the service that is asked about", "\"\": the server as a whole",
       Feature::grpc_health},
      Text(o.service, grpc_service));
  key(v,
      {"expect", Takes::now, "http: statuses of a healthy endpoint, \"200-399\" or \"200,204\"",
       "a redirect to a login page is an answer, too"},
      ExpectedStatus(o.expect));
  key(v,
      {"interval", Takes::now, "between two checks of an endpoint, with jitter",
       "unhealthy_after times this is how long a hung endpoint stays in use"},
      Duration(o.interval, {.min = base::millis(100)}));
  key(v,
      {"timeout", Takes::now, "connect, handshake and answer of one check",
       "a healthy endpoint answers a check in milliseconds"},
      Duration(o.timeout, above_zero));
  key(v,
      {"healthy_after", Takes::now, "good checks in a row before an endpoint is used again",
       "one good answer may be luck"},
      Number(o.healthy_after, 1, 100));
  key(v,
      {"unhealthy_after", Takes::now, "bad checks in a row before an endpoint is left out",
       "one lost packet must not empty a pool"},
      Number(o.unhealthy_after, 1, 100));
}

void visit_outlier(Visitor& v, upstream::OutlierOptions& o) {
  constexpr Feature needs = Feature::outlier;
  key(v,
      {"enabled", Takes::now, "false switches it off", "a broken endpoint answers fastest and attracts traffic", needs},
      Flag(o.enabled));
  key(v,
      {"consecutive_failures", Takes::now,
       "502, 503, 504, gRPC UNAVAILABLE, resets, timeouts and failed connects in a row before ejection; a plain 500 "
       "speaks of the request",
       "five: one in a thousand failing by chance does not eject", needs},
      Number(o.consecutive_failures, 1, upstream::Standing::failures_most));
  key(v,
      {"ejection", Takes::now, "how long; doubles per repeat, up to max_ejection", "a restart takes about that long",
       needs},
      Duration(o.ejection, above_zero));
  key(v,
      {"max_ejection", Takes::now, "longest ejection; after each, one trial request decides",
       "a repaired endpoint is back within minutes", needs},
      Duration(o.max_ejection, above_zero));
  key(v,
      {"max_ejected_percent", Takes::now, "of the endpoints, at one time; one at least, unless it is alone; 0 = none",
       "the other half must be able to carry the load", needs},
      Number(o.max_ejected_percent, 0, 100));
  key(v,
      {"success_rate", Takes::now,
       "also who fails, or takes, at least five times as much as the median of its siblings over 10 s; from 20 "
       "requests "
       "and three endpoints on",
       "endpoints of unequal size, or that are asked for unequal things, differ without being ill", needs},
      Flag(o.success_rate));
}

void visit_retry(Visitor& v, upstream::RetryOptions& o) {
  key(v,
      {"attempts", Takes::now, "tries in all; 1 = no retry",
       "a second endpoint nearly always answers; more tries only multiply an outage"},
      Number(o.attempts, 1, upstream::RetryOptions::attempts_max));
  key(v,
      {"on", Takes::now,
       "connect, reset, refused_stream, \"503\", gateway_error (502, 503, 504); only where a replay is safe",
       "a status may mean overload, which a retry makes worse: it must be asked for"},
      RetryCauses(o.on));
  key(v,
      {"budget", Takes::now,
       "retries per request over 10 s, with a floor of 3 a second; the first failed connects of an endpoint do not "
       "draw "
       "on it, nor does a dead idle connection",
       "in an outage the load grows by a fifth at most"},
      Share(o.budget));
  key(v,
      {"per_try_timeout", Takes::now,
       "of one try, from the request's last byte to the response head; 0 = none; a try cut by it counts as reset",
       "only the service knows how slow an answer may be"},
      Duration(o.per_try_timeout));
  key(v,
      {"backoff", Takes::now,
       "longest pause before a further try, of which a random share is taken; doubles with each; 0 = none; what surely "
       "was not processed goes on at once, once",
       "tries that failed together must not come back together"},
      Duration(o.backoff));
}

void visit_circuit(Visitor& v, upstream::CircuitOptions& o) {
  key(v,
      {"max_requests", Takes::now,
       "in flight, whole process, waiting ones included, tunnels not; above it 503 `circuit_open` at once; 0 = no "
       "limit",
       "the pool bounds it already", Feature::circuit},
      Number(o.max_requests, 0, count_max));
  key(v,
      {"adaptive", Takes::now,
       "requests in flight at one endpoint are limited, too, by how long its answers take to begin against how long "
       "they take at best",
       "a limit that is found out reacts to what was not foreseen, also to slow requests that are as they should be"},
      Flag(o.adaptive));
}

void visit_pool_class(Visitor& v, upstream::PoolClassOptions& o) {
  key(v, {"name", Takes::now, "label in metrics; unique in its upstream", "needed", Feature::none, "\"slow\""},
      Text(o.name, label_text));
  key(v,
      {"max_connections", Takes::now,
       "requests in flight, whole process, tunnels not: a number, or a share of all connections that the usable "
       "endpoints may have, as in \"25%\", one at least; who comes later waits apart from the upstream's queue",
       "needed", Feature::none, "\"25%\""},
      ClassLimit(o));
  key(v,
      {"routes", Takes::now, "names of the routes whose requests it takes; a route is in one class of an upstream",
       "needed", Feature::none, "[\"api\"]"},
      TextList(o.routes, label_text));
}

}  // namespace

upstream::UpstreamOptions default_upstream(const Availability& available) {
  upstream::UpstreamOptions options;
  if (available.has(Feature::outlier)) options.outlier.emplace();
  options.retry.on.refused_stream = available.has(Feature::http2);
  return options;
}

void visit_upstream(Visitor& v, upstream::UpstreamOptions& o) {
  key(v, {"name", Takes::now, "label in routes, logs and metrics; unique", "needed", Feature::none, "\"app\""},
      Text(o.name, label_text));
  key(v,
      {"endpoints", Takes::now,
       "addresses \"HOST:PORT\" or \"unix:PATH\", or tables with a weight; names are resolved, too",
       "this, dns or srv is needed", Feature::none,
       "[\"127.0.0.1:3000\", { address = \"127.0.0.1:3001\", weight = 2 }]"},
      Endpoints(o.endpoints));
  key(v,
      {"dns", Takes::now,
       "instead of endpoints: \"app.internal:8080\", every A and AAAA is an endpoint, refreshed by TTL", "\"\": none",
       Feature::dns},
      Text(o.dns, optional_name_and_port));
  key(v,
      {"srv", Takes::now, "instead of endpoints: \"_http._tcp.app.internal\", ports, priorities and weights from SRV",
       "\"\": none", Feature::dns},
      Text(o.srv, optional_service));
  key(v,
      {"protocol", Takes::now, "http/1.1, h2 (prior knowledge, or ALPN over TLS), auto (ALPN)",
       "every backend speaks it"},
      Choice(o.protocol, protocols));
  key(v,
      {"host", Takes::now, "Host or :authority sent: preserve, endpoint, or a name",
       "applications build links from the name the client used"},
      UpstreamHost(o));
  key(v,
      {"balance", Takes::now, "p2c, p2c_ewma, round_robin, least_requests, ring_hash",
       "p2c: the less busy of two drawn by weight follows slow endpoints without herding"},
      Choice(o.balance, balances));
  key(v,
      {"hash_on", Takes::now, "ring_hash: client_ip, \"header:NAME\", \"cookie:NAME\", \"query:NAME\", path",
       "it is there for every client", Feature::ring_hash},
      HashKey(o));
  key(v,
      {"slow_start", Takes::now, "the weight of a new or recovered endpoint grows over this time; 0 = at once",
       "only cold caches need it", Feature::slow_start},
      Duration(o.slow_start));
  key(v,
      {"panic_threshold", Takes::now, "percent healthy below which health is ignored; 0 = never",
       "when most checks fail the checks are the likelier fault, and the few left would fall, too"},
      Number(o.panic_threshold, 0, 100));
  key(v,
      {"server_limit", Takes::now,
       "connections that what stands behind the endpoints bears from all `replicas` together; 0 = not stated; `check` "
       "warns when "
       "`pool.min_idle` alone is more",
       "only the service knows: workers of its server, `max_connections` of a database"},
      Number(o.server_limit, 0, std::numeric_limits<std::uint32_t>::max()));
  key(v,
      {"source_addresses", Takes::now, "local addresses to connect from",
       "the system chooses; more than one where ports run out"},
      SourceAddresses(o.source_addresses));
  key(v,
      {"proxy_protocol", Takes::now, "off, v1, v2: sent first on a new connection",
       "a server that does not expect it takes it for a bad request"},
      Choice(o.proxy_protocol, proxy_out));
  visit_table(v, {"pool", "Connections to the endpoints."}, o.pool, visit_pool);
  visit_optional(
      v, {"tls", "Its presence turns TLS on."}, o.tls, [] { return tls::ClientTlsOptions{}; }, visit_client_tls);
  visit_optional(
      v, {"health", "Its presence turns active checks on."}, o.health, [] { return upstream::HealthOptions{}; },
      visit_health);
  visit_optional(
      v, {"outlier", "Passive ejection.", Feature::outlier}, o.outlier, [] { return upstream::OutlierOptions{}; },
      visit_outlier);
  visit_table(v, {"retry", "Trying again where that is safe."}, o.retry, visit_retry);
  visit_table(v, {"circuit", "A cap on what is in flight.", Feature::circuit}, o.circuit, visit_circuit);
  visit_array(
      v, {"pool_class", "The part of the pool that slow routes may take; 16 at most (docs/pool.md)."}, o.pool_classes,
      [] { return upstream::PoolClassOptions{}; }, visit_pool_class);
}

}  // namespace sluice::config
