#include "exchange/request_key.h"

#include <algorithm>
#include <span>

#include "base/check.h"
#include "base/text.h"
#include "upstream/maglev.h"

namespace sluice::exchange {
namespace {

constexpr size_t network_bytes = 8;  // of an address of version 6

std::string_view ring_value(const upstream::UpstreamOptions& options, const Client& client, const http::Head& head,
                            std::string_view path) {
  switch (options.hash_on) {
    case upstream::HashOn::client_ip: return client_key(client);
    case upstream::HashOn::header: return field_value(head.fields, options.hash_name);
    case upstream::HashOn::cookie: return cookie_value(head.fields, options.hash_name);
    case upstream::HashOn::query: return query_value(head.target, options.hash_name);
    case upstream::HashOn::path: return path;
  }
  UNREACHABLE();
}

}  // namespace

std::string_view address_bytes(const net::Address& address) {
  std::span<const uint8_t> bytes = address.ip_bytes();  // none: unknown, or of a Unix socket
  constexpr uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};  // RFC 4291 2.5.5.2
  if (bytes.size() == 16) {
    const bool is_mapped = std::ranges::equal(bytes.first(sizeof mapped), mapped);
    bytes = is_mapped ? bytes.subspan(sizeof mapped) : bytes.first(network_bytes);
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string_view field_value(const http::Fields& fields, std::string_view name) {
  const http::Field* const field = fields.find(name);
  return field == nullptr ? std::string_view() : field->value();
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

std::string_view query_value(std::string_view target, std::string_view name) {
  const size_t mark = target.find('?');
  std::string_view rest = mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
  rest = rest.substr(0, rest.find('#'));
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (pair.size() > name.size() && pair[name.size()] == '=' && pair.starts_with(name))
      return pair.substr(name.size() + 1);
  }
  return {};
}

uint64_t ring_key(const upstream::UpstreamOptions& options, const Client& client, const http::Head& head,
                  std::string_view path) {
  if (options.balance != upstream::Balance::ring_hash) return 0;
  const std::string_view value = ring_value(options, client, head, path);
  return value.empty() ? 0 : upstream::ring_hash(value);
}

}  // namespace sluice::exchange
