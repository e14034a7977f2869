// The words for the enumerations of dns, as they stand in metrics, in the status page and in log lines; and names as
// they are compared.
#include <array>

#include "base/check.h"
#include "base/text.h"
#include "dns/answer.h"
#include "dns/directory.h"

namespace sluice::dns {

std::string_view type_name(Type type) {
  switch (type) {
    case Type::a: return "A";
    case Type::aaaa: return "AAAA";
    case Type::srv: return "SRV";
  }
  UNREACHABLE();
}

std::string_view outcome_name(Outcome outcome) {
  constexpr std::array<std::string_view, outcomes> names = {"ok",      "nxdomain", "empty",       "servfail",
                                                            "refused", "timeout",  "unreachable", "malformed"};
  return names[static_cast<std::size_t>(outcome)];
}

std::string_view ignored_name(Ignored reason) {
  constexpr std::array<std::string_view, ignored_reasons> names = {
      "short_message", "not_a_response", "wrong_id",   "wrong_question", "bad_name",
      "bad_record",    "other_owner",    "alias_loop", "over_limit",     "truncated"};
  return names[static_cast<std::size_t>(reason)];
}

std::string_view state_name(RecordState state) {
  constexpr std::array<std::string_view, 4> names = {"resolving", "fresh", "stale", "gone"};
  return names[static_cast<std::size_t>(state)];
}

std::string canonical(std::string_view name) {
  constexpr std::size_t label_max = 63;  // RFC 1035 3.1
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > name_max) return {};
  std::size_t label = 0;
  for (const char c : name) {
    if (c != '.') {
      if (++label > label_max) return {};
    } else if (label == 0) {
      return {};
    } else {
      label = 0;
    }
  }
  return label == 0 ? std::string() : base::to_lower(name);
}

std::optional<Target> parse_target(std::string_view name_and_port) {
  const auto colon = name_and_port.rfind(':');
  if (colon == std::string_view::npos) return {};
  const auto port = base::parse_u64(name_and_port.substr(colon + 1));
  std::string name = canonical(name_and_port.substr(0, colon));
  if (!port || *port == 0 || *port > 65'535 || name.empty() || name.find(':') != std::string::npos) return {};
  return Target{Kind::address, std::move(name), static_cast<std::uint16_t>(*port)};
}

}  // namespace sluice::dns
