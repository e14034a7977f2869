// The strict rules of names, values, targets and authorities, once for all HTTP versions (threats.md rows 3, 5 to 13).
// Pure functions over views: nothing is allocated, nothing is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "http/failure.h"
#include "http/options.h"
#include "http/token.h"

namespace sluice::http {

// Which scheme a listener speaks for: "https" if TLS ended here.
enum class Scheme : uint8_t { http, https };
std::string_view scheme_word(Scheme scheme);
// "http" or "https" in any case: what a client may ask for by :scheme or in absolute form, whichever the listener
// speaks. A proxy in front that took TLS off, or put it on, says what it was asked for; our own view is what counts and
// goes on (row 64).
bool is_known_scheme(std::string_view text);

// ---- characters (RFC 9110 5.6.2, 5.5) ----
size_t token_size(std::string_view text);  // length of the run of token characters at the front
bool is_token(std::string_view text);  // all of it, and not empty
// First byte in [at, end) that may not stand in a field value: a control but HTAB, DEL included; `end` if there is
// none.
const char* find_ctl(const char* at, const char* end);
bool is_field_value(std::string_view value);  // no such byte

// ---- names ----
enum class NameRule : uint8_t { take, drop, reject };
// Of a request's field, head or trailer: names with other characters than letters, digits and '-', which backends of
// the CGI kind fold to the dashed name (X_Real_IP, X.Real.IP: HTTP_X_REAL_IP); rows 10 and 53.
NameRule underscore_rule(std::string_view name, UnderscoreHeaders option);

bool is_x_forwarded(std::string_view name);  // X-Forwarded-*, in any case: claims about the way of a request

// ---- targets (row 13) ----
// Origin form: a path of RFC 3986 characters and | [ ] ^ with whole escapes, then any visible ASCII but # as query.
bool is_origin_form(std::string_view target);

// ---- authorities (rows 11, 12) ----
// host or host:port, as Host and :authority carry it: no userinfo, no comma, no empty host; behind a colon a port of
// 1..65535, or nothing (RFC 3986 3.2.3).
bool is_authority(std::string_view text);
// Of a valid one:
bool has_port(std::string_view authority);  // and it is not empty
std::string_view without_empty_port(std::string_view authority);  // "a:" is "a": what goes on has no colon for nothing
std::string_view without_port(std::string_view authority);

// ---- numbers ----
// Content-Length: digits only, below 2^64; leading zeros are allowed (row 3).
std::optional<uint64_t> parse_content_length(std::string_view value);

// ---- trailers (row 5) ----
// May this field go on as a trailer? No: framing, routing, authentication, cookies, hop-by-hop, and what tells of the
// way of a request: a trailer must not say what a head may not. What Connection named is the sessions' to drop.
bool allowed_in_trailers(Token token, std::string_view name);

}  // namespace sluice::http
