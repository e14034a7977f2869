// What a request is told apart by: its client, a field, a cookie, a query parameter or its path. For limits
// (admission.h) and for ring_hash. Pure; views into what they are read from.
#pragma once

#include <string_view>

#include "exchange/forwarded.h"
#include "http/fields.h"
#include "http/head.h"
#include "upstream/options.h"

namespace sluice::exchange {

// Bytes that stand for a client's address (of version 6 its /64, which is what one customer has); "" if nobody knows
// it.
std::string_view address_bytes(const net::Address& address);
inline std::string_view client_key(const Client& client) { return address_bytes(client.address); }

// The value of a field, the first if there are more; "" if it is not there.
std::string_view field_value(const http::Fields& fields, std::string_view name);

// The value of a cookie (RFC 6265 5.4; HTTP/2 may send them in several fields, RFC 9113 8.2.3); "" if it is not there.
std::string_view cookie_value(const http::Fields& fields, std::string_view name);

// The value of the first query parameter of that name, as it was sent (escapes are compared, not decoded); "" if it is
// not there. `target`: path and query, or an absolute form.
std::string_view query_value(std::string_view target, std::string_view name);

// upstream::Want::key of a request that `hash_on` is read from; 0: it has not what is named, or an empty value. `path`
// as the route matched it.
uint64_t ring_key(const upstream::UpstreamOptions& options, const Client& client, const http::Head& head,
                  std::string_view path);

}  // namespace sluice::exchange
