#include "exchange/outcome.h"

#include <algorithm>
#include <charconv>

#include "http/date.h"
#include "http/grpc.h"

namespace sluice::exchange {

using upstream::Outcome;

namespace {

// https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
constexpr uint16_t grpc_resource_exhausted = 8;
constexpr uint16_t grpc_unavailable = 14;

// Digits alone, and what is more than 10 s anyhow is 10 s. 0: no number.
base::Millis span_of(std::string_view digits, std::int64_t unit_ms) {
  const auto most = upstream::Standing::pause_most;
  if (digits.empty() || !std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; })) return {};
  std::int64_t n = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (read.ec != std::errc{} || n > most.count / unit_ms) return most;
  return base::Millis{n * unit_ms};
}

}  // namespace

base::Millis pause_of(const http::Head& head, base::Micros wall) {
  if (http::is_grpc(head.fields)) return pause_of_grpc(head.fields);
  if (head.status != 429 && head.status != 503) return {};
  const std::string_view value = head.fields.value(http::Token::retry_after);
  if (value.empty()) return {};
  if (value.front() >= '0' && value.front() <= '9') return span_of(value, 1'000);
  const auto until = http::parse_date(value);
  if (!until) return {};
  const base::Micros now = http::parse_date(head.fields.value(http::Token::date)).value_or(wall);
  const std::int64_t left = std::max<std::int64_t>(0, (*until - now).count / 1'000);
  return std::min(base::Millis{left}, upstream::Standing::pause_most);
}

base::Millis pause_of_grpc(const http::Fields& fields) {
  if (outcome_of_grpc(fields) != Outcome::refused) return {};
  const http::Field* const pushback = fields.find("grpc-retry-pushback-ms");
  return pushback == nullptr ? base::Millis{} : span_of(pushback->value(), 1);
}

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
    case http::Kind::refused_stream: return Outcome::refused;  // nothing was processed: it is busy, or leaves
    case http::Kind::headers_too_large: return Outcome::unknown;  // the client's
    default: return why.where == http::Where::upstream ? Outcome::reset : Outcome::unknown;
  }
}

}  // namespace sluice::exchange
