#include "exchange/admission.h"

#include <charconv>

#include "base/check.h"
#include "exchange/request_key.h"

namespace sluice::exchange {
namespace {

constexpr std::string_view nobody = "?";  // no address is of one byte

std::string_view address_key(const Client& client) {
  const std::string_view key = client_key(client);
  return key.empty() ? nobody : key;
}

}  // namespace

std::string_view limit_key(route::RateKey by, std::string_view name, const Client& client, const http::Fields& fields) {
  switch (by) {
    case route::RateKey::client_ip: return address_key(client);
    case route::RateKey::header: return field_value(fields, name);
    case route::RateKey::cookie: return cookie_value(fields, name);
    case route::RateKey::route: return {};
  }
  UNREACHABLE();
}

size_t memory_eighths(http::Lane lane) {
  switch (lane) {
    case http::Lane::high: return 9;
    case http::Lane::normal: return 8;
    case http::Lane::low: return 7;
  }
  UNREACHABLE();
}

void add_rate_fields(http::Fields& to, const RateLimiter& limiter, uint32_t wait_seconds) {
  char digits[10];
  const auto end = std::to_chars(digits, digits + sizeof digits, wait_seconds).ptr;
  to.add("ratelimit-policy", limiter.policy());
  to.add("ratelimit",
         to.arena().concat("\"default\";r=0;t=", std::string_view(digits, static_cast<size_t>(end - digits))));
}

}  // namespace sluice::exchange
