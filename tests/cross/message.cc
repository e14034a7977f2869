#include "message.h"

#include <algorithm>
#include <array>
#include <functional>

#include "base/text.h"

namespace sluice::cross {
namespace {

// On every request that is passed on, and every answer; tests of their own look at them.
constexpr std::array<std::string_view, 8> added = {
    "via",         "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id",
    "traceparent", "date"};
// Of one HTTP version.
constexpr std::array<std::string_view, 5> framing = {"connection", "keep-alive", "transfer-encoding",
                                                     "sec-websocket-key", "sec-websocket-accept"};

bool among(std::string_view name, const auto& names) { return std::ranges::find(names, name) != names.end(); }

std::string body_text(const std::string& body) {
  constexpr size_t longest = 80;
  if (body.size() <= longest) return body;
  return "<" + std::to_string(body.size()) + " bytes, hash " + std::to_string(std::hash<std::string>()(body)) + ">";
}

}  // namespace

std::string to_text(const Lines& lines) {
  std::string text;
  for (const auto& [name, value] : lines) {
    if (!among(name, added)) text += " [" + name + ": " + value + "]";
  }
  return text;
}

std::string Message::text() const {
  std::string text;
  for (const std::string& one : informational) text += one + " | ";
  text += start.empty() ? "nothing" : start + to_text(fields);
  if (length.value_or(0) != 0) text += " length=" + std::to_string(*length);
  if (te) text += " te";
  if (expect) text += " expect";
  if (!upgrade.empty()) text += " upgrade=" + upgrade;
  if (!body.empty()) text += " | " + body_text(body);
  if (!trailers.empty()) text += " |" + to_text(trailers);
  switch (ending) {
    case Ending::open: return text + " | open";
    case Ending::whole: return text + " | whole";
    case Ending::cut: return text + " | cut";
  }
  return text;
}

std::string Message::field(std::string_view name) const {
  for (const auto& [n, value] : fields) {
    if (n == name) return value;
  }
  return "";
}

void Message::take(const std::string& name, const std::string& value) {
  if (name == "content-length") {
    length = base::parse_u64(value);
  } else if (name == "upgrade") {
    upgrade = value;
  } else if (name == "te") {
    te = true;
  } else if (name == "expect" && value == "100-continue") {
    expect = true;
  } else if (!among(name, framing)) {
    fields.emplace_back(name, value);
  }
}

}  // namespace sluice::cross
