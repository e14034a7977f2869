// Which fields end at this hop (RFC 9110 7.6.1, threats.md row 15). Pure functions; the sessions call them when they
// read a head, so that nothing of the kind is ever among Head::fields.
#pragma once

#include <string_view>

#include "http/fields.h"

namespace sluice::http {

// Never forwarded, whoever names it: Connection, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade,
// HTTP2-Settings.
inline constexpr TokenSet hop_by_hop{Token::connection,        Token::keep_alive, Token::proxy_connection, Token::te,
                                     Token::transfer_encoding, Token::upgrade,    Token::http2_settings};
constexpr bool is_hop_by_hop(Token token) { return hop_by_hop.has(token); }

// What the Connection fields of a head said.
struct ConnectionOptions {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  bool nominates = false;  // names further fields: see remove_nominated
};
// Adds one Connection value to `options`. Members that are no tokens are passed over.
void read_connection(std::string_view value, ConnectionOptions& options);

// Removes the fields that a Connection value names. Naming Host, Content-Length, Transfer-Encoding, X-Forwarded-*,
// Authorization or Cookie is ignored: an attacker would take from us what the upstream decides on. Looks at
// `members_max` members at most; returns at how many.
uint32_t remove_nominated(Fields& fields, std::string_view connection, uint32_t members_max);

// True if the list of a TE field holds "trailers".
bool te_takes_trailers(std::string_view value);

// The protocol an Upgrade list asks for: its first member that is a token and not h2c; "" if there is none. As sent.
std::string_view upgrade_choice(std::string_view value);

}  // namespace sluice::http
