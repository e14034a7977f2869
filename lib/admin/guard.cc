#include "admin/guard.h"

#include <algorithm>

#include "base/text.h"
#include "http/validate.h"

namespace sluice::admin {
namespace {

// A page of another site whose name was made to point here (DNS rebinding) asks under that name. Without a name
// (HTTP/1.0) it is no browser.
bool is_known(std::string_view authority, std::span<const std::string> hosts) {
  if (authority.empty()) return true;
  std::string_view host = http::without_port(authority);
  if (net::Address::parse_ip(host)) return true;
  if (host.ends_with('.')) host.remove_suffix(1);
  return base::iequals(host, "localhost") ||
         std::ranges::any_of(hosts, [&](const std::string& known) { return base::iequals(host, known); });
}

// Fetch metadata (Sec-Fetch-Site): "none" is the address bar, "same-origin" our own page.
bool is_of_another_site(const http::Field& field) {
  return base::iequals(field.name(), "sec-fetch-site") && field.value() != "none" && field.value() != "same-origin";
}

}  // namespace

std::string_view refusal(const http::Head& head, const net::Address& peer, std::span<const std::string> hosts) {
  const http::Fields& fields = head.fields;
  if (fields.find("origin") != nullptr)
    return "a page in a browser sent this (Origin): send it without, with curl for example";
  if (std::ranges::any_of(fields, is_of_another_site))
    return "a page of another site sent this (Sec-Fetch-Site): open this address itself";
  if (fields.has(http::Token::via))
    return "it came through a proxy (Via): ask this listener directly; no upstream may be the admin listener";
  if (!is_known(head.authority, hosts))
    return "it asks for a host that is not known here: use an IP address or localhost, or add the name to [admin] "
           "hosts";
  if (head.method == http::Method::post && !peer.is_loopback())
    return "POST is taken from this host only: send it from there, to the loopback address";
  return {};
}

}  // namespace sluice::admin
