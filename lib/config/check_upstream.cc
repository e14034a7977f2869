// Cross checks of upstreams; see check.h.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "config/check_parts.h"

namespace sluice::config {
namespace {

// Exactly one of the three sources of endpoints. A value that was refused where it was read counts as given.
void check_sources(const Node* node, Report& report) {
  std::vector<std::string_view> given;
  for (std::string_view key : {"endpoints", "dns", "srv"}) {
    const Node* value = look(node, {key});
    if (value != nullptr && !(value->kind == Kind::text && value->text.empty())) given.push_back(key);
  }
  if (given.empty()) report.error(place(node, {}), "[[upstream]] needs endpoints", "endpoints = [\"127.0.0.1:3000\"]");
  for (std::size_t i = 1; i < given.size(); ++i) {
    report.error(place(node, {given[i]}),
                 concat({given[i], " cannot stand beside ", given[0], ": an upstream has one of endpoints, dns, srv"}));
  }
}

void check_endpoints(const upstream::UpstreamOptions& o, const Node* node, Report& report) {
  std::set<std::string_view> seen;
  for (const upstream::EndpointSpec& endpoint : o.endpoints) {
    if (!seen.insert(endpoint.name).second) {
      report.error(place(node, {"endpoints"}),
                   concat({"endpoint ", quoted(endpoint.name), " is named twice: give it a weight"}));
    }
    const bool nameless = endpoint.address && !endpoint.address->is_ip();
    if (nameless && o.tls && o.tls->verify == tls::Verify::yes && o.tls->server_name.empty()) {
      report.error(place(node, {"tls"}), concat({"[upstream.tls] needs a server_name: the endpoint ",
                                                 quoted(endpoint.name), " has no name to verify"}));
    }
  }
}

bool is_wildcard(const net::Address& address) {
  return address.is_ip() && std::ranges::all_of(address.ip_bytes(), [](std::uint8_t byte) { return byte == 0; });
}

// Whether a connection to `to` ends at the admin: to its address, or through an unspecified one, which Linux takes for
// loopback.
bool reaches_admin(const net::Address& given_to, const net::Address& given_admin) {
  const net::Address to = given_to.unmapped();
  const net::Address admin = given_admin.unmapped();
  if (to == admin) return true;
  if (!to.is_ip() || to.family() != admin.family() || to.port() != admin.port() || to.port() == 0) return false;
  if (is_wildcard(admin)) return to.is_loopback();
  return is_wildcard(to) && admin.is_loopback();
}

// "localhost:9901": names of the host itself (RFC 6761 6.3). What other names are is known only when they are resolved.
bool names_admin(std::string_view name, const net::Address& admin) {
  const std::size_t colon = name.rfind(':');
  if (colon == std::string_view::npos || !admin.is_ip() || base::parse_u64(name.substr(colon + 1)) != admin.port())
    return false;
  std::string host = base::to_lower(name.substr(0, colon));
  if (host.ends_with('.')) host.pop_back();
  return (host == "localhost" || host.ends_with(".localhost")) && (admin.is_loopback() || is_wildcard(admin));
}

// Whoever could send requests there would speak to the admin from loopback, which may drain and reload.
void check_not_admin(const upstream::UpstreamOptions& o, const std::optional<net::Address>& admin, const Node* node,
                     Report& report) {
  if (!admin) return;
  const auto complain = [&](std::string_view key, std::string_view name) {
    report.error(place(node, {key}), concat({quoted(name), " is the address of [admin], which no upstream may be"}));
  };
  for (const upstream::EndpointSpec& endpoint : o.endpoints) {
    if (endpoint.address ? reaches_admin(*endpoint.address, *admin) : names_admin(endpoint.name, *admin))
      complain("endpoints", endpoint.name);
  }
  if (names_admin(o.dns, *admin)) complain("dns", o.dns);
}

// The name a certificate is asked for and the name requests carry should be one.
void check_host(const upstream::UpstreamOptions& o, const Node* node, Report& report) {
  if (!o.tls || o.tls->server_name.empty()) return;
  const auto differs = [&](std::string_view host) {
    const std::string_view name = host.starts_with('[') ? host : host.substr(0, host.rfind(':'));
    return !base::iequals(name, o.tls->server_name);
  };
  const auto warn = [&](std::string_view host) {
    report.warning(
        place(node, {look(node, {"host"}) != nullptr ? "host" : "tls"}),
        concat({"requests carry the host ", quoted(host), ", but tls.server_name is ", quoted(o.tls->server_name)}),
        concat({"host = ", quoted(o.tls->server_name)}));
  };
  switch (o.host) {
    case upstream::HostMode::preserve: return;  // known only when a request is there
    case upstream::HostMode::literal:
      if (differs(o.host_name)) warn(o.host_name);
      return;
    case upstream::HostMode::endpoint: {
      const auto other = std::find_if(o.endpoints.begin(), o.endpoints.end(),
                                      [&](const auto& endpoint) { return differs(endpoint.name); });
      if (other != o.endpoints.end()) warn(other->name);
      if (!o.dns.empty() && differs(o.dns)) warn(o.dns);
      return;
    }
  }
}

void check_client_tls(const upstream::UpstreamOptions& o, const Node* node, Report& report, const FileChecks& files) {
  if (!o.tls) {
    if (o.protocol == upstream::Protocol::any)
      report.error(place(node, {"protocol"}), "protocol = \"auto\" is settled by ALPN: it needs [upstream.tls]", "h2");
    return;
  }
  const tls::ClientTlsOptions& tls = *o.tls;
  if (tls.cert.empty() != tls.key.empty()) {
    report.error(place(node, {"tls", tls.cert.empty() ? "key" : "cert"}),
                 tls.cert.empty() ? "key needs a cert" : "cert needs a key");
  } else if (!tls.cert.empty() && files.certificate) {
    show_file_problems(report, place(node, {"tls", "cert"}), files.certificate({tls.cert, tls.key}));
  }
  if (!tls.ca.empty() && files.authorities)
    show_file_problems(report, place(node, {"tls", "ca"}), files.authorities(tls.ca));
  if (tls.verify == tls::Verify::no)
    report.warning(place(node, {"tls", "verify"}),
                   "with verify = false anybody on the path can answer for this upstream");
}

// A check of gRPC is a request of HTTP/2, and each kind of check has keys of its own.
void check_health(const upstream::UpstreamOptions& o, const Node* node, Report& report) {
  if (!o.health) return;
  const Node* health = look(node, {"health"});
  const bool grpc = o.health->kind == upstream::HealthKind::grpc;
  if (grpc && o.protocol == upstream::Protocol::http1) {
    report.error(place(health, {"kind"}),
                 "health.kind = \"grpc\" needs protocol = \"h2\" or \"auto\" of its upstream: gRPC is HTTP/2",
                 "protocol = \"h2\"");
  }
  const auto warn = [&](std::string_view key, std::string_view kinds) {
    if (look(health, {key}) == nullptr) return;
    report.warning(place(health, {key}), concat({"health.", key, " has no effect without kind = ", kinds}));
  };
  if (!grpc && !o.health->service.empty()) warn("service", "\"grpc\"");
  if (o.health->kind != upstream::HealthKind::http) {
    warn("path", "\"http\"");
    warn("expect", "\"http\"");
  }
  if (o.health->kind == upstream::HealthKind::tcp) warn("host", "\"http\" or \"grpc\"");
}

void check_limits(const upstream::UpstreamOptions& o, const Node* node, Report& report) {
  if (o.pool.min_idle > o.pool.max_connections) {
    report.error(place(node, {"pool", "min_idle"}), concat({"pool.min_idle must not be above pool.max_connections (",
                                                            std::to_string(o.pool.max_connections), ")"}));
  }
  if (o.health && o.health->timeout > o.health->interval) {
    report.warning(
        place(node, {"health", look(look(node, {"health"}), {"timeout"}) != nullptr ? "timeout" : "interval"}),
        "health.timeout is longer than health.interval: checks of a slow endpoint wait for each other");
  }
  if (o.outlier && o.outlier->max_ejection < o.outlier->ejection) {
    report.error(place(node, {"outlier"}), "outlier.max_ejection must not be shorter than outlier.ejection");
  }
  if (o.balance != upstream::Balance::ring_hash && o.hash_on != upstream::HashOn::client_ip) {
    report.warning(place(node, {"hash_on"}), "hash_on has no effect without balance = \"ring_hash\"");
  }
}

}  // namespace

void check_upstreams(Snapshot& s, const Node& root, Report& report, const FileChecks& files) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < s.upstreams.size(); ++i) {
    const upstream::UpstreamOptions& o = s.upstreams[i];
    const Node* node = item_of(look(&root, {"upstream"}), i);
    if (look(node, {"name"}) == nullptr) report.error(place(node, {}), "[[upstream]] needs a name", "name = \"app\"");
    if (!o.name.empty() && !names.insert(o.name).second) {
      report.error(place(node, {"name"}), concat({"there is another upstream of the name ", quoted(o.name)}));
    }
    check_sources(node, report);
    check_endpoints(o, node, report);
    check_not_admin(o, s.admin.parsed, node, report);
    check_host(o, node, report);
    check_client_tls(o, node, report, files);
    check_health(o, node, report);
    check_limits(o, node, report);
  }
}

}  // namespace sluice::config
