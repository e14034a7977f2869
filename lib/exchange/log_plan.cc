#include "exchange/log_plan.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace sluice::exchange {
namespace {

std::string header_key(const LoggedHeader& header, LogNames names) {
  const bool asked = header.of == LoggedHeader::Of::request;
  switch (names) {
    case LogNames::sluice: return (asked ? "request." : "response.") + header.name;
    case LogNames::otel: return (asked ? "http.request.header." : "http.response.header.") + header.name;
    case LogNames::ecs: return (asked ? "http.request.headers." : "http.response.headers.") + header.name;
  }
  return header.name;
}

std::string member(std::string_view key) { return ",\"" + std::string(key) + "\":"; }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = base::to_lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// The next byte of a name in a query, decoded as applications do.
char next_byte(std::string_view& rest) {
  const char c = rest.front();
  if (c == '%' && rest.size() > 2 && hex_value(rest[1]) >= 0 && hex_value(rest[2]) >= 0) {
    const int byte = hex_value(rest[1]) * 16 + hex_value(rest[2]);
    rest.remove_prefix(3);
    return static_cast<char>(byte);
  }
  rest.remove_prefix(1);
  return c;
}

bool same_name(std::string_view sent, std::string_view wanted) {
  for (; !sent.empty(); wanted.remove_prefix(1)) {
    if (wanted.empty() || base::to_lower(next_byte(sent)) != wanted.front()) return false;
  }
  return wanted.empty();
}

std::uint64_t share_of(const AccessLogOptions& options) {
  if (options.only == LogOnly::slow_or_failed) return 0;
  constexpr double all = 4294967296.0;
  return static_cast<std::uint64_t>(std::llround(options.sample * all));
}

}  // namespace

LogPlan::LogPlan(const AccessLogOptions& options)
    : format_(options.format),
      names_(options.names),
      headers_(options.headers),
      redact_(options.redact_query),
      share_(share_of(options)),
      long_every_(options.long_every) {
  const auto add = [this](LogField field) { steps_.push_back({field, member(field_word(field, names_))}); };
  for (const LogField field : options.fields) add(field);
  for (std::size_t i = 0; options.fields.empty() && i < log_fields; ++i) add(static_cast<LogField>(i));
  for (const LoggedHeader& header : headers_) {
    header_keys_.push_back(member(exchange::header_key(header, names_)));
    response_headers_ = response_headers_ || header.of == LoggedHeader::Of::response;
  }
}

bool LogPlan::redacts(std::string_view name) const {
  return std::ranges::any_of(redact_, [name](const std::string& secret) { return same_name(name, secret); });
}

std::string_view header_is_secret(std::string_view name) {
  static constexpr std::string_view known[] = {"authorization",        "proxy-authorization", "cookie",
                                               "set-cookie",           "x-api-key",           "x-auth-token",
                                               "x-amz-security-token", "x-csrf-token",        "x-xsrf-token"};
  for (const std::string_view one : known) {
    if (base::iequals(name, one)) return "holds credentials, which do not belong in a log";
  }
  return {};
}

}  // namespace sluice::exchange
