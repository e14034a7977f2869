// Settings of one upstream, as `[[upstream]]` states them: endpoints, pool, health, retry and the rest. Plain
// values, filled and cross-checked by the config library, owned by the snapshot. Times are milliseconds; 0 means
// "none" or "no limit" only where a comment says so.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/address.h"
#include "net/options.h"
#include "tls/options.h"

namespace sluice::upstream {

// `protocol`. `any`: both are offered by ALPN ("auto").
enum class Protocol : std::uint8_t { http1, http2, any };

// `balance`.
enum class Balance : std::uint8_t { p2c, p2c_ewma, round_robin, least_requests, ring_hash };

// `host`: what Host or :authority carries. `literal` takes UpstreamOptions::host_name.
enum class HostMode : std::uint8_t { preserve, endpoint, literal };

// Weights are relative.
inline constexpr std::uint32_t weight_max = 65'535;

// `hash_on`: what ring_hash hashes; `header`, `cookie` and `query` take UpstreamOptions::hash_name.
enum class HashOn : std::uint8_t { client_ip, header, cookie, query, path };

// One endpoint. As the configuration states it: `name` is the text as written ("127.0.0.1:3000", "unix:/run/app.sock",
// "app.internal:80") and `address` is empty for a name that DNS must resolve. As discovery found it: `name` is the
// address as text and `host` the name that was asked for. `name` is the label in metrics and logs; `host` is what TLS
// asks for and Host carries in `endpoint` mode.
struct EndpointSpec {
  std::string name;
  std::optional<net::Address> address;
  std::uint32_t weight = 1;  // 1..weight_max
  std::uint16_t priority = 0;  // SRV: the lowest one that has a usable endpoint is used alone
  std::string host{};  // with its port; empty = name
  bool operator==(const EndpointSpec&) const = default;
};

struct PoolOptions {
  std::uint32_t max_connections = 128;  // per endpoint, whole process, idle ones counted
  std::uint32_t min_idle = 0;  // per endpoint, whole process; connected before /readyz is 200
  base::Millis acquire_timeout{1'000};  // longest wait for a connection, then 503
  std::uint32_t max_waiting = 1'024;  // per upstream, whole process; above it 503 at once
  base::Millis queue_target{5};  // a queue in which somebody has waited longer is not calm; 0 = never shed
  base::Millis queue_interval{100};  // one that was not calm for so long stands; see Sojourn
  std::uint32_t max_client_share = 50;  // percent of the places in use that one client may have while others wait
  base::Millis connect_timeout{1'000};  // TCP and TLS together
  base::Millis idle_timeout{50'000};
  base::Millis max_lifetime{600'000};  // +-20 % jitter; 0 = none
  std::uint64_t max_requests = 0;  // per connection; 0 = no limit
  std::uint32_t max_in_flight = 0;  // requests per endpoint, whole process, any version, tunnels too; 0 = no limit
  std::uint32_t max_tunnels = 4'096;  // per endpoint, whole process
  base::Millis keepalive{30'000};  // TCP: silence until the peer's host is asked whether it lives; 0 = never
  base::Millis user_timeout{0};  // TCP: bytes unacknowledged for so long end it; 0 = the system's patience
  bool operator==(const PoolOptions&) const = default;
};

enum class HealthKind : std::uint8_t { http, tcp, grpc };

// Statuses that count as healthy, both ends included; 100..599.
struct StatusRange {
  std::uint16_t first = 200;
  std::uint16_t last = 399;
  bool operator==(const StatusRange&) const = default;
};

struct HealthOptions {
  HealthKind kind = HealthKind::http;
  std::string path = "/healthz";
  std::string host;  // empty = the endpoint's name
  std::string service;  // grpc: empty = the server as a whole
  std::vector<StatusRange> expect{StatusRange{}};
  base::Millis interval{5'000};
  base::Millis timeout{1'000};  // connect, handshake and answer together
  std::uint32_t healthy_after = 2;  // good answers in a row
  std::uint32_t unhealthy_after = 3;  // bad answers in a row
  bool operator==(const HealthOptions&) const = default;
};

struct OutlierOptions {
  bool enabled = true;
  std::uint32_t consecutive_failures = 5;
  base::Millis ejection{30'000};  // doubles per repeat, up to max_ejection
  base::Millis max_ejection{300'000};
  std::uint32_t max_ejected_percent = 50;
  bool success_rate = false;  // by comparison with its siblings, too
  bool operator==(const OutlierOptions&) const = default;
};

// `retry.on`: what may be tried again where a replay is safe.
struct RetryOn {
  bool connect = true;
  bool reset = true;
  bool refused_stream = true;
  bool status_503 = false;
  bool gateway_error = false;  // 502, 503, 504
  bool operator==(const RetryOn&) const = default;
};

struct RetryOptions {
  static constexpr std::uint32_t attempts_max = 10;
  std::uint32_t attempts = 2;  // tries in all; 1 = no retry
  RetryOn on;
  double budget = 0.2;  // retries / requests over 10 s, floor 3 a second; 0..1
  base::Millis per_try_timeout{0};  // 0 = none
  base::Millis backoff{25};  // longest pause before the first further try; 0 = none
  bool operator==(const RetryOptions&) const = default;
};

struct CircuitOptions {
  std::uint32_t max_requests = 0;  // in flight, whole process; 0 = no limit
  bool adaptive = false;  // requests per endpoint, as its latency says; see Gradient
  bool operator==(const CircuitOptions&) const = default;
};

// `[[upstream.pool_class]]`: a part of the pool that the requests of some routes may have at most.
struct PoolClassOptions {
  static constexpr std::size_t most = 16;  // of one upstream
  std::string name;  // unique in its upstream
  std::uint32_t max_connections = 0;  // requests in flight, whole process; 0: `percent` says it
  std::uint32_t percent = 0;  // 1..100, of what the pools of the usable endpoints may have together
  std::vector<std::string> routes;
  bool operator==(const PoolClassOptions&) const = default;
};

struct UpstreamOptions {
  std::string name;  // unique
  std::vector<EndpointSpec> endpoints;  // empty when dns or srv is set
  std::string dns;  // "NAME:PORT"
  std::string srv;  // "_http._tcp.NAME"
  Protocol protocol = Protocol::http1;
  HostMode host = HostMode::preserve;
  std::string host_name;  // for HostMode::literal
  Balance balance = Balance::p2c;
  HashOn hash_on = HashOn::client_ip;
  std::string hash_name;  // lower case for a header
  base::Millis slow_start{0};  // 0 = off
  std::uint32_t panic_threshold = 50;  // percent healthy below which health is ignored; 0 = never
  std::uint32_t server_limit =
      0;  // connections that all its endpoints bear from the whole fleet, for `check`; 0 = not stated
  std::vector<net::Address> source_addresses;  // port 0; empty = the system chooses
  net::ProxyProtocolOut proxy_protocol = net::ProxyProtocolOut::off;
  PoolOptions pool;
  std::optional<tls::ClientTlsOptions> tls;  // its presence turns TLS on
  std::optional<HealthOptions> health;  // its presence turns active checks on
  std::optional<OutlierOptions> outlier;  // empty while passive ejection is off or not built
  RetryOptions retry;
  CircuitOptions circuit;
  std::vector<PoolClassOptions> pool_classes;
  bool operator==(const UpstreamOptions&) const = default;
};

}  // namespace sluice::upstream
