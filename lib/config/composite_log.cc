// Codecs of [access_log]; see composite.h.
#include <algorithm>

#include "base/text.h"
#include "config/composite.h"
#include "exchange/log_plan.h"

namespace sluice::config {
namespace {

using exchange::LoggedHeader;

constexpr std::string_view of_request = "request:";
constexpr std::string_view of_response = "response:";

// "" and a complaint if it cannot be.
std::string header_name(std::string_view text, const Node& item, Reader& reader) {
  if (const std::string wrong = field_name(text); !wrong.empty()) {
    reader.error(item.at, wrong);
    return {};
  }
  if (const std::string_view secret = exchange::header_is_secret(text); !secret.empty()) {
    reader.error(item.at, concat({"must not name ", quoted(text), ": it ", secret}));
    return {};
  }
  return base::to_lower(text);
}

}  // namespace

void LoggedHeaders::read(const Node& node, Reader& reader) {
  const auto* items = read_array(node, reader, "an array of field names, such as [\"x-tenant\", \"response:age\"]");
  if (items == nullptr) return;
  if (items->size() > exchange::LogPlan::headers_max)
    return reader.error(node.at, concat({"takes at most ", std::to_string(exchange::LogPlan::headers_max), " names"}));
  to_.clear();
  for (const Node& item : *items) {
    const auto text = read_text(item, reader);
    if (!text) continue;
    LoggedHeader header;
    std::string_view name = *text;
    if (name.starts_with(of_response)) header.of = LoggedHeader::Of::response;
    if (name.starts_with(of_request) || name.starts_with(of_response)) name.remove_prefix(name.find(':') + 1);
    header.name = header_name(name, item, reader);
    if (header.name.empty()) continue;
    if (std::ranges::find(to_, header) != to_.end()) {
      reader.error(item.at, concat({"names ", quoted(*text), " twice"}));
    } else {
      to_.push_back(std::move(header));
    }
  }
}

std::string LoggedHeaders::print() const {
  std::vector<std::string> texts;
  for (const LoggedHeader& header : to_)
    texts.push_back(concat({header.of == LoggedHeader::Of::response ? of_response : "", header.name}));
  return print_list(texts);
}

}  // namespace sluice::config
