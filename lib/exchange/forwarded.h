// Who is the client, and what the upstream is told about it (configuration.md, "Client address"): X-Forwarded-*,
// Forwarded (RFC 7239), Via, X-Request-Id, traceparent. Pure functions over fields and addresses.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "exchange/ids.h"
#include "exchange/options.h"
#include "http/head.h"
#include "net/address.h"

namespace sluice::exchange {

enum class Trust : uint8_t { no, yes };

struct Client {
  net::Address address;  // the client's, as allow, deny, limits and the log see it; port 0 if a header named it;
      // Family::none for the peer of a Unix socket (whose copy would cost an allocation) and if unknown
  Trust peer = Trust::no;  // the peer is a trusted proxy
  bool unknown = false;  // trusted proxies named it by what is no address: nobody knows who it is
};

// Hops of one chain that are looked at; a client behind more trusted proxies is unknown.
inline constexpr uint32_t hops_max = 64;

// `peer`: the other end of the connection (PROXY protocol applied). The field `by` counts, if the peer lies in
// `trusted`.
Client find_client(const net::Address& peer, std::span<const net::Cidr> trusted, ForwardedBy by,
                   const http::Fields& fields);

// deny wins over allow. An unknown client is in every deny list and in no allow list.
bool is_admitted(const Client& client, std::span<const net::Cidr> deny,
                 const std::optional<std::vector<net::Cidr>>& allow);

struct ForwardFacts {
  const net::Address& peer;
  const Client& client;
  ForwardedBy by = ForwardedBy::x_forwarded_for;
  std::string_view scheme;  // "http", "https"
  std::string_view authority;  // as the client asked for it
  http::Version version = http::Version::http_11;
  std::string_view pseudonym;  // ours in Via
};

struct RequestIds {
  std::string_view request_id;
  std::string_view trace_id;
  std::string_view span_id;  // ours; "": the client's traceparent went on as it came
};

// Rewrites the client's fields into what the upstream gets: the field that is believed is appended to, the other tells
// the same anew.
RequestIds add_forwarding(http::Fields& fields, const ForwardFacts& facts, Random& random);

// A request that came through us so often, or whose Via is longer than any honest way, is a loop (508).
inline constexpr uint32_t loop_limit = 10;
inline constexpr uint32_t via_members_max = 20;
bool is_loop(const http::Fields& fields, std::string_view pseudonym);

}  // namespace sluice::exchange
