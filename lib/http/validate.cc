// One table of character classes, and the few loops over it.
#include "http/validate.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/text.h"
#include "http/hop_by_hop.h"
#include "net/address.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace sluice::http {
namespace {

enum Class : uint8_t {
  token_class = 1,
  path_class = 2,
  query_class = 4,
  host_class = 8,
  hex_class = 16,
  dashed_class = 32
};

consteval std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> table{};
  const auto mark = [&](std::string_view characters, uint8_t what) {
    for (const char c : characters) table[static_cast<unsigned char>(c)] |= what;
  };
  constexpr std::string_view alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  mark(alnum, token_class | path_class | host_class | dashed_class);
  mark("-", dashed_class);
  mark("!#$%&'*+-.^_`|~", token_class);
  mark("-._~!$&'()*+,;=:@/|[]^", path_class);             // '%' is looked at apart
  mark("-._~!$&'()*+;=", host_class);                     // reg-name without ','; '%' apart
  mark("0123456789abcdefABCDEF", hex_class);
  for (unsigned c = 0x21; c < 0x7f; ++c) table[c] |= query_class;
  table['#'] &= static_cast<uint8_t>(~query_class);
  return table;
}
constexpr std::array<uint8_t, 256> classes = make_classes();

bool is(char c, uint8_t what) { return (classes[static_cast<unsigned char>(c)] & what) != 0; }

bool whole_escape(std::string_view text, size_t at) {
  return at + 2 < text.size() && is(text[at + 1], hex_class) && is(text[at + 2], hex_class);
}

bool is_ctl(char c) {
  const auto u = static_cast<unsigned char>(c);
  return (u < 0x20 && u != '\t') || u == 0x7f;
}

bool is_reg_name(std::string_view host) {
  for (size_t i = 0; i < host.size(); ++i) {
    if (is(host[i], host_class)) continue;
    if (host[i] != '%' || !whole_escape(host, i)) return false;
    i += 2;
  }
  return !host.empty();
}

bool is_port(std::string_view digits) {
  constexpr size_t port_digits_max = 5;
  if (digits.empty() || digits.size() > port_digits_max) return false;
  const auto port = base::parse_u64(digits);
  return port && *port >= 1 && *port <= UINT16_MAX;
}

}  // namespace

std::string_view scheme_word(Scheme scheme) { return scheme == Scheme::https ? "https" : "http"; }

size_t token_size(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && is(text[n], token_class)) ++n;
  return n;
}

bool is_token(std::string_view text) { return !text.empty() && token_size(text) == text.size(); }

const char* find_ctl(const char* at, const char* end) {
#ifdef __SSE2__
  const __m128i flip = _mm_set1_epi8(static_cast<char>(0x80));  // unsigned order by signed comparison
  const __m128i below = _mm_set1_epi8(static_cast<char>(0x20 ^ 0x80));
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7f);
  for (; end - at >= 16; at += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i low = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), _mm_cmplt_epi8(_mm_xor_si128(bytes, flip), below));
    const auto hits = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(bytes, del))));
    if (hits != 0) return at + std::countr_zero(hits);
  }
#else
  // Eight bytes at a time: a word that surely holds neither a byte below 0x20 nor 0x7f is skipped (false alarms are
  // looked at).
  constexpr uint64_t ones = 0x0101010101010101U;
  constexpr uint64_t highs = ones * 0x80;
  for (; end - at >= 8; at += 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    const uint64_t del = word ^ (ones * 0x7f);
    if ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & highs) {
      for (int i = 0; i < 8; ++i) {
        if (is_ctl(at[i])) return at + i;
      }
    }
  }
#endif
  while (at < end && !is_ctl(*at)) ++at;
  return at;
}

bool is_field_value(std::string_view value) {
  const char* end = value.data() + value.size();
  return find_ctl(value.data(), end) == end;
}

NameRule underscore_rule(std::string_view name, UnderscoreHeaders option) {
  if (option == UnderscoreHeaders::pass) return NameRule::take;
  if (std::ranges::all_of(name, [](char c) { return is(c, dashed_class); })) return NameRule::take;
  return option == UnderscoreHeaders::drop ? NameRule::drop : NameRule::reject;
}

bool is_x_forwarded(std::string_view name) {
  constexpr std::string_view family = "x-forwarded-";
  return base::iequals(name.substr(0, family.size()), family);
}

bool is_origin_form(std::string_view target) {
  if (target.empty() || target.front() != '/') return false;
  size_t i = 1;
  for (; i < target.size() && target[i] != '?'; ++i) {
    if (is(target[i], path_class)) continue;
    if (target[i] != '%' || !whole_escape(target, i)) return false;
    i += 2;
  }
  for (; i < target.size(); ++i) {
    if (!is(target[i], query_class)) return false;
  }
  return true;
}

bool is_authority(std::string_view text) {
  if (text.empty()) return false;
  if (text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return false;
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest != ":" && (rest.front() != ':' || !is_port(rest.substr(1)))) return false;
    const auto address = net::Address::parse_ip(text.substr(1, close - 1));
    return address && address->family() == net::Address::Family::ipv6;
  }
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return is_reg_name(text);
  const std::string_view port = text.substr(colon + 1);
  return is_reg_name(text.substr(0, colon)) && (port.empty() || is_port(port));
}

bool has_port(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  return colon != std::string_view::npos && colon + 1 < authority.size() &&
         authority.find(']', colon) == std::string_view::npos;
}

std::string_view without_empty_port(std::string_view authority) {
  if (authority.ends_with(':')) authority.remove_suffix(1);
  return authority;
}

std::string_view without_port(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  return colon == std::string_view::npos || authority.find(']', colon) != std::string_view::npos
             ? authority
             : authority.substr(0, colon);
}

bool is_known_scheme(std::string_view text) {
  return base::iequals(text, scheme_word(Scheme::http)) || base::iequals(text, scheme_word(Scheme::https));
}

std::optional<uint64_t> parse_content_length(std::string_view value) { return base::parse_u64(value); }

bool allowed_in_trailers(Token token, std::string_view name) {
  if (token == Token::other) return !is_x_forwarded(name);
  constexpr Token barred[] = {
      Token::content_length,
      Token::host,
      Token::authorization,
      Token::proxy_authorization,
      Token::proxy_authenticate,
      Token::cookie,
      Token::set_cookie,
      Token::content_type,
      Token::expect,
      Token::max_forwards,
      Token::forwarded,
      Token::via,
      Token::x_forwarded_for,
      Token::x_forwarded_host,
      Token::x_forwarded_port,
      Token::x_forwarded_proto,
      Token::x_real_ip,
      Token::x_request_id,
      Token::traceparent,
      Token::tracestate,
      Token::early_data,
      Token::x_sluice_reason,
  };
  return !is_hop_by_hop(token) && std::ranges::find(barred, token) == std::end(barred);
}

}  // namespace sluice::http
