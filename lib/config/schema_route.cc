// The schema of [[route]]; see schema.h.
#include "config/composite.h"
#include "config/schema_parts.h"

namespace sluice::config {
namespace {

template <class E>
constexpr unsigned n(E value) {
  return static_cast<unsigned>(value);
}

constexpr Word lanes[] = {
    {"high", n(http::Lane::high)}, {"normal", n(http::Lane::normal)}, {"low", n(http::Lane::low)}};

void key(Visitor& v, const Key& key, Codec&& codec) { v.key(key, codec); }

std::string optional_label(std::string_view text) { return text.empty() ? std::string() : label_text(text); }

std::string method(std::string_view text) {
  if (const std::string wrong = field_name(text); !wrong.empty())
    return concat({quoted(text), " is no method (RFC 9110 9.1)"});
  return text == "CONNECT" ? "must not name CONNECT: it is answered 405" : "";
}

std::string upgrade(std::string_view text) {
  return field_name(text).empty() ? std::string() : concat({quoted(text), " is no protocol name (RFC 9110 7.8)"});
}

void visit_matching(Visitor& v, route::RouteOptions& o) {
  constexpr Feature none = Feature::none;
  key(v, {"name", Takes::now, "label in logs and metrics; unique", "\"\": made from hosts and path"},
      Text(o.name, optional_label));
  key(v, {"listeners", Takes::now, "names of listeners", "[]: every listener"}, TextList(o.listeners, some_text));
  key(v, {"hosts", Takes::now, "names without port, \"*.\" stands for one or more labels", "[]: any"},
      TextList(o.hosts, host_pattern, Fold::lower));
  key(v,
      {"path", Takes::now, "exactly this path, in normalised form",
       "one of path, path_prefix, path_regex, or none: any path", none, "\"/exact\""},
      PathRule(o, route::PathMatch::exact));
  key(v,
      {"path_prefix", Takes::now, "by whole segments: \"/api\" takes /api and /api/x, never /apix", "as path", none,
       "\"/api\""},
      PathRule(o, route::PathMatch::prefix));
  key(v, {"path_regex", Takes::now, "RE2, searched in the normalised path", "as path", none, "\"^/v[0-9]+/\""},
      PathRule(o, route::PathMatch::regex));
  key(v, {"methods", Takes::now, "methods, case-sensitive", "[]: any"}, TextList(o.methods, method));
  key(v, {"headers", Takes::now, "fields that must be there with exactly this value", "{}: none"},
      HeaderValues(o.headers));
}

void visit_action(Visitor& v, route::RouteOptions& o) {
  constexpr Feature none = Feature::none;
  key(v,
      {"upstream", Takes::now, "the upstream that answers", "exactly one of upstream, split, redirect, respond", none,
       "\"app\""},
      TargetUpstream(o));
  key(v,
      {"split", Takes::now, "several upstreams by weight", "as upstream", none,
       "[{ upstream = \"app\", weight = 95 }, { upstream = \"canary\", weight = 5 }]"},
      SplitTargets(o));
  key(v,
      {"redirect", Takes::now,
       "{host} is without port, {authority} with it; the query is kept unless `to` has a '?' or {query}",
       "as upstream; the status is 301, 302, 303, 307 or 308, which keeps method and body", none,
       "{ to = \"https://{host}{path}\", status = 308 }"},
      RedirectTo(o));
  key(v, {"respond", Takes::now, "a fixed answer", "as upstream", none, "{ status = 200, body = \"ok\" }"},
      RespondWith(o));
}

void visit_limits(Visitor& v, route::RouteOptions& o) {
  key(v,
      {"timeout", Takes::now,
       "from the request's last byte to the response head; retries and waiting included; 0 = none",
       "people and most clients have given up by then"},
      Duration(o.timeout));
  key(v,
      {"stream_idle_timeout", Takes::now, "no byte in either direction: bodies, WebSocket, SSE, gRPC streams; 0 = none",
       "heartbeats are usually sent every 30 s to 2 min"},
      Duration(o.stream_idle_timeout));
  key(v,
      {"slow_after", Takes::now,
       "a request that takes longer counts as slow, with the side that took most of it (`limited_by`); tunnels do not; "
       "0 "
       "= none does",
       "people notice a second; routes that stream or poll for longer have a longer one"},
      Duration(o.slow_after));
  key(v,
      {"max_stream_duration", Takes::now,
       "longest life of an answer or a tunnel, from its head on; tunnels, event streams and calls of gRPC end in good "
       "order, others look cut; 0 = none",
       "most streams are meant to stay; with it they come back to a grown fleet, or a new certificate, in time"},
      Duration(o.max_stream_duration));
  key(v, {"access_log", Takes::now, "false: its requests have no line in the access log", "what is served is told"},
      Flag(o.access_log));
  key(v, {"upgrade", Takes::now, "protocols a client may upgrade to; [] = none", "the only upgrade in common use"},
      TextList(o.upgrade, upgrade, Fold::lower));
  key(v,
      {"wait_budget", Takes::now, "wait for a connection on this route; 0 = the upstream's acquire_timeout",
       "one limit for all is easier to reason about"},
      Duration(o.wait_budget));
  key(v,
      {"priority", Takes::now,
       "high, normal, low: who gets a free connection first, and at max_waiting is refused last; 1 place of 10 goes to "
       "who is passed over",
       "most routes matter alike"},
      Choice(o.priority, lanes));
  key(v,
      {"fallback", Takes::now,
       "what answers in place of our own 502, 503 and 504, before anything went to the client: { upstream = \"NAME\" } "
       "or { respond = { ... } }",
       "absent: the failure is told; only the service knows what is better than nothing", Feature::none,
       "{ respond = { status = 503, body = \"back soon\" } }"},
      FallbackCodec(o.fallback));
  key(v,
      {"error_pages", Takes::now,
       "files for the body of our own failures on this route, by status or class; before those of the listener",
       "{}: those of the listener, else one line of text"},
      ErrorPagesCodec(o.error_pages));
  key(v,
      {"max_body", Takes::now, "request body; above it 413; 0 = no limit",
       "bodies are streamed and cost no memory: the service knows what it takes"},
      Size(o.max_body));
  key(v,
      {"replayable", Takes::now, "GET, HEAD and OPTIONS may arrive as 0-RTT early data",
       "only the service knows what is safe to replay", Feature::early_data},
      Flag(o.replayable));
  key(v,
      {"allow", Takes::now, "addresses and blocks that may use the route; deny wins", "absent: all; [] is an error",
       Feature::none, "[\"10.0.0.0/8\"]"},
      AllowedClients(o.allow));
  key(v, {"deny", Takes::now, "addresses and blocks that may not", "[]: nobody is denied"}, Cidrs(o.deny));
  key(v,
      {"rate_limit", Takes::now,
       "requests a key may begin, above them 429; key = \"client_ip\", \"header:NAME\", \"cookie:NAME\" or \"route\"; "
       "cost = \"header:NAME\": the answer says how many this one was",
       "absent: none; dry_run only counts", Feature::rate_limit,
       "{ requests = 100, per = \"1s\", burst = 200, key = \"client_ip\", dry_run = false }"},
      RateLimitCodec(o.rate_limit));
  key(v,
      {"concurrency_limit", Takes::now, "requests of a key that may be open at once, above them 429; key as above",
       "absent: none; dry_run only counts", Feature::none, "{ requests = 20, key = \"client_ip\", dry_run = false }"},
      ConcurrencyLimitCodec(o.concurrency_limit));
}

}  // namespace

void visit_route(Visitor& v, route::RouteOptions& o) {
  visit_matching(v, o);
  visit_action(v, o);
  key(v,
      {"strip_prefix", Takes::now, "taken off the path that goes upstream, by whole segments",
       "\"\": the client's path goes on as it came"},
      Text(o.strip_prefix, optional_path));
  key(v,
      {"rewrite_prefix", Takes::now, "put in place of strip_prefix, or of path_prefix when that stands alone",
       "\"\": nothing"},
      Text(o.rewrite_prefix, optional_path));
  key(v, {"request_headers", Takes::now, "edits of what goes upstream: remove, then set, then add", "none"},
      HeaderEditsCodec(o.request_headers));
  key(v, {"response_headers", Takes::now, "edits of what goes to the client", "none"},
      HeaderEditsCodec(o.response_headers));
  visit_limits(v, o);
}

}  // namespace sluice::config
