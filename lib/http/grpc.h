// What a proxy must know of gRPC (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): which requests are
// calls, how long the client waits, and the status that ends one. Pure functions; the status of each failure is in
// failure.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "http/fields.h"

namespace sluice::http {

// By content-type: application/grpc, alone or with a suffix (+proto) or a parameter. Not gRPC-Web, which is plain HTTP.
bool is_grpc(const Fields& fields);

// The value of grpc-timeout: one to eight digits and a unit (H M S m u n). Rounded up to whole milliseconds, at least
// one: 0 is a deadline that has passed. nullopt: malformed, so no limit (as Envoy does); the server behind judges it
// for itself.
std::optional<base::Millis> parse_grpc_timeout(std::string_view value);

// The value of grpc-status; nullopt: not a number that can be one.
inline constexpr uint32_t grpc_status_max = 999;
std::optional<uint16_t> parse_grpc_status(std::string_view value);

}  // namespace sluice::http
