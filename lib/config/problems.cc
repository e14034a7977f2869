// Problems as text and as JSON; see problems.h.
#include "config/problems.h"

#include <cstdio>
#include <string_view>

namespace sluice::config {
namespace {

// Bytes of the UTF-8 sequence that starts `text`, 0 if there is no good one (RFC 3629: no overlong forms, no
// surrogates).
std::size_t sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool outside = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
  return overlong || outside ? 0 : size;
}

std::string json(std::string_view text) {
  std::string to = "\"";
  while (!text.empty()) {
    const std::size_t size = sequence(text);
    const char c = text.front();
    if (size == 0) {
      to += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", byte);
      to += escape;
    } else {
      to += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return to + '"';
}

}  // namespace

std::string to_text(const std::vector<base::Error>& problems) {
  std::string text;
  for (const base::Error& problem : problems) text += base::to_text(problem) + "\n";
  return text;
}

std::string to_json(const std::vector<base::Error>& problems) {
  std::string text = "[";
  for (const base::Error& problem : problems) {
    text += text.size() > 1 ? ",\n " : "";
    text += "{\"file\": " + json(problem.span.file) + ", \"line\": " + std::to_string(problem.span.line) +
            ", \"column\": " + std::to_string(problem.span.column) +
            ", \"severity\": " + (problem.severity == base::Severity::error ? "\"error\"" : "\"warning\"") +
            ", \"message\": " + json(problem.message) + ", \"suggestion\": " + json(problem.suggestion) + "}";
  }
  return text + "]\n";
}

}  // namespace sluice::config
