// Header names to numbers by a hash table made at compile time without collisions: one probe, one comparison.
#include "http/token.h"

#include <array>

#include "base/text.h"

namespace sluice::http {
namespace {

constexpr std::array<std::string_view, tokens> names = {
    "",
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "early-data",
    "expect",
    "forwarded",
    "grpc-timeout",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "priority",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "retry-after",
    "sec-websocket-accept",
    "sec-websocket-key",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "traceparent",
    "tracestate",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-sluice-reason",
    "grpc-status",
    "grpc-message",
};

constexpr unsigned slots = 256;

// Length, first, last two and middle letter; bit 5 is set so that case does not matter ('-' and digits have it anyway).
constexpr unsigned hash(std::string_view name, unsigned seed) {
  const size_t n = name.size();
  const auto letter = [&](size_t i) { return static_cast<unsigned char>(name[i]) | 0x20U; };
  unsigned h = static_cast<unsigned>(n) * 0x9E3779B1U + seed;
  h = (h ^ letter(0)) * 0x85EBCA6BU;
  h = (h ^ letter(n - 1)) * 0xC2B2AE35U;
  h = (h ^ letter(n / 2)) * 0x27D4EB2FU;
  h = (h ^ letter(n - 2)) * 0x165667B1U;
  return h >> 24;
}

consteval bool collides(unsigned seed) {
  std::array<bool, slots> taken{};
  for (unsigned t = 1; t < tokens; ++t) {
    bool& slot = taken[hash(names[t], seed)];
    if (slot) return true;
    slot = true;
  }
  return false;
}

consteval unsigned free_seed() {
  unsigned seed = 0;
  while (collides(seed)) ++seed;
  return seed;
}
constexpr unsigned seed = free_seed();

consteval std::array<Token, slots> make_table() {
  std::array<Token, slots> table{};
  for (unsigned t = 1; t < tokens; ++t) table[hash(names[t], seed)] = static_cast<Token>(t);
  return table;
}
constexpr std::array<Token, slots> table = make_table();

}  // namespace

Token token_of(std::string_view name) {
  if (name.size() < 2) return Token::other;
  const Token token = table[hash(name, seed)];
  return base::iequals(name, names[static_cast<unsigned>(token)]) ? token : Token::other;
}

std::string_view name_of(Token token) { return names[static_cast<unsigned>(token)]; }

Method method_of(std::string_view method) {
  switch (method.size()) {
    case 3:
      if (method == "GET") return Method::get;
      if (method == "PUT") return Method::put;
      break;
    case 4:
      if (method == "HEAD") return Method::head;
      if (method == "POST") return Method::post;
      break;
    case 5:
      if (method == "TRACE") return Method::trace;
      if (method == "PATCH") return Method::patch;
      break;
    case 6:
      if (method == "DELETE") return Method::delete_;
      break;
    case 7:
      if (method == "OPTIONS") return Method::options;
      if (method == "CONNECT") return Method::connect;
      break;
    default: break;
  }
  return Method::other;
}

bool is_idempotent(Method method) { return is_safe(method) || method == Method::put || method == Method::delete_; }

bool is_safe(Method method) {
  return method == Method::get || method == Method::head || method == Method::options || method == Method::trace;
}

}  // namespace sluice::http
