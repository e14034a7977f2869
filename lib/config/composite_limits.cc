// Codecs of rate_limit, concurrency_limit and a pool class's limit; see composite.h.
#include "base/check.h"
#include "base/text.h"
#include "config/composite.h"
#include "exchange/concurrency_limiter.h"

namespace sluice::config {
namespace {

constexpr std::int64_t requests_max = 1'000'000'000;
constexpr std::int64_t connections_max = 1'000'000;

// The name of a field, in lower case; "" with a complaint.
std::string read_name(std::string_view text, const Node& node, Reader& reader) {
  const std::string wrong = field_name(text);
  if (wrong.empty()) return base::to_lower(text);
  reader.error(node.at, wrong);
  return {};
}

// `cost`: "header:NAME".
void read_cost(const Node& node, Reader& reader, std::string& cost) {
  const auto text = read_text(node, reader);
  if (!text) return;
  if (!text->starts_with("header:")) return reader.error(node.at, "takes cost \"header:NAME\", a field of the answer");
  cost = read_name(text->substr(7), node, reader);
}

// Sets `key` and `key_name` of either limit.
template <class Limit>
void read_limit_key(const Node& node, Reader& reader, Limit& limit) {
  const auto text = read_text(node, reader);
  if (!text) return;
  if (text->starts_with("header:")) {
    limit.key = route::RateKey::header;
    limit.key_name = read_name(text->substr(7), node, reader);
  } else if (text->starts_with("cookie:")) {
    // RFC 6265 4.1.1: a cookie's name is a token, as that of a field, but its case counts.
    limit.key = route::RateKey::cookie;
    limit.key_name = text->substr(7);
    if (const std::string wrong = field_name(limit.key_name); !wrong.empty())
      reader.error(node.at, concat({quoted(limit.key_name), " is no name of a cookie (RFC 6265 4.1.1)"}));
  } else if (*text == "route") {
    limit.key = route::RateKey::route;
  } else if (*text != "client_ip") {
    reader.error(node.at, "takes key \"client_ip\", \"header:NAME\", \"cookie:NAME\" or \"route\"",
                 std::string(nearest(*text, {"client_ip", "route"})));
  }
}

template <class Limit>
std::string limit_key_text(const Limit& limit) {
  switch (limit.key) {
    case route::RateKey::client_ip: return "client_ip";
    case route::RateKey::header: return concat({"header:", limit.key_name});
    case route::RateKey::cookie: return concat({"cookie:", limit.key_name});
    case route::RateKey::route: return "route";
  }
  UNREACHABLE();
}

}  // namespace

void ClassLimit::read(const Node& node, Reader& reader) {
  constexpr std::string_view wanted = "a whole number, or a share in quotes, such as \"25%\"";
  if (node.kind == Kind::integer) {
    if (const auto number = read_integer(node, reader, 1, connections_max)) {
      to_.max_connections = static_cast<std::uint32_t>(*number);
      to_.percent = 0;
    }
    return;
  }
  const auto text = read_text(node, reader, wanted);
  if (!text) return;
  const auto share = text->ends_with('%') ? base::parse_u64(text->substr(0, text->size() - 1)) : std::nullopt;
  if (!share) {
    const bool bare = base::parse_u64(*text).has_value();
    return reader.error(node.at, concat({"takes ", wanted}), bare ? std::string(*text) : std::string());
  }
  if (*share < 1 || *share > 100) return reader.error(node.at, "must be a share from \"1%\" to \"100%\"");
  to_.max_connections = 0;
  to_.percent = static_cast<std::uint32_t>(*share);
}

std::string ClassLimit::print() const {
  if (to_.percent != 0) return concat({"\"", std::to_string(to_.percent), "%\""});
  return to_.max_connections == 0 ? "" : std::to_string(to_.max_connections);
}

void RateLimitCodec::read(const Node& node, Reader& reader) {
  InlineTable table(node, reader, {"requests", "per", "burst", "key", "cost", "dry_run"});
  if (!table.good()) return;
  route::RateLimit limit;
  if (const Node* requests = table.need("requests")) Number(limit.requests, 1, requests_max).read(*requests, reader);
  limit.burst = limit.requests;
  if (const Node* per = table.find("per"))
    Duration(limit.per, {.min = base::millis(1), .max = base::hours(24)}).read(*per, reader);
  if (const Node* burst = table.find("burst")) Number(limit.burst, 1, requests_max).read(*burst, reader);
  if (const Node* key = table.find("key")) read_limit_key(*key, reader, limit);
  if (const Node* cost = table.find("cost")) read_cost(*cost, reader, limit.cost);
  if (const Node* dry_run = table.find("dry_run")) Flag(limit.dry_run).read(*dry_run, reader);
  to_ = std::move(limit);
}

std::string RateLimitCodec::print() const {
  if (!to_) return "";
  return concat({"{ requests = ", std::to_string(to_->requests), ", per = ", print_duration(to_->per),
                 ", burst = ", std::to_string(to_->burst), ", key = ", quoted(limit_key_text(*to_)),
                 to_->cost.empty() ? "" : concat({", cost = ", quoted(concat({"header:", to_->cost}))}),
                 ", dry_run = ", to_->dry_run ? "true" : "false", " }"});
}

void ConcurrencyLimitCodec::read(const Node& node, Reader& reader) {
  InlineTable table(node, reader, {"requests", "key", "dry_run"});
  if (!table.good()) return;
  route::ConcurrencyLimit limit;
  if (const Node* requests = table.need("requests"))
    Number(limit.requests, 1, exchange::ConcurrencyLimiter::most_max).read(*requests, reader);
  if (const Node* key = table.find("key")) read_limit_key(*key, reader, limit);
  if (const Node* dry_run = table.find("dry_run")) Flag(limit.dry_run).read(*dry_run, reader);
  to_ = std::move(limit);
}

std::string ConcurrencyLimitCodec::print() const {
  if (!to_) return "";
  return concat({"{ requests = ", std::to_string(to_->requests), ", key = ", quoted(limit_key_text(*to_)),
                 ", dry_run = ", to_->dry_run ? "true" : "false", " }"});
}

}  // namespace sluice::config
