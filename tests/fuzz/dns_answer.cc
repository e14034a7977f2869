// A raw DNS answer of a hostile server: whatever the bytes are, only what answers the question is taken, within the
// limits, sorted and each once; what is refused gives nothing. First byte: the type asked for, or one of the system's
// files, which are read here, too.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "dns/answer.h"
#include "dns/order.h"
#include "dns/system_files.h"

using namespace sluice;
using dns::Outcome;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const dns::Answer& answer, dns::Type type) {
  require((answer.outcome == Outcome::ok) == (!answer.addresses.empty() || !answer.services.empty()));
  require((answer.outcome == Outcome::malformed) == answer.refusal.has_value());
  require(answer.outcome != Outcome::timeout && answer.outcome != Outcome::unreachable);
  require(answer.addresses.empty() || type != dns::Type::srv);
  require(answer.services.empty() || type == dns::Type::srv);
  require(answer.addresses.size() <= dns::addresses_max && answer.services.size() <= dns::services_max);
  require(std::adjacent_find(answer.addresses.begin(), answer.addresses.end(), [](const auto& a, const auto& b) {
            return !dns::address_before(a, b);
          }) == answer.addresses.end());
  require(std::adjacent_find(answer.services.begin(), answer.services.end(),
                             [](const auto& a, const auto& b) { return !(a < b); }) == answer.services.end());
  for (const auto& address : answer.addresses)
    require(address.ip_bytes().size() == (type == dns::Type::a ? 4U : 16U) && address.port() == 0);
  for (const auto& service : answer.services)
    require(service.target.empty() || (service.port != 0 && service.target.size() <= dns::name_max));
  require(answer.ttl <= 0x7fffffff && answer.negative_ttl.value_or(0) <= 0x7fffffff);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const std::uint8_t> message(data + 1, size - 1);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'h') {
    for (const auto& [name, addresses] : dns::parse_hosts(text))
      require(dns::canonical(name) == name && !addresses.empty());
    return 0;
  }
  if (data[0] == 'r') {
    const auto servers = dns::parse_resolv_conf(text);
    require(!servers.empty() && servers.size() <= dns::servers_max);
    return 0;
  }
  const dns::Type type = data[0] == 's' ? dns::Type::srv : data[0] == '6' ? dns::Type::aaaa : dns::Type::a;
  const std::string_view name = type == dns::Type::srv ? "_http._tcp.example" : "www.example";
  const auto why = dns::refuses(message, name, type, 0x1234);
  const dns::Answer answer = dns::parse_answer(message, name, type, 0x1234);
  check(answer, type);
  if (why) require(answer.refusal == why);
  if (!why) check(dns::parse_answer(message, name, type), type);
  return 0;
}
