#include "exchange/forwarded.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"
#include "base/text.h"

namespace sluice::exchange {
namespace {

// Hops of one header, nearest first. Only so many are looked at: a longer chain is nobody's.
constexpr size_t hops_max = 64;

struct Hops {
  std::array<std::string_view, hops_max> at;
  size_t count = 0;
};

// All members of all fields of that name, in order; the newest hops_max of them.
Hops members(const http::Fields& fields, http::Token token) {
  Hops hops;
  for (const http::Field& field : fields) {
    if (field.token != token) continue;
    std::string_view rest = field.value();
    while (auto member = base::next_list_member(rest)) {
      hops.at[hops.count % hops_max] = *member;
      ++hops.count;
    }
  }
  return hops;
}

// "1.2.3.4", "1.2.3.4:80", "::1", "[::1]:80"; nullopt for names, "unknown" and "_hidden".
std::optional<net::Address> node_address(std::string_view text) {
  if (auto ip = net::Address::parse_ip(text)) return ip->unmapped();
  if (text.empty() || (text.front() != '[' && text.find('.') == std::string_view::npos)) return std::nullopt;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  if (!base::parse_u64(text.substr(colon + 1))) return std::nullopt;
  auto ip = net::Address::parse_ip(text.substr(0, colon));
  return ip ? std::optional(ip->unmapped()) : std::nullopt;
}

// The value of for= in one element of Forwarded ("for=\"[::1]:80\";proto=https"), unquoted; "" if there is none.
std::string_view for_of(std::string_view element) {
  while (!element.empty()) {
    const size_t end = element.find(';');
    std::string_view pair = base::trim_ows(element.substr(0, end));
    element = end == std::string_view::npos ? std::string_view() : element.substr(end + 1);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || !base::iequals(pair.substr(0, equals), "for")) continue;
    std::string_view value = pair.substr(equals + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return value;
  }
  return {};
}

// Walks from the nearest hop outwards: the first one that is not trusted is the client. What cannot be read as an address
// ends the walk at the hop that reported it, which is the last one known.
template <class NodeOf>
net::Address walk(const Hops& hops, const net::Address& peer, std::span<const net::Cidr> trusted, NodeOf node_of) {
  net::Address known = peer;
  const size_t kept = std::min(hops.count, hops_max);
  for (size_t i = 0; i < kept; ++i) {
    const auto address = node_address(node_of(hops.at[(hops.count - 1 - i) % hops_max]));
    if (!address) return known;
    known = *address;
    if (!net::contains(trusted, known)) return known;
  }
  return known;
}

std::string_view node_text(const net::Address& address, base::Arena& arena) {
  auto* space = arena.make_array<char>(48);
  const std::string_view ip = address.ip_text({space, 46});
  if (address.family() != net::Address::Family::ipv6) return ip;
  return arena.concat("\"[", ip, "]\"");   // RFC 7239 6: IPv6 in brackets and quotes
}

std::string_view plain_text(const net::Address& address, base::Arena& arena) {
  if (!address.is_ip()) return "unknown";
  return address.ip_text({arena.make_array<char>(46), 46});
}

// A quoted-string may carry no control bytes; an authority that passed validation needs no escapes.
std::string_view forwarded_element(const ForwardFacts& facts, base::Arena& arena) {
  const std::string_view node = facts.peer.is_ip() ? node_text(facts.peer, arena) : std::string_view("unknown");
  if (facts.authority.empty()) return arena.concat("for=", node, ";proto=", facts.scheme);
  return arena.concat("for=", node, ";host=\"", facts.authority, "\";proto=", facts.scheme);
}

// All values of that field as one list, with `last` behind them.
void append_to_list(http::Fields& fields, http::Token token, std::string_view last) {
  base::Arena& arena = fields.arena();
  std::string_view list;
  for (const http::Field& field : fields) {
    if (field.token != token || field.value_size == 0) continue;
    list = list.empty() ? field.value() : arena.concat(list, ", ", field.value());
  }
  fields.set(token, list.empty() ? last : arena.concat(list, ", ", last));
}

void drop_claims(http::Fields& fields) {
  for (const http::Token token : {http::Token::x_forwarded_for, http::Token::x_forwarded_host, http::Token::x_forwarded_port,
                                  http::Token::x_forwarded_proto, http::Token::x_real_ip, http::Token::forwarded}) {
    fields.remove(token);
  }
  // Others of the family (X-Forwarded-Prefix, -Server, ...) are claims of the same kind.
  for (uint32_t i = 0; i < fields.size();) {
    const std::string_view name = fields[i].name();
    if (fields[i].token == http::Token::other && name.size() > 12 && base::iequals(name.substr(0, 12), "x-forwarded-")) {
      fields.remove_at(i);
    } else {
      ++i;
    }
  }
}

std::string_view via_version(http::Version version) {
  switch (version) {
    case http::Version::http_10: return "1.0 ";
    case http::Version::http_11: return "1.1 ";
    case http::Version::http_2: return "2.0 ";
  }
  UNREACHABLE();
}

}  // namespace

Client find_client(const net::Address& peer, std::span<const net::Cidr> trusted, const http::Fields& fields) {
  if (!peer.is_ip()) return {};
  Client client{peer.unmapped(), Trust::no, false};
  if (trusted.empty() || !net::contains(trusted, client.address)) return client;
  client.peer = Trust::yes;
  const Hops forwarded = members(fields, http::Token::forwarded);
  const Hops x_forwarded = members(fields, http::Token::x_forwarded_for);
  if (forwarded.count == 0 && x_forwarded.count == 0) return client;
  const net::Address by_x = walk(x_forwarded, client.address, trusted, [](std::string_view node) { return node; });
  if (forwarded.count == 0) {
    client.address = by_x;
    return client;
  }
  const net::Address by_forwarded = walk(forwarded, client.address, trusted, for_of);
  client.disagree = x_forwarded.count != 0 && !(by_x == by_forwarded);
  client.address = by_forwarded;
  return client;
}

RequestIds add_forwarding(http::Fields& fields, const ForwardFacts& facts, Random& random) {
  base::Arena& arena = fields.arena();
  if (facts.trust == Trust::no) {
    drop_claims(fields);
    fields.remove(http::Token::x_request_id);
  }
  append_to_list(fields, http::Token::x_forwarded_for, plain_text(facts.peer, arena));
  if (!fields.has(http::Token::x_forwarded_proto)) fields.add(http::Token::x_forwarded_proto, facts.scheme);
  if (!fields.has(http::Token::x_forwarded_host) && !facts.authority.empty()) {
    fields.add(http::Token::x_forwarded_host, facts.authority);
  }
  append_to_list(fields, http::Token::forwarded, forwarded_element(facts, arena));
  append_to_list(fields, http::Token::via, arena.concat(via_version(facts.version), facts.pseudonym));

  RequestIds ids;
  const http::Field* given = fields.find(http::Token::x_request_id);
  if (given != nullptr && valid_request_id(given->value()) && fields.count(http::Token::x_request_id) == 1) {
    ids.request_id = given->value();
  } else {
    ids.request_id = make_request_id(random, arena);
    fields.set(http::Token::x_request_id, ids.request_id);
  }
  std::string_view trace = fields.value(http::Token::traceparent);
  if (fields.count(http::Token::traceparent) != 1 || !valid_traceparent(trace)) {
    trace = make_traceparent(random, arena);
    fields.set(http::Token::traceparent, trace);
    fields.remove(http::Token::tracestate);   // it belongs to the traceparent that was not valid
  }
  ids.trace_id = trace_id_of(trace);
  return ids;
}

// Split at every comma: Via has no quoted strings (RFC 9110 7.6.3), and a client's odd quote must not hide what we append behind it.
uint32_t times_in_via(const http::Fields& fields, std::string_view pseudonym) {
  uint32_t times = 0;
  for (const http::Field& field : fields) {
    if (field.token != http::Token::via) continue;
    for (std::string_view rest = field.value(); !rest.empty();) {
      const size_t comma = rest.find(',');
      const std::string_view member = base::trim_ows(rest.substr(0, comma));
      rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
      const size_t blank = member.find_first_of(" \t");
      if (blank == std::string_view::npos) continue;
      const std::string_view by = base::trim_ows(member.substr(blank + 1));
      if (by.substr(0, by.find_first_of(" \t")) == pseudonym) ++times;
    }
  }
  return times;
}

}  // namespace sluice::exchange
