// Settings of one route, as `[[route]]` states them: what it matches, what it does, what it edits and its limits.
// Plain values, filled and cross-checked by the config library, owned by the snapshot. Names of upstreams and
// listeners are resolved to indices there, so that nothing is looked up by name while requests run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "http/lane.h"
#include "net/address.h"

namespace sluice::route {

// How `path`, `path_prefix` or `path_regex` is read; `any` when none is given.
enum class PathMatch : std::uint8_t { any, exact, prefix, regex };

// What a matched request gets.
enum class Action : std::uint8_t { proxy, redirect, respond };

enum class Replayable : std::uint8_t { no, yes };

// A field name (lower case) with its value.
struct HeaderValue {
  std::string name;
  std::string value;
  bool operator==(const HeaderValue&) const = default;
};

// `request_headers`, `response_headers`: applied in the order remove, set, add. Names are lower case.
struct HeaderEdits {
  std::vector<HeaderValue> set;
  std::vector<HeaderValue> add;
  std::vector<std::string> remove;
  bool empty() const { return set.empty() && add.empty() && remove.empty(); }
  bool operator==(const HeaderEdits&) const = default;
};

// One share of the traffic of a route; `upstream = "app"` is one target of weight 1.
struct Target {
  std::string upstream;
  std::uint32_t weight = 1;          // 0..65535; the sum of a route's weights is above 0
  std::uint32_t upstream_index = 0;  // into Snapshot::upstreams
  bool operator==(const Target&) const = default;
};

// `to` may hold {host} (without port), {authority} (with it), {path} (normalised) and {query}, nothing else in
// braces; the query is kept unless `to` has a '?' or {query}.
struct Redirect {
  std::string to;
  std::uint16_t status = 308;  // 301, 302, 303, 307, 308
  bool operator==(const Redirect&) const = default;
};

struct Respond {
  std::uint16_t status = 200;  // 200..599
  std::string body;
  bool operator==(const Respond&) const = default;
};

// `fallback`: what answers in place of our own 502, 503 and 504.
struct Fallback {
  std::string upstream;              // "": `respond` does
  std::uint32_t upstream_index = 0;  // into Snapshot::upstreams
  Respond respond;
  bool operator==(const Fallback&) const = default;
};

// One of `error_pages`: the file whose content goes out with our own answers of that status.
struct ErrorPageFile {
  std::uint16_t status = 0;  // 404, or 4 and 5 for all of their class
  std::string file;
  bool operator==(const ErrorPageFile&) const = default;
};

// `rate_limit`, `concurrency_limit`: what separates those who are limited; `header` and `cookie` take `key_name`,
// `route` is one for all.
enum class RateKey : std::uint8_t { client_ip, header, cookie, route };

struct RateLimit {
  std::uint32_t requests = 0;
  base::Millis per{1'000};
  std::uint32_t burst = 0;
  RateKey key = RateKey::client_ip;
  std::string key_name;
  std::string cost;      // field of the answer: how many requests this one counts for; "": one
  bool dry_run = false;  // only count what would be refused
  bool operator==(const RateLimit&) const = default;
};

struct ConcurrencyLimit {
  std::uint32_t requests = 0;  // of one key at a time
  RateKey key = RateKey::client_ip;
  std::string key_name;
  bool dry_run = false;  // as above
  bool operator==(const ConcurrencyLimit&) const = default;
};

struct RouteOptions {
  std::string name;                       // unique label; made from hosts and path when the file gives none
  std::vector<std::string> listeners;     // names; empty = every listener
  std::vector<std::uint32_t> listener_indices;  // into Snapshot::listeners, as `listeners`; empty = every listener
  std::vector<std::string> hosts;         // lower case, without port: "example.com", "*.example.com"; empty = any
  PathMatch path_match = PathMatch::any;
  std::string path;                       // the exact path, the prefix or the RE2 pattern
  std::vector<std::string> methods;       // empty = any
  std::vector<HeaderValue> headers;       // all must be there with exactly this value

  Action action = Action::proxy;
  std::vector<Target> targets;            // Action::proxy: one or more
  Redirect redirect;                      // Action::redirect
  Respond respond;                        // Action::respond

  // A path that starts with strip_prefix (by whole segments) loses it and gets rewrite_prefix in its place. With a
  // rewrite_prefix alone, strip_prefix is filled with the path_prefix of the route. Both empty = no rewrite.
  std::string strip_prefix;
  std::string rewrite_prefix;
  HeaderEdits request_headers;
  HeaderEdits response_headers;
  base::Millis timeout{30'000};           // from the request's last byte to the response head; 0 = none
  base::Millis stream_idle_timeout{300'000};  // no byte in either direction; 0 = none
  base::Millis slow_after{1'000};         // what takes longer is told of as slow; 0 = nothing is
  base::Millis max_stream_duration{0};    // of a stream or tunnel, from its answer's head on; 0 = none
  bool access_log = true;                 // its requests have lines there
  std::vector<std::string> upgrade{"websocket"};  // lower case; empty = none
  base::Millis wait_budget{0};            // 0 = the upstream's acquire_timeout
  std::optional<Fallback> fallback;
  std::vector<ErrorPageFile> error_pages;  // no status twice; before those of the listener
  http::Lane priority = http::Lane::normal;  // who waits and is refused last where there is no connection for all
  std::uint64_t max_body = 0;             // bytes; 0 = no limit
  Replayable replayable = Replayable::no;
  std::optional<std::vector<net::Cidr>> allow;  // absent = all; never empty
  std::vector<net::Cidr> deny;            // wins over allow
  std::optional<RateLimit> rate_limit;
  std::optional<ConcurrencyLimit> concurrency_limit;
  bool operator==(const RouteOptions&) const = default;
};

}  // namespace sluice::route
