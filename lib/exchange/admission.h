// What a request pays for at a route's limits, and how the refusal is told. Pure.
#pragma once

#include <string_view>

#include "exchange/forwarded.h"
#include "exchange/rate_limiter.h"
#include "http/fields.h"
#include "http/lane.h"
#include "route/options.h"

namespace sluice::exchange {

// Whose bucket a request draws on: its client (client_key), the value of a field or a cookie, or nothing for the whole
// route. All requests of clients that nobody knows share one; so do those without the field or the cookie. Views into
// `client` and `fields`.
std::string_view limit_key(route::RateKey by, std::string_view name, const Client& client, const http::Fields& fields);

// Above so many eighths of max_memory a request of this lane is refused.
size_t memory_eighths(http::Lane lane);

// RateLimit-Policy and RateLimit of a refusal (draft-ietf-httpapi-ratelimit-headers-10).
void add_rate_fields(http::Fields& to, const RateLimiter& limiter, uint32_t wait_seconds);

}  // namespace sluice::exchange
