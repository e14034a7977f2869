#include "exchange/outcome.h"

#include "http/grpc.h"

namespace sluice::exchange {

using upstream::Outcome;

namespace {

// https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
constexpr uint16_t grpc_resource_exhausted = 8;
constexpr uint16_t grpc_unavailable = 14;

}  // namespace

Outcome outcome_of_grpc(const http::Fields& fields) {
  const auto status = http::parse_grpc_status(fields.value(http::Token::grpc_status));
  if (status == grpc_resource_exhausted) return Outcome::refused;
  if (status == grpc_unavailable) return Outcome::gateway;
  return Outcome::answered;  // INTERNAL and UNKNOWN are what an application's own exception becomes
}

Outcome outcome_of(const http::Head& head) {
  switch (head.status) {
    case 429: return Outcome::refused;  // RFC 6585 4
    case 503:  // RFC 9110 15.6.4: overload or maintenance that will be over after some delay
      return head.fields.value(http::Token::retry_after).empty() ? Outcome::gateway : Outcome::refused;
    case 502:
    case 504: return Outcome::gateway;
    default: break;
  }
  if (head.status >= 500) return Outcome::server_error;
  return http::is_grpc(head.fields) ? outcome_of_grpc(head.fields) : Outcome::answered;
}

Outcome outcome_of(const http::Failure& why, bool race) {
  if (race) return Outcome::idle_race;
  switch (why.kind) {
    case http::Kind::not_implemented: return Outcome::no_upgrade;
    case http::Kind::timeout: return Outcome::timeout;
    default: return Outcome::reset;
  }
}

}  // namespace sluice::exchange
