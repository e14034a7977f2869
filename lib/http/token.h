// Token: the header names that the proxy itself looks at, as small numbers; everything else is Token::other.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace sluice::http {

enum class Token : uint8_t {
  other,
  accept,
  authorization,
  connection,
  content_length,
  content_type,
  cookie,
  date,
  early_data,
  expect,
  forwarded,
  grpc_timeout,
  host,
  http2_settings,
  keep_alive,
  location,
  max_forwards,
  priority,
  proxy_authenticate,
  proxy_authorization,
  proxy_connection,
  referer,
  retry_after,
  sec_websocket_accept,
  sec_websocket_key,
  server,
  set_cookie,
  te,
  trailer,
  transfer_encoding,
  traceparent,
  tracestate,
  upgrade,
  user_agent,
  via,
  x_forwarded_for,
  x_forwarded_host,
  x_forwarded_port,
  x_forwarded_proto,
  x_real_ip,
  x_request_id,
  x_sluice_reason,
  grpc_status,
  grpc_message,
};
inline constexpr unsigned tokens = static_cast<unsigned>(Token::grpc_message) + 1;

class TokenSet {
 public:
  constexpr TokenSet() = default;
  constexpr TokenSet(std::initializer_list<Token> those) {
    for (const Token token : those) add(token);
  }
  constexpr bool has(Token token) const { return (bits_ & bit(token)) != 0; }
  constexpr void add(Token token) { bits_ |= bit(token); }
  constexpr void remove(Token token) { bits_ &= ~bit(token); }

 private:
  static_assert(tokens <= 64);
  static constexpr uint64_t bit(Token token) { return uint64_t{1} << static_cast<unsigned>(token); }
  uint64_t bits_ = 0;
};

Token token_of(std::string_view name);          // any case
std::string_view name_of(Token token);          // lower case; "" for other

// The methods the proxy itself knows; any other token is passed through as Method::other.
enum class Method : uint8_t { other, get, head, post, put, delete_, options, trace, connect, patch };
Method method_of(std::string_view method);      // case-sensitive (RFC 9110 9.1)
bool is_idempotent(Method method);              // GET HEAD PUT DELETE OPTIONS TRACE (RFC 9110 9.2.2)
bool is_safe(Method method);                    // GET HEAD OPTIONS TRACE

}  // namespace sluice::http
