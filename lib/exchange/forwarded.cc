#include "exchange/forwarded.h"

#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "http/validate.h"

namespace sluice::exchange {
namespace {

// The last member of a list, trimmed; cuts it off `rest`; empty ones are skipped. Cut at every comma, quotes or not: a
// quote that a client left open must not swallow what the next hop wrote behind it, and no address holds a comma.
std::optional<std::string_view> take_last_member(std::string_view& rest) {
  while (!rest.empty()) {
    const size_t comma = rest.rfind(',');
    const std::string_view member = base::trim_ows(comma == std::string_view::npos ? rest : rest.substr(comma + 1));
    rest = rest.substr(0, comma == std::string_view::npos ? 0 : comma);
    if (!member.empty()) return member;
  }
  return std::nullopt;
}

// RFC 7239 6: digits, or an obfuscated "_name".
bool is_node_port(std::string_view text) {
  constexpr size_t digits_max = 5;
  if (text.starts_with('_')) return http::is_token(text);
  return text.size() <= digits_max && base::parse_u64(text).value_or(UINT64_MAX) <= UINT16_MAX;
}

// "1.2.3.4", "1.2.3.4:80", "::1", "[::1]:80"; nullopt for names, "unknown" and "_hidden".
std::optional<net::Address> node_address(std::string_view text) {
  if (auto ip = net::Address::parse_ip(text)) return ip->unmapped();
  if (text.empty() || (text.front() != '[' && text.find('.') == std::string_view::npos)) return std::nullopt;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || !is_node_port(text.substr(colon + 1))) return std::nullopt;
  if ((text.front() == '[') != (text[colon - 1] == ']')) return std::nullopt;
  auto ip = net::Address::parse_ip(text.substr(0, colon));
  return ip ? std::optional(ip->unmapped()) : std::nullopt;
}

// What one element of Forwarded says ("for=\"[::1]:80\";proto=https"), unquoted; "" = nothing.
struct Element {
  std::string_view node, host, proto;
};

// Takes one value from the front of `rest`: a quoted string, without its quotes, or what stands before the next ';'.
std::optional<std::string_view> take_value(std::string_view& rest) {
  if (!rest.starts_with('"')) {
    const std::string_view value = base::trim_ows(rest.substr(0, rest.find(';')));
    rest.remove_prefix(std::min(rest.find(';'), rest.size()));
    if (value.find_first_of("\"\\ \t") != std::string_view::npos) return std::nullopt;
    return value;
  }
  size_t end = 1;
  while (end < rest.size() && rest[end] != '"') end += rest[end] == '\\' ? 2 : 1;
  if (end >= rest.size()) return std::nullopt;
  const std::string_view value = rest.substr(1, end - 1);
  rest = base::trim_ows(rest.substr(end + 1));
  return value;
}

// nullopt: it is not of the grammar of RFC 7239 4, or says a thing twice.
std::optional<Element> parse_element(std::string_view rest) {
  Element element;
  const struct {
    std::string_view name;
    std::string_view& to;
  } known[] = {{"for", element.node}, {"host", element.host}, {"proto", element.proto}};
  for (;;) {
    rest = base::trim_ows(rest);
    if (rest.empty()) return element;
    if (rest.starts_with(';')) {
      rest.remove_prefix(1);
      continue;
    }
    const size_t equals = rest.find('=');
    if (equals == std::string_view::npos || !http::is_token(rest.substr(0, equals))) return std::nullopt;
    const std::string_view name = rest.substr(0, equals);
    rest.remove_prefix(equals + 1);
    const auto value = take_value(rest);
    if (!value || (!rest.empty() && !rest.starts_with(';'))) return std::nullopt;
    for (const auto& one : known) {
      if (!base::iequals(name, one.name)) continue;
      if (!one.to.empty()) return std::nullopt;
      one.to = *value;
    }
  }
}

std::optional<net::Address> hop_address(std::string_view member, ForwardedBy by) {
  if (by == ForwardedBy::x_forwarded_for) return node_address(member);
  const auto element = parse_element(member);
  return element ? node_address(element->node) : std::nullopt;
}

constexpr http::Token token_of(ForwardedBy by) {
  return by == ForwardedBy::forwarded ? http::Token::forwarded : http::Token::x_forwarded_for;
}

// Walks from the nearest hop outwards: the first one that is not trusted is the client, the farthest if all are.
// nullopt: one on the way cannot be read, so what stands before it is anybody's word.
std::optional<net::Address> walk(const net::Address& peer, std::span<const net::Cidr> trusted, ForwardedBy by,
                                 const http::Fields& fields) {
  net::Address known = peer;
  uint32_t hops = 0;
  for (uint32_t i = fields.size(); i-- > 0;) {
    if (fields[i].token != token_of(by)) continue;
    std::string_view rest = fields[i].value();
    while (const auto member = take_last_member(rest)) {
      const auto address = hop_address(*member, by);
      if (!address || ++hops > hops_max) return std::nullopt;
      if (!net::contains(trusted, *address)) return address;
      known = *address;
    }
  }
  return known;
}

std::string_view plain_text(const net::Address& address, base::Arena& arena) {
  if (!address.is_ip()) return "unknown";
  return address.ip_text({arena.make_array<char>(46), 46});
}

// As Forwarded wants it: RFC 7239 6, IPv6 in brackets and quotes. `plain`: its plain_text().
std::string_view node_text(const net::Address& address, std::string_view plain, base::Arena& arena) {
  if (address.family() != net::Address::Family::ipv6) return plain;
  return arena.concat("\"[", plain, "]\"");
}

// A quoted-string may carry no control bytes; an authority that passed validation needs no escapes.
std::string_view forwarded_element(const ForwardFacts& facts, std::string_view peer, base::Arena& arena) {
  const std::string_view node = node_text(facts.peer, peer, arena);
  if (facts.authority.empty()) return arena.concat("for=", node, ";proto=", facts.scheme);
  return arena.concat("for=", node, ";host=\"", facts.authority, "\";proto=", facts.scheme);
}

// All values of that field as one list, with `last` behind them: measured first, so that many fields cost no more than
// their bytes.
void append_to_list(http::Fields& fields, http::Token token, std::string_view last) {
  if (!fields.has(token)) return fields.add(token, last);
  constexpr std::string_view between = ", ";
  const auto counts = [token](const http::Field& field) { return field.token == token && field.value_size != 0; };
  size_t before = 0;
  for (const http::Field& field : fields) before += counts(field) ? field.value_size + between.size() : 0;
  if (before == 0) return fields.set(token, last);
  auto* const list = fields.arena().make_array<char>(before + last.size());
  char* to = list;
  for (const http::Field& field : fields) {
    if (!counts(field)) continue;
    to = std::ranges::copy(field.value(), to).out;
    to = std::ranges::copy(between, to).out;
  }
  to = std::ranges::copy(last, to).out;
  fields.set(token, {list, static_cast<size_t>(to - list)});
}

// Others of the family (X-Forwarded-Prefix, -Server, ...) are claims of the same kind.
void drop_x_forwarded(http::Fields& fields) {
  for (uint32_t i = 0; i < fields.size();) {
    if (http::is_x_forwarded(fields[i].name())) {
      fields.remove_at(i);
    } else {
      ++i;
    }
  }
}

// What the nearest proxy says in Forwarded of the request it took, in the words of X-Forwarded-*.
void translate_forwarded(http::Fields& fields) {
  for (uint32_t i = fields.size(); i-- > 0;) {
    if (fields[i].token != http::Token::forwarded) continue;
    std::string_view rest = fields[i].value();
    const auto member = take_last_member(rest);
    if (!member) continue;
    const auto element = parse_element(*member);
    if (!element) return;
    for (const std::string_view scheme : {"http", "https"}) {
      if (base::iequals(element->proto, scheme)) fields.add(http::Token::x_forwarded_proto, scheme);
    }
    if (http::is_authority(element->host)) fields.add(http::Token::x_forwarded_host, element->host);
    return;
  }
}

// Drops what is not believed: everything of a stranger; of a trusted proxy the field that it does not write, and
// X-Real-IP unless it says what we found.
void drop_claims(http::Fields& fields, const ForwardFacts& facts) {
  const bool trusted = facts.client.peer == Trust::yes;
  if (!trusted || facts.by == ForwardedBy::forwarded) drop_x_forwarded(fields);
  if (!trusted || facts.by == ForwardedBy::x_forwarded_for) fields.remove(http::Token::forwarded);
  if (trusted && facts.by == ForwardedBy::forwarded) translate_forwarded(fields);
  if (trusted && facts.client.address.is_ip() && fields.has(http::Token::x_real_ip)) {
    fields.set(http::Token::x_real_ip, plain_text(facts.client.address, fields.arena()));
  } else {
    fields.remove(http::Token::x_real_ip);
  }
  if (!trusted) fields.remove(http::Token::x_request_id);
}

// X-Forwarded-For and Forwarded: the one that is believed is appended to, the other begins with the client that was
// found.
void add_way(http::Fields& fields, const ForwardFacts& facts) {
  base::Arena& arena = fields.arena();
  const net::Address& client = facts.client.address;
  if (facts.client.peer == Trust::yes && (facts.client.unknown || !(client == facts.peer.unmapped()))) {
    const std::string_view found = plain_text(client, arena);
    if (facts.by == ForwardedBy::forwarded) {
      fields.add(http::Token::x_forwarded_for, found);
    } else {
      fields.add(http::Token::forwarded, arena.concat("for=", node_text(client, found, arena)));
    }
  }
  const std::string_view peer = plain_text(facts.peer, arena);
  append_to_list(fields, http::Token::x_forwarded_for, peer);
  append_to_list(fields, http::Token::forwarded, forwarded_element(facts, peer, arena));
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

Client find_client(const net::Address& peer, std::span<const net::Cidr> trusted, ForwardedBy by,
                   const http::Fields& fields) {
  if (!peer.is_ip()) return {};
  Client client{peer.unmapped(), Trust::no, false};
  if (trusted.empty() || !net::contains(trusted, client.address)) return client;
  client.peer = Trust::yes;
  auto found = walk(client.address, trusted, by, fields);
  client.unknown = !found;
  client.address = found ? *found : net::Address();
  return client;
}

bool is_admitted(const Client& client, std::span<const net::Cidr> deny,
                 const std::optional<std::vector<net::Cidr>>& allow) {
  if (client.unknown) return deny.empty() && !allow;
  return !net::contains(deny, client.address) && (!allow || net::contains(*allow, client.address));
}

RequestIds add_forwarding(http::Fields& fields, const ForwardFacts& facts, Random& random) {
  base::Arena& arena = fields.arena();
  drop_claims(fields, facts);
  add_way(fields, facts);
  if (!fields.has(http::Token::x_forwarded_proto)) fields.add(http::Token::x_forwarded_proto, facts.scheme);
  if (!fields.has(http::Token::x_forwarded_host) && !facts.authority.empty()) {
    fields.add(http::Token::x_forwarded_host, facts.authority);
  }
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
    fields.remove(http::Token::tracestate);  // it belongs to the traceparent that was not valid
    ids.span_id = parent_id_of(trace);
  }
  ids.trace_id = trace_id_of(trace);
  return ids;
}

// Via has no quoted strings (RFC 9110 7.6.3).
bool is_loop(const http::Fields& fields, std::string_view pseudonym) {
  if (!fields.has(http::Token::via)) return false;
  uint32_t members = 0;
  uint32_t ours = 0;
  for (const http::Field& field : fields) {
    if (field.token != http::Token::via) continue;
    std::string_view rest = field.value();
    while (const auto member = take_last_member(rest)) {
      if (++members > via_members_max) return true;
      const size_t blank = member->find_first_of(" \t");
      if (blank == std::string_view::npos) continue;
      const std::string_view by = base::trim_ows(member->substr(blank + 1));
      if (by.substr(0, by.find_first_of(" \t")) == pseudonym && ++ours >= loop_limit) return true;
    }
  }
  return false;
}

}  // namespace sluice::exchange
