#include "http/grpc.h"

#include <algorithm>

#include "base/text.h"

namespace sluice::http {

bool is_grpc(const Fields& fields) {
  constexpr std::string_view type = "application/grpc";
  std::string_view value = fields.value(Token::content_type);
  if (value.size() < type.size() || !base::iequals(value.substr(0, type.size()), type)) return false;
  value.remove_prefix(type.size());
  if (value.starts_with('+')) return true;
  value = base::trim_ows(value);
  return value.empty() || value.starts_with(';');
}

std::optional<base::Millis> parse_grpc_timeout(std::string_view value) {
  constexpr size_t digits_max = 8;
  if (value.size() < 2 || value.size() > digits_max + 1) return std::nullopt;
  const std::optional<uint64_t> parsed = base::parse_u64(value.substr(0, value.size() - 1));
  if (!parsed) return std::nullopt;
  const auto amount = static_cast<int64_t>(*parsed);
  int64_t millis = 0;
  switch (value.back()) {
    case 'H': millis = amount * 3'600'000; break;
    case 'M': millis = amount * 60'000; break;
    case 'S': millis = amount * 1'000; break;
    case 'm': millis = amount; break;
    case 'u': millis = (amount + 999) / 1'000; break;
    case 'n': millis = (amount + 999'999) / 1'000'000; break;
    default: return std::nullopt;
  }
  return base::Millis{std::max<int64_t>(millis, 1)};
}

std::optional<uint16_t> parse_grpc_status(std::string_view value) {
  const std::optional<uint64_t> status = base::parse_u64(value);
  if (!status || *status > grpc_status_max) return std::nullopt;
  return static_cast<uint16_t>(*status);
}

}  // namespace sluice::http
