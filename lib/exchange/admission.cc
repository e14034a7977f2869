#include "exchange/admission.h"

#include <algorithm>
#include <charconv>
#include <span>

#include "base/check.h"
#include "base/text.h"

namespace sluice::exchange {
namespace {

constexpr std::string_view nobody = "?";  // no address is of one byte
constexpr size_t network_bytes = 8;  // of an address of version 6

std::string_view address_key(const Client& client) {
  std::span<const uint8_t> bytes = client.address.ip_bytes();
  if (bytes.empty()) return nobody;  // unknown, or of a Unix socket
  constexpr uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};  // RFC 4291 2.5.5.2
  if (bytes.size() == 16) {
    const bool is_mapped = std::ranges::equal(bytes.first(sizeof mapped), mapped);
    bytes = is_mapped ? bytes.subspan(sizeof mapped) : bytes.first(network_bytes);
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string_view rate_key(const route::RateLimit& limit, const Client& client, const http::Fields& fields) {
  switch (limit.key) {
    case route::RateKey::client_ip: return address_key(client);
    case route::RateKey::header: {
      const http::Field* field = fields.find(limit.key_name);
      return field == nullptr ? std::string_view() : field->value();
    }
    case route::RateKey::cookie: return cookie_value(fields, limit.key_name);
    case route::RateKey::route: return {};
  }
  UNREACHABLE();
}

std::string_view cookie_value(const http::Fields& fields, std::string_view name) {
  for (const http::Field& field : fields) {
    if (field.token != http::Token::cookie) continue;
    std::string_view rest = field.value();
    while (!rest.empty()) {
      const size_t end = std::min(rest.find(';'), rest.size());
      const std::string_view pair = base::trim_ows(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (pair.size() > name.size() && pair[name.size()] == '=' && pair.starts_with(name))
        return pair.substr(name.size() + 1);
    }
  }
  return {};
}

void add_rate_fields(http::Fields& to, const RateLimiter& limiter, uint32_t wait_seconds) {
  char digits[10];
  const auto end = std::to_chars(digits, digits + sizeof digits, wait_seconds).ptr;
  to.add("ratelimit-policy", limiter.policy());
  to.add("ratelimit",
         to.arena().concat("\"default\";r=0;t=", std::string_view(digits, static_cast<size_t>(end - digits))));
}

}  // namespace sluice::exchange
