// Who is the client, and what the upstream is told about it (configuration.md, "Client address"): X-Forwarded-*, Forwarded
// (RFC 7239), Via, X-Request-Id, traceparent. Pure functions over fields and addresses.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "exchange/ids.h"
#include "http/head.h"
#include "net/address.h"

namespace sluice::exchange {

enum class Trust : uint8_t { no, yes };

struct Client {
  net::Address address;                 // the client's, as allow, deny, limits and the log see it; port 0 if a header named it;
                                        // Family::none for the peer of a Unix socket (whose copy would cost an allocation)
  Trust peer = Trust::no;               // the peer is a trusted proxy
  bool disagree = false;                // Forwarded and X-Forwarded-For named different clients (Forwarded won)
};

// `peer`: the other end of the connection (PROXY protocol applied). Headers count only if it lies in `trusted`.
Client find_client(const net::Address& peer, std::span<const net::Cidr> trusted, const http::Fields& fields);

struct ForwardFacts {
  const net::Address& peer;
  Trust trust = Trust::no;
  std::string_view scheme;              // "http", "https"
  std::string_view authority;           // as the client asked for it
  http::Version version = http::Version::http_11;
  std::string_view pseudonym;           // ours in Via
};

struct RequestIds {
  std::string_view request_id;
  std::string_view trace_id;
};

// Rewrites the client's fields into what the upstream gets.
RequestIds add_forwarding(http::Fields& fields, const ForwardFacts& facts, Random& random);

// How often `pseudonym` stands in the Via fields: a request that came through us ten times is a loop (508).
inline constexpr uint32_t loop_limit = 10;
uint32_t times_in_via(const http::Fields& fields, std::string_view pseudonym);

}  // namespace sluice::exchange
