// What texts of the configuration must look like: names, field names and values, hosts, paths. Pure; see value.h.
#include <algorithm>
#include <string>

#include "base/text.h"
#include "config/value.h"

namespace sluice::config {
namespace {

constexpr std::size_t label_max = 128;
constexpr std::size_t dns_name_max = 253;   // RFC 1035 3.1
constexpr std::size_t dns_label_max = 63;

bool is_alnum(char c) { return base::is_digit(c) || (base::to_lower(c) >= 'a' && base::to_lower(c) <= 'z'); }

bool is_token_char(char c) {
  return is_alnum(c) || (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}

// "" when `name` is made of labels of letters, digits, '-' and '_'.
std::string dns_name(std::string_view name) {
  if (name.empty()) return "must not be empty";
  if (name.size() > dns_name_max) return "is longer than a DNS name may be (253 characters)";
  std::size_t label = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return "has an empty label";
      label = 0;
      continue;
    }
    if (!is_alnum(c) && c != '-' && c != '_') return "is a host name: letters, digits, '-', '_' and dots";
    if (++label > dns_label_max) return "has a label of more than 63 characters";
  }
  return label == 0 ? "must not end in a dot" : "";
}

bool is_port(std::string_view text) {
  const auto port = base::parse_u64(text);
  return port && text.size() <= 5 && *port >= 1 && *port <= 65'535;
}

}  // namespace

std::string any_text(std::string_view) { return ""; }

std::string some_text(std::string_view text) { return text.empty() ? "must not be empty" : ""; }

std::string label_text(std::string_view text) {
  if (text.empty()) return "must not be empty";
  if (text.size() > label_max) return "must be at most 128 characters long";
  const bool printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '"' && c != '\\'; });
  return printable ? "" : "must be printable ASCII without blanks, quotes and backslashes";
}

std::string field_name(std::string_view text) {
  if (text.empty()) return "must not be empty";
  if (!std::all_of(text.begin(), text.end(), is_token_char))
    return concat({quoted(text), " is no field name (RFC 9110 5.1)"});
  return "";
}

std::string field_value(std::string_view text) {
  const bool clean = std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
  if (!clean) return "holds a control character, which no field value may (RFC 9110 5.5)";
  return base::trim_ows(text).size() == text.size() ? "" : "must not begin or end with a blank";
}

std::string host_pattern(std::string_view text) {
  if (net::Address::parse_ip(text)) return "";
  std::string_view name = text;
  if (name.starts_with("*.")) name.remove_prefix(2);
  if (name.find('*') != std::string_view::npos)
    return "takes a wildcard only as the whole first label, \"*.example.com\"";
  if (name.find(':') != std::string_view::npos) return "is matched without a port: leave the port out";
  return dns_name(name);
}

std::string bare_host(std::string_view text) {
  return text.starts_with("*.") ? "takes whole names: no wildcard" : host_pattern(text);
}

std::string host_name(std::string_view text) {
  if (net::Address::parse_ip(text) || net::Address::parse(text)) return "";
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return dns_name(text);
  return is_port(text.substr(colon + 1)) ? dns_name(text.substr(0, colon)) : "has no good port after the colon";
}

std::string name_and_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return "needs a port: \"NAME:PORT\"";
  if (!is_port(text.substr(colon + 1))) return "has no good port after the colon (1 to 65535)";
  return dns_name(text.substr(0, colon));
}

std::string service_name(std::string_view text) {
  if (!text.starts_with('_') || text.find("._") == std::string_view::npos) {
    return "is the name of a SRV record: \"_http._tcp.app.internal\" (RFC 2782)";
  }
  return dns_name(text);
}

std::string path_text(std::string_view text) {
  if (!text.starts_with('/')) return "must start with '/'";
  const bool visible = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!visible) return "must be visible ASCII: write other characters as %XX";
  return text.find_first_of("?#") == std::string_view::npos
             ? ""
             : "is matched without a query: '?' and '#' must not be in it";
}

std::string optional_path(std::string_view text) { return text.empty() ? std::string() : path_text(text); }

}  // namespace sluice::config
