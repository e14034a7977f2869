// The schema: process-wide tables and listeners here, upstreams in schema_upstream.cc, routes in schema_route.cc; see
// schema.h.
#include "config/schema.h"

#include <algorithm>
#include <vector>

#include "config/composite.h"
#include "config/schema_parts.h"
#include "exchange/concurrency_limiter.h"

namespace sluice::config {
namespace {

template <class E>
constexpr unsigned n(E value) {
  return static_cast<unsigned>(value);
}

constexpr std::int64_t count_max = 1'000'000'000;

constexpr Word log_levels[] = {{"debug", n(base::LogLevel::debug)},
                               {"info", n(base::LogLevel::info)},
                               {"warn", n(base::LogLevel::warn)},
                               {"error", n(base::LogLevel::error)}};
constexpr Word log_formats[] = {{"text", n(base::LogFormat::text)}, {"json", n(base::LogFormat::json)}};
constexpr Word access_formats[] = {{"json", n(exchange::AccessLogFormat::json)},
                                   {"common", n(exchange::AccessLogFormat::common)}};
constexpr Word log_onlys[] = {{"all", n(exchange::LogOnly::all)},
                              {"slow_or_failed", n(exchange::LogOnly::slow_or_failed)}};
constexpr Word log_names[] = {{"sluice", n(exchange::LogNames::sluice)},
                              {"otel", n(exchange::LogNames::otel)},
                              {"ecs", n(exchange::LogNames::ecs)}};
constexpr Word listener_protocols[] = {{"h2", n(http::Protocol::http2), Feature::http2},
                                       {"http/1.1", n(http::Protocol::http1)}};
constexpr Word proxy_in[] = {{"off", n(net::ProxyProtocolIn::off)}, {"required", n(net::ProxyProtocolIn::required)}};
constexpr Word forwarded_bys[] = {{"x-forwarded-for", n(exchange::ForwardedBy::x_forwarded_for)},
                                  {"forwarded", n(exchange::ForwardedBy::forwarded)}};
constexpr Word underscores[] = {{"drop", n(http::UnderscoreHeaders::drop)},
                                {"reject", n(http::UnderscoreHeaders::reject)},
                                {"pass", n(http::UnderscoreHeaders::pass)}};
constexpr Word tls_versions[] = {{"1.2", n(tls::Version::tls12)}, {"1.3", n(tls::Version::tls13)}};
constexpr Word client_auths[] = {{"off", n(tls::ClientAuth::off)},
                                 {"optional", n(tls::ClientAuth::optional)},
                                 {"required", n(tls::ClientAuth::required)}};

constexpr DurationRange above_zero{.min = base::millis(1)};

void key(Visitor& v, const Key& key, Codec&& codec) { v.key(key, codec); }

Words log_field_words() {
  static const std::vector<Word> words = [] {
    std::vector<Word> all;
    for (unsigned i = 0; i < exchange::log_fields; ++i)
      all.push_back({exchange::field_word(static_cast<exchange::LogField>(i)), i});
    return all;
  }();
  return words;
}

std::string query_name(std::string_view text) {
  constexpr std::size_t longest = 64;
  const bool plain = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
  if (text.empty() || text.size() > longest || !plain || text.find_first_of("&=;%+") != std::string_view::npos)
    return concat({quoted(text), " is no name of a parameter: 1 to 64 visible characters, without & = ; % +"});
  return {};
}

std::string fleet_name(std::string_view text) {
  if (text.empty()) return "";
  if (net::Address::parse_ip(text) || text.find(':') != std::string_view::npos)
    return "takes a name whose addresses are counted, without a port";
  return bare_host(text);
}

void visit_runtime(Visitor& v, RuntimeOptions& o) {
  key(v,
      {"workers", Takes::restart, "threads that serve traffic, each with a loop of its own; \"auto\" or a number",
       "auto is the smaller of CPU affinity and cgroup cpu.max, rounded up: more threads than CPUs only wait for each "
       "other"},
      WorkerCount(o.workers));
  key(v,
      {"max_connections", Takes::now,
       "client connections of the whole process; at the limit one that makes no request, else the longest idle one, is "
       "closed for each "
       "that comes",
       "about 32 MiB of idle connections in the clear; RLIMIT_NOFILE is raised to its hard limit at start and this is "
       "lowered to fit it, "
       "with a warning"},
      Number(o.max_connections, 1, 16'777'216));
  key(v,
      {"max_memory", Takes::now,
       "bytes held for traffic, all workers together; as it fills, HTTP/2 connections are offered fewer streams, and "
       "one that holds "
       "64 KiB of bodies is not read until they have gone on; above it new requests get 503 `overloaded`; above 5/4 of "
       "it new connections "
       "are closed and new streams refused; \"auto\" or a size",
       "auto is 3/4 of the cgroup's limit, without one of the machine's memory: the rest is for the kernel's buffers "
       "and what does not "
       "grow with traffic"},
      MemorySize(o.max_memory));
  key(v,
      {"max_lateness", Takes::now,
       "a worker that begins every turn for 100 ms later than this after what it handles became ready refuses new "
       "requests that are later with 503 `overloaded`: those of low `priority` from half of it on, of high from twice; "
       "0 = never",
       "for no harm: benchmarks with hundreds of connections stay below it on busy machines, and so do containers that "
       "are throttled now and then; services that answer in milliseconds set a tenth of it"},
      Duration(o.max_lateness));
  key(v,
      {"warm_timeout", Takes::restart, "how long /readyz waits at most for the `min_idle` connections of upstreams",
       "an upstream that is down must not keep the whole instance out of service"},
      Duration(o.warm_timeout));
  key(v,
      {"replicas", Takes::now,
       "processes with this configuration that use the same upstreams: their connections count together, see "
       "`server_limit`",
       "no file can count them"},
      Number(o.replicas, 1, 100'000));
  key(v,
      {"replicas_dns", Takes::now,
       "a name (as of a headless service) that has an address for each of these processes; in place of `replicas`, "
       "followed as names of upstreams are",
       "\"\": `replicas` says it"},
      Text(o.replicas_dns, fleet_name, Fold::lower));
}

void visit_drain(Visitor& v, DrainOptions& o) {
  key(v,
      {"deregister_wait", Takes::now,
       "after the signal /readyz says 503 while everything is served as before; answers of HTTP/1 already carry "
       "Connection: close",
       "load balancers need a few seconds to see the 503 and stop sending"},
      Duration(o.deregister_wait));
  key(v,
      {"deadline", Takes::now,
       "from the signal to the close of what is left, deregister_wait included; sluice exits as soon as nothing is "
       "left",
       "Kubernetes kills after 30 s: five are left to end in good order"},
      Duration(o.deadline));
}

void visit_log(Visitor& v, base::LogLevel& level, base::LogFormat& format) {
  key(v,
      {"level", Takes::now, "least severity written to stderr: debug, info, warn, error",
       "info tells of starts, reloads and failures; debug adds lines per connection (docs/log.md)"},
      Choice(level, log_levels));
  key(v, {"format", Takes::now, "text or json", "text is for people; json for collectors"},
      Choice(format, log_formats));
}

void visit_access_log(Visitor& v, exchange::AccessLogOptions& o) {
  key(v,
      {"output", Takes::restart, "stdout, off, or a file; lines go through a bounded ring to one writer thread",
       "containers collect stdout; a full disk or pipe drops lines (counted) and never stalls traffic"},
      AccessLogTarget(o));
  key(v,
      {"format", Takes::now, "json or common (Apache's combined line, then the microseconds and a code of two letters)",
       "json holds all there is to know, common what people read"},
      Choice(o.format, access_formats));
  key(v,
      {"fields", Takes::now, "json: which keys a line has, in which order; docs/log.md has all",
       "[]: all of them, in the order of docs/log.md; what has no value is left out"},
      Choices(o.fields, log_field_words(), Empty::allowed));
  key(v,
      {"headers", Takes::now,
       "json: fields of the request as the client sent it (\"x-tenant\") and of the answer as it goes to the client "
       "(\"response:age\"), 256 bytes of each; at most 16; none that hold credentials",
       "[]: what they hold is known to the service alone"},
      LoggedHeaders(o.headers));
  key(v,
      {"redact_query", Takes::now,
       "parameters of the query (and of the referer's) whose values are written as ***: [\"token\"]; case does not "
       "matter, however they are encoded",
       "[]: which ones are secrets the service knows"},
      TextList(o.redact_query, query_name, Fold::lower));
  key(v,
      {"only", Takes::now,
       "all, or slow_or_failed: what took longer than `slow_after` of its route, did not end well, was tried again, or "
       "got a 5xx",
       "a line for each request is what people expect"},
      Choice(o.only, log_onlys));
  key(v,
      {"sample", Takes::now, "share of the other requests, 0 to 1, that have a line; slow and failed ones always do",
       "1: all of them"},
      Share(o.sample));
  key(v,
      {"names", Takes::now,
       "json: what the keys are called: sluice, otel (OpenTelemetry's semantic conventions) or ecs (Elastic's Common "
       "Schema)",
       "short names cost less; collectors that know a vocabulary need no mapping"},
      Choice(o.names, log_names));
  key(v,
      {"long_every", Takes::now,
       "tunnels and event streams have a line when they begin, and these and all other answers one each time they "
       "have been open for so long; 0 = only at their end",
       "what lasts for hours must not be unknown until it ends"},
      Duration(o.long_every, {.max = base::hours(24)}));
}

void visit_dns(Visitor& v, dns::DnsOptions& o) {
  constexpr Feature needs = Feature::dns;
  key(v,
      {"servers", Takes::now, "name servers, e.g. [\"127.0.0.1:5353\"]", "empty: as the system is configured", needs},
      ServerAddresses(o.servers));
  key(v,
      {"timeout", Takes::now, "one query",
       "a resolver on the same network answers in milliseconds, a recursive one within a second", needs},
      Duration(o.timeout, above_zero));
  key(v,
      {"attempts", Takes::now, "queries in all before the look-up has failed",
       "one datagram may be lost; more only delays the news", needs},
      Number(o.attempts, 1, 10));
  key(v,
      {"min_ttl", Takes::now, "answers live at least this long", "a TTL of 0 must not mean a query a request", needs},
      Duration(o.min_ttl, {.min = base::millis(100)}));
  key(v,
      {"max_ttl", Takes::now, "answers live at most this long", "a TTL of a day would hold a move up for a day", needs},
      Duration(o.max_ttl, above_zero));
  key(v,
      {"negative_ttl_max", Takes::now,
       "\"no such name\" lives as long as the SOA minimum says (RFC 2308), but not longer than this",
       "a name that is born must be found soon", needs},
      Duration(o.negative_ttl_max, above_zero));
  key(v,
      {"stale_max", Takes::now, "the last good answer serves this long while DNS fails",
       "an outage of DNS must not become an outage of the service", needs},
      Duration(o.stale_max));
  key(v,
      {"nx_hold", Takes::now,
       "\"no such name\" and empty answers must repeat for this long before known addresses are given up",
       "a wrong push of a zone must not be an outage at once", needs},
      Duration(o.nx_hold));
  key(v,
      {"required_at_start", Takes::restart, "true: refuse to start while a name does not resolve",
       "a start must not depend on DNS being up", needs},
      Flag(o.required_at_start));
}

void visit_http2(Visitor& v, http::Http2Options& o) {
  constexpr Feature needs = Feature::http2;
  key(v,
      {"max_streams", Takes::now, "HTTP/2: concurrent streams of a connection",
       "browsers ask for 100; each stream may hold a window of memory", needs},
      Number(o.max_streams, 1, 65'535));
  key(v,
      {"stream_window", Takes::now, "HTTP/2: receive window of one stream", "256 KiB fill a 100 Mbit/s path of 20 ms",
       needs},
      Size(o.stream_window, {.min = 16'384, .max = 0x7fffffff}));
  key(v,
      {"connection_buffer", Takes::now,
       "HTTP/2: request bytes of one connection held at once; stream windows shrink before the sum can exceed it",
       "16 full windows: a client with 128 uploads may not hold 32 MiB", needs},
      Size(o.connection_buffer, {.min = 65'535, .max = 0x7fffffff}));
  key(v,
      {"max_resets", Takes::now,
       "HTTP/2: streams cancelled within 1 s of opening, in 10 s, before GOAWAY: of those at upstreams, and of all if "
       "they are more than "
       "half",
       "rapid reset (CVE-2023-44487) cancels thousands a second; a browser that leaves a page cancels some dozens",
       needs},
      Number(o.max_resets, 1, count_max));
}

void visit_downstream(Visitor& v, http::DownstreamOptions& o) {
  key(v,
      {"handshake_timeout", Takes::now, "the whole TLS handshake",
       "three round trips of the worst mobile line, with losses"},
      Duration(o.handshake_timeout, above_zero));
  key(v,
      {"header_timeout", Takes::now, "the whole request head, a PROXY header too, from its first byte",
       "absolute: a slowloris sends a byte at a time"},
      Duration(o.header_timeout, above_zero));
  key(v,
      {"half_close_grace", Takes::now,
       "HTTP/1: a client that sent FIN behind its request is still answered if that begins, and goes on, within this",
       "it has most likely left; old clients half-close and wait, and a second serves them"},
      Duration(o.half_close_grace, above_zero));
  key(v,
      {"body_timeout", Takes::now, "between two reads of a request body, while we are ready to take more",
       "a stalled upload holds a connection and maybe an upstream's"},
      Duration(o.body_timeout, above_zero));
  key(v,
      {"write_timeout", Takes::now, "a client that takes no byte of its answer",
       "a zero window must not hold an upstream connection for ever"},
      Duration(o.write_timeout, above_zero));
  key(v,
      {"min_rate", Takes::now,
       "bytes a second, body and answer, over a window as long as the timeout beside it (at least 10 s), while the "
       "client owes us "
       "something; 0 = none",
       "below the slowest modem; one byte every 29 s would pass the time limits above"},
      Number(o.min_rate, 0, count_max));
  key(v,
      {"idle_timeout", Takes::now, "keep-alive: from the last answer to the next request",
       "longer than the 60 s at which most load balancers in front give up: they close first, without a race"},
      Duration(o.idle_timeout, above_zero));
  key(v,
      {"underscore_headers", Takes::now,
       "field names of requests, trailers too, with other characters than letters, digits and '-': drop, reject (400) "
       "or pass",
       "backends of the CGI kind take '_', '.', '~' and the like for '-', so X_Real_IP or X.Real.IP would be believed"},
      Choice(o.limits.underscore_headers, underscores));
  key(v,
      {"max_requests", Takes::now, "requests of one connection, then a clean close or GOAWAY",
       "long-lived clients spread over a grown fleet in time"},
      Number(o.max_requests, 1, count_max));
  key(v,
      {"max_age", Takes::now,
       "of a connection, +-20 % jitter; then a clean close, or GOAWAY, when its requests have ended; 0 = none",
       "most fleets change seldom, and max_requests moves busy clients; with it long-lived ones reach a grown fleet "
       "within this"},
      Duration(o.max_age));
  key(v, {"max_request_line", Takes::now, "request line; above it 414", "twice what browsers and common servers allow"},
      Size(o.limits.max_request_line, {.min = 256, .max = 96 * 1024}));
  key(v,
      {"max_header_bytes", Takes::now,
       "names and values of all fields, and every blank around them but the one behind the colon; above it 431",
       "large cookies and tokens fit; more is an attack or a bug"},
      Size(o.limits.max_header_bytes, {.min = 1024, .max = 96 * 1024}));
  key(v,
      {"max_header_count", Takes::now, "fields of a head; above it 431",
       "browsers send about 20; nginx and Envoy stop at 100, too"},
      Number(o.limits.max_header_count, 1, 10'000));
  visit_http2(v, o.http2);
}

void visit_server_tls(Visitor& v, tls::ServerTlsOptions& o) {
  key(v,
      {"certificates", Takes::now,
       "PEM files, leaf first, and their keys; by SNI, the first answers names that none covers; several keys a name "
       "(ECDSA and RSA) "
       "allowed",
       "needed", Feature::none, "[{ cert = \"example.pem\", key = \"example.key\" }]"},
      Certificates(o.certificates));
  key(v,
      {"min_version", Takes::now, "\"1.2\" or \"1.3\"",
       "1.3 has no renegotiation and no weak ciphers; 1.2 must be asked for"},
      Choice(o.min_version, tls_versions));
  key(v,
      {"client_ca", Takes::now, "file with the CAs of client certificates; \"\" = none",
       "most services do not ask clients for certificates"},
      FilePath(o.client_ca));
  key(v, {"client_auth", Takes::now, "off, optional, required", "as client_ca"}, Choice(o.client_auth, client_auths));
  key(v,
      {"early_data", Takes::now, "TLS 1.3 0-RTT, on routes with replayable = true only",
       "early data can be replayed by anybody on the path (RFC 8470)", Feature::early_data},
      Flag(o.early_data));
  key(v,
      {"ticket_keys", Takes::now, "file shared by a fleet, newest key first",
       "\"\": made here and rotated, so that a key that leaks opens little"},
      FilePath(o.ticket_keys));
  key(v,
      {"ticket_lifetime", Takes::now, "how long a session can be resumed",
       "a working day; RFC 8446 allows a week, with less forward secrecy"},
      Duration(o.ticket_lifetime, {.min = base::seconds(1), .max = base::hours(24 * 7)}));
}

void visit_listener(Visitor& v, ListenerOptions& o) {
  key(v,
      {"name", Takes::now, "label in routes, logs and metrics; unique", "the (first) address if absent", Feature::none,
       "\"https\""},
      Text(o.name, label_text));
  key(v,
      {"address", Takes::now,
       "where it listens: \"0.0.0.0:8080\", \"[::]:8443\", \"unix:/run/sluice.sock\", or an array of these; port 0 = "
       "any",
       "needed", Feature::none, "\"127.0.0.1:8080\""},
      ListenAddresses(o.addresses));
  key(v,
      {"unix_mode", Takes::now, "permissions of the file of a unix socket, whatever the umask",
       "owner and group connect; the folder says who comes near"},
      FileMode(o.unix_mode));
  key(v,
      {"protocols", Takes::now, "in TLS by ALPN, in this order; in the clear \"h2\" means prior knowledge",
       "what is built, the newest first"},
      Choices(o.protocols, listener_protocols));
  key(v,
      {"proxy_protocol", Takes::now, "off, or required (v1 and v2 are told apart)",
       "a client could name any address if it were optional"},
      Choice(o.proxy_protocol, proxy_in));
  key(v,
      {"max_connections_per_client", Takes::now,
       "connections of one address (of version 6: of its /64), trusted_proxies aside; above it closed; 0 = no limit",
       "behind one address there may be a whole office"},
      Number(o.max_connections_per_client, 0, exchange::ConcurrencyLimiter::most_max));
  key(v,
      {"trusted_proxies", Takes::now, "addresses and blocks of proxies that are believed: see `forwarded_by`",
       "nobody: what a client says of itself is no evidence"},
      Cidrs(o.trusted_proxies));
  key(v,
      {"forwarded_by", Takes::now,
       "the one field in which trusted proxies name the client: x-forwarded-for or forwarded; the other is dropped",
       "nearly all balancers write X-Forwarded-For and hand Forwarded on as the client wrote it"},
      Choice(o.forwarded_by, forwarded_bys));
  visit_downstream(v, o.downstream);
  key(v,
      {"health_path", Takes::now,
       "GET and HEAD of exactly this path, whatever the host, are answered here: 200 while ready for traffic, 503 "
       "while starting, deregistered or draining; \"\" = off",
       "an upstream's path must not be taken from it unasked; balancers of clouds ask the port that they send to"},
      Text(o.health_path, optional_path));
  key(v, {"access_log", Takes::now, "false: its requests have no line in the access log", "what is served is told"},
      Flag(o.access_log));
  key(v,
      {"error_pages", Takes::now,
       "files for the body of our own failures, by status or class: { 404 = \"404.html\", 5xx = \"5xx.json\" }; .html, "
       ".json or .txt, 64 KiB each, 32 in all; read again by every reload",
       "{}: one line of text; what an upstream answers is never touched"},
      ErrorPagesCodec(o.error_pages));
  visit_optional(
      v, {"tls", "Its presence turns TLS on for this listener."}, o.tls, [] { return tls::ServerTlsOptions{}; },
      visit_server_tls);
}

}  // namespace

ListenerOptions default_listener(const Availability& available) {
  ListenerOptions options;
  if (available.has(Feature::http2)) options.protocols.push_back(http::Protocol::http2);
  options.protocols.push_back(http::Protocol::http1);
  return options;
}

void visit(Visitor& v, Snapshot& s, const Availability& available) {
  visit_table(v, {"runtime", "The process."}, s.runtime, visit_runtime);
  visit_table(v, {"drain", "Leaving on SIGTERM, SIGINT and POST /drain."}, s.drain, visit_drain);
  visit_table(
      v, {"admin", "Metrics, probes and status, on a listener and a thread of their own."}, s.admin,
      [](Visitor& inner, AdminOptions& o) {
        key(inner,
            {"address", Takes::restart, "where it listens; \"\" switches it off", "loopback: it has no password"},
            AdminAddress(o));
        key(inner,
            {"hosts", Takes::now, "names it is asked by, without port; IP addresses and localhost always are",
             "none: a name that somebody else's DNS points at it must not open it to a browser's pages"},
            TextList(o.hosts, bare_host, Fold::lower));
        key(inner,
            {"unix_mode", Takes::restart, "permissions of its file, if it is a unix socket; whatever the umask",
             "owner and group: whoever connects may drain and reload"},
            FileMode(o.unix_mode));
      });
  visit_table(v, {"log", "The process log on stderr."}, s.log,
              [](Visitor& inner, LogOptions& o) { visit_log(inner, o.level, o.format); });
  visit_table(v, {"access_log", "One line per request."}, s.access_log, visit_access_log);
  visit_table(v, {"dns", "Names in `endpoints`, `dns` and `srv`.", Feature::dns}, s.dns, visit_dns);
  visit_array(
      v, {"listener", "Where clients connect; one or more."}, s.listeners, [&] { return default_listener(available); },
      visit_listener);
  visit_array(
      v, {"upstream", "A service behind the proxy: its endpoints and how they are used."}, s.upstreams,
      [&] { return default_upstream(available); }, visit_upstream);
  visit_array(
      v, {"route", "What a request gets. Host by specificity, then the first route of the file that matches."},
      s.routes, [] { return route::RouteOptions{}; }, visit_route);
}

}  // namespace sluice::config
