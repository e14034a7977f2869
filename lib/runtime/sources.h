// Sources: where the endpoints of one upstream come from, as its options say, and the endpoints that follow from what
// DNS answered. Pure; the subscriptions are in discovery.h.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dns/directory.h"
#include "upstream/options.h"

namespace sluice::runtime {

// One entry: an address as written, or a name.
struct Source {
  std::optional<upstream::EndpointSpec> fixed;  // the rest is of a name
  dns::Target target{};
  std::string text;  // as configured: "app.internal:8080", "_http._tcp.app.internal"
  std::uint32_t weight = 1;
};

// Does DNS have a say in where they are?
bool has_names(const upstream::UpstreamOptions& options);

// In the order of the configuration: `endpoints`, or the one name of `dns` or `srv`.
std::vector<Source> sources_of(const upstream::UpstreamOptions& options);

// The endpoints. `found(i)` is what is known of source i, nullptr = nothing. An address that comes from several sources
// stands once, with the host of the first and the sum of the weights.
//
// What an endpoint is asked for as (TLS server name, Host in `endpoint` mode): the configured name. For `srv` that is
// the service's domain, never the target: whoever can forge an answer could name a target they hold a certificate for
// (RFC 9525 6.1: only names that do not come from an insecure lookup).
std::vector<upstream::EndpointSpec> endpoint_specs(const std::vector<Source>& sources,
                                                   const std::function<const dns::Resolved*(std::size_t)>& found);

// Those of an upstream without names.
std::vector<upstream::EndpointSpec> fixed_endpoints(const upstream::UpstreamOptions& options);

// "_http._tcp.app.internal" -> "app.internal".
std::string service_domain(std::string_view service);

}  // namespace sluice::runtime
