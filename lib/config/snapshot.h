// The immutable result of a load: every setting as plain values, with stable indices. Control publishes it as
// shared_ptr<const Snapshot>; workers only read it. No TOML, no source positions: those stay in LoadResult.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "dns/options.h"
#include "exchange/options.h"
#include "http/options.h"
#include "net/address.h"
#include "net/options.h"
#include "route/options.h"
#include "tls/options.h"
#include "upstream/options.h"

namespace sluice::config {

struct RuntimeOptions {
  std::uint32_t workers = 0;  // 0 = auto: min(CPU affinity, cgroup cpu.max rounded up)
  std::uint32_t max_connections = 65'536;
  std::uint64_t max_memory = 0;  // 0 = auto: 3/4 of what the cgroup, else the machine, has
  base::Millis max_lateness{250};  // of a worker, before it refuses requests; 0 = never
  base::Millis warm_timeout{10'000};
  std::uint32_t replicas = 1;    // processes of this configuration; runtime/fleet.h
  std::string replicas_dns;      // a name that has an address for each of them; "" = `replicas` says it
  bool operator==(const RuntimeOptions&) const = default;
};

struct DrainOptions {
  base::Millis deregister_wait{5'000};
  base::Millis deadline{25'000};  // from the signal, deregister_wait included
  bool operator==(const DrainOptions&) const = default;
};

struct AdminOptions {
  std::string address = "127.0.0.1:9901";  // empty = switched off
  std::optional<net::Address> parsed;      // set when address is not empty
  std::vector<std::string> hosts;          // names it answers to besides addresses and localhost; lower case
  std::uint32_t unix_mode = 0660;          // of the file, if it is a Unix socket
  bool operator==(const AdminOptions&) const = default;
};

struct LogOptions {
  base::LogLevel level = base::LogLevel::info;
  base::LogFormat format = base::LogFormat::text;
  bool operator==(const LogOptions&) const = default;
};

// One address of a listener, as written and as parsed.
struct ListenAddress {
  std::string text;
  net::Address parsed;
  bool operator==(const ListenAddress&) const = default;
};

struct ListenerOptions {
  std::string name;  // unique; the first address if the file gives none
  std::vector<ListenAddress> addresses;
  std::uint32_t unix_mode = 0660;         // of the files of those that are Unix sockets, whatever the umask
  std::vector<http::Protocol> protocols;  // in order of preference, never empty
  net::ProxyProtocolIn proxy_protocol = net::ProxyProtocolIn::off;
  std::vector<net::Cidr> trusted_proxies;
  std::uint32_t max_connections_per_client = 0;  // trusted_proxies aside; 0 = no limit
  exchange::ForwardedBy forwarded_by = exchange::ForwardedBy::x_forwarded_for;
  http::DownstreamOptions downstream;
  std::string health_path;  // "": none
  bool access_log = true;   // its requests have lines there
  std::vector<route::ErrorPageFile> error_pages;  // no status twice
  std::optional<tls::ServerTlsOptions> tls;
  bool operator==(const ListenerOptions&) const = default;
};

// Indices in `listeners` and `upstreams` are what RouteOptions refers to and what workers keep arrays by. They
// follow the order of the file; a reload maps old to new by name (config/diff.h).
struct Snapshot {
  RuntimeOptions runtime;
  DrainOptions drain;
  AdminOptions admin;
  LogOptions log;
  exchange::AccessLogOptions access_log;
  dns::DnsOptions dns;
  std::vector<ListenerOptions> listeners;
  std::vector<upstream::UpstreamOptions> upstreams;
  std::vector<route::RouteOptions> routes;
  bool operator==(const Snapshot&) const = default;
};

}  // namespace sluice::config
