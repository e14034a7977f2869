// What a route changes: target, redirect, header fields, and the draw among weighted upstreams. Pure functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/arena.h"
#include "http/fields.h"
#include "route/options.h"

namespace sluice::route {

// The target to send upstream: as the client sent it, unless `path` (its normalised path, Match::path) starts with
// options.strip_prefix; then that prefix is replaced by options.rewrite_prefix and the original query follows.
std::string_view rewrite_target(const RouteOptions& options, std::string_view target, std::string_view path,
                                base::Arena& arena);

struct RedirectFacts {
  std::string_view authority;  // as sent: host[:port]
  std::string_view path;       // normalised
  std::string_view target;     // as sent, for its query
};

// `to` with {host}, {authority}, {path} and {query} filled in; the query is kept unless `to` has a '?' or {query}.
std::string_view expand_redirect(const Redirect& redirect, const RedirectFacts& facts, base::Arena& arena);

// Applies remove, set, add. The edits must outlive the fields (they are of the snapshot the request holds).
void edit(http::Fields& fields, const HeaderEdits& edits);

// The same for trailers, which must not say what the head may not: removed names go, set ones get that value where they
// stand, and nothing is added, as it is in the head.
void edit_trailers(http::Fields& trailers, const HeaderEdits& edits);

// Index (Target::upstream_index) of one target, by weight. `random`: 64 uniform bits. At least one weight is above 0.
uint32_t pick_target(const RouteOptions& options, uint64_t random);

}  // namespace sluice::route
