// From options and answers to endpoints: labels, hosts, weights, doubles.
#include "runtime/sources.h"

#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace {

using namespace sluice;
using namespace sluice::runtime;
using upstream::EndpointSpec;

dns::Endpoint found(const std::string& address, std::uint32_t weight = 1, std::uint16_t priority = 0,
                    std::string host = "target.test") {
  return dns::Endpoint{
      .address = *net::Address::parse(address), .priority = priority, .weight = weight, .host = std::move(host)};
}

EndpointSpec written(const std::string& text, std::uint32_t weight = 1) {
  EndpointSpec spec;
  spec.name = text;
  spec.weight = weight;
  if (auto address = net::Address::parse(text)) spec.address = *address;
  return spec;
}

TEST_CASE("dns: every address an endpoint, labelled by it, asked for by the configured name") {
  upstream::UpstreamOptions options;
  options.dns = "app.internal:8080";
  const std::vector<Source> sources = sources_of(options);
  REQUIRE(sources.size() == 1);
  CHECK(sources[0].target.name == "app.internal");
  CHECK(sources[0].target.port == 8080);
  CHECK(sources[0].target.kind == dns::Kind::address);
  dns::Resolved resolved;
  resolved.endpoints = {found("10.0.0.1:8080"), found("[2001:db8::1]:8080")};
  const auto specs = endpoint_specs(sources, [&](std::size_t) { return &resolved; });
  REQUIRE(specs.size() == 2);
  CHECK(specs[0].name == "10.0.0.1:8080");
  CHECK(specs[0].host == "app.internal:8080");
  CHECK(specs[1].name == "[2001:db8::1]:8080");
  CHECK(endpoint_specs(sources, [](std::size_t) { return nullptr; }).empty());
}

TEST_CASE("srv: priorities and weights as found; asked for by the service's domain, never by the target") {
  upstream::UpstreamOptions options;
  options.srv = "_http._tcp.app.internal";
  const std::vector<Source> sources = sources_of(options);
  REQUIRE(sources.size() == 1);
  CHECK(sources[0].target.kind == dns::Kind::service);
  dns::Resolved resolved;
  resolved.endpoints = {found("10.0.0.1:81", 7, 10, "b1.evil.test"), found("10.0.0.2:82", 1, 20)};
  const auto specs = endpoint_specs(sources, [&](std::size_t) { return &resolved; });
  REQUIRE(specs.size() == 2);
  CHECK(specs[0].host == "app.internal:81");
  CHECK(specs[0].weight == 7);
  CHECK(specs[0].priority == 10);
  CHECK(specs[1].host == "app.internal:82");
  CHECK(specs[1].priority == 20);
  CHECK(service_domain("_http._tcp.app.internal.") == "app.internal");
  CHECK(service_domain("app.internal") == "app.internal");
}

TEST_CASE(
    "endpoints: names among addresses; each address of a name has the name's weight; doubles are one with the sum") {
  upstream::UpstreamOptions options;
  options.endpoints = {written("10.0.0.1:80"), written("a.test:80", 3), written("b.test:80", 2)};
  const std::vector<Source> sources = sources_of(options);
  REQUIRE(sources.size() == 3);
  CHECK(sources[0].fixed.has_value());
  CHECK_FALSE(sources[1].fixed.has_value());
  dns::Resolved a;
  a.endpoints = {found("10.0.0.1:80"), found("10.0.0.2:80")};
  dns::Resolved b;
  b.endpoints = {found("10.0.0.2:80"), found("10.0.0.3:80")};
  const auto known = [&](std::size_t i) -> const dns::Resolved* { return i == 1 ? &a : i == 2 ? &b : nullptr; };
  const auto specs = endpoint_specs(sources, known);
  REQUIRE(specs.size() == 3);
  CHECK(specs[0].weight == 4);
  CHECK(specs[0].host.empty());            // as written: the first one counts
  CHECK(specs[1].weight == 5);
  CHECK(specs[1].host == "a.test:80");
  CHECK(specs[2].weight == 2);
  CHECK(specs[2].host == "b.test:80");
  const auto only_b =
      endpoint_specs(sources, [&](std::size_t i) -> const dns::Resolved* { return i == 2 ? &b : nullptr; });
  REQUIRE(only_b.size() == 3);
  CHECK(only_b[0].weight == 1);
}

TEST_CASE("weights stay within their range") {
  upstream::UpstreamOptions options;
  options.endpoints = {written("a.test:80", 65'535), written("b.test:80", 65'535)};
  dns::Resolved both;
  both.endpoints = {found("10.0.0.1:80", 65'535)};
  const auto specs = endpoint_specs(sources_of(options), [&](std::size_t) { return &both; });
  REQUIRE(specs.size() == 1);
  CHECK(specs[0].weight == upstream::weight_max);
}

}  // namespace
