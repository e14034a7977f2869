#include "why.h"

#include <cstdio>
#include <string>
#include <string_view>

#include "admin/client.h"

namespace sluice::proxy {
namespace {

constexpr std::string_view hex_digits = "0123456789ABCDEF";

void print(std::FILE* to, std::string_view text) { std::fwrite(text.data(), 1, text.size(), to); }

// RFC 3986 2.3: all but what needs no escape.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       std::string_view("-._~:").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += hex_digits[byte >> 4];
    out += hex_digits[byte & 15];
  }
  return out;
}

bool is_client(std::string_view about) { return net::Address::parse_ip(about) || net::Address::parse(about); }

}  // namespace

int why(const WhyCommand& command) {
  const std::string path = (is_client(command.about) ? "/recent?client=" : "/recent?id=") + escaped(command.about);
  const auto answer = admin::ask(command.admin, path, "text/plain");
  if (!answer) {
    print(stderr, "sluice: " + answer.error().message + "\n");
    return exit_failure;
  }
  if (answer->status == 404) {
    print(stderr, "sluice: " + answer->body);
    print(stderr, "One that still runs is in GET /debug/requests; the access log has every one that has ended.\n");
    return exit_nothing;
  }
  if (answer->status != 200) {
    print(stderr, "sluice: the admin at " + command.admin.text() + " says " + answer->body);
    return exit_failure;
  }
  print(stdout, answer->body);
  return exit_good;
}

}  // namespace sluice::proxy
