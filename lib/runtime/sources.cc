// From options and answers to endpoints. See sources.h.
#include "runtime/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace sluice::runtime {
namespace {

Source name_source(std::string_view text, std::uint32_t weight) {
  Source source;
  source.text = text;
  source.weight = weight;
  if (auto target = dns::parse_target(text)) source.target = std::move(*target);   // the configuration was checked
  return source;
}

upstream::EndpointSpec spec_of(const Source& source, const dns::Endpoint& endpoint) {
  upstream::EndpointSpec spec;
  spec.name = endpoint.address.text();
  spec.address = endpoint.address;
  spec.weight = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::uint64_t{source.weight} * endpoint.weight, upstream::weight_max));
  spec.priority = endpoint.priority;
  const bool service = source.target.kind == dns::Kind::service;
  spec.host = service ? fmt::format("{}:{}", service_domain(source.text), endpoint.address.port()) : source.text;
  return spec;
}

}  // namespace

std::string service_domain(std::string_view service) {
  while (service.starts_with('_')) {
    const std::size_t dot = service.find('.');
    if (dot == std::string_view::npos) break;
    service.remove_prefix(dot + 1);
  }
  if (service.ends_with('.')) service.remove_suffix(1);
  return std::string(service);
}

bool has_names(const upstream::UpstreamOptions& options) {
  return !options.dns.empty() || !options.srv.empty() ||
         std::ranges::any_of(options.endpoints, [](const auto& endpoint) { return !endpoint.address.has_value(); });
}

std::vector<upstream::EndpointSpec> fixed_endpoints(const upstream::UpstreamOptions& options) {
  return endpoint_specs(sources_of(options), [](std::size_t) { return nullptr; });
}

std::vector<Source> sources_of(const upstream::UpstreamOptions& options) {
  std::vector<Source> sources;
  if (!options.dns.empty()) sources.push_back(name_source(options.dns, 1));
  if (!options.srv.empty()) {
    Source source;
    source.text = options.srv;
    source.target = dns::Target{dns::Kind::service, options.srv, 0};
    sources.push_back(std::move(source));
  }
  for (const upstream::EndpointSpec& endpoint : options.endpoints) {
    if (endpoint.address.has_value()) {
      sources.emplace_back().fixed = endpoint;
    } else {
      sources.push_back(name_source(endpoint.name, endpoint.weight));
    }
  }
  return sources;
}

std::vector<upstream::EndpointSpec> endpoint_specs(const std::vector<Source>& sources,
                                                   const std::function<const dns::Resolved*(std::size_t)>& found) {
  std::vector<upstream::EndpointSpec> specs;
  std::unordered_map<std::string, std::size_t> placed;   // by address
  const auto add = [&](upstream::EndpointSpec spec) {
    const auto [at, first] = placed.emplace(spec.address->text(), specs.size());
    if (first) {
      specs.push_back(std::move(spec));
      return;
    }
    upstream::EndpointSpec& there = specs[at->second];
    there.weight = std::min(there.weight + spec.weight, upstream::weight_max);
    there.priority = std::min(there.priority, spec.priority);
  };
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].fixed.has_value()) {
      add(*sources[i].fixed);
      continue;
    }
    const dns::Resolved* const known = found(i);
    if (known == nullptr) continue;
    for (const dns::Endpoint& endpoint : known->endpoints) add(spec_of(sources[i], endpoint));
  }
  return specs;
}

}  // namespace sluice::runtime
