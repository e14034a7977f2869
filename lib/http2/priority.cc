// Just enough of a structured dictionary (RFC 8941 3.2) for "u=1, i".
#include "http2/priority.h"

#include <optional>

#include "base/text.h"

namespace sluice::http2 {

Priority parse_priority(std::string_view value) {
  Priority priority;
  while (const auto member = base::next_list_member(value)) {
    std::string_view text = base::trim_ows(member->substr(0, member->find(';')));
    if (text.size() == 3 && text.starts_with("u=")) {
      const char digit = text[2];
      if (base::is_digit(digit) && digit - '0' <= Priority::lowest)
        priority.urgency = static_cast<uint8_t>(digit - '0');
    } else if (text == "i" || text == "i=?1") {
      priority.incremental = true;
    } else if (text == "i=?0") {
      priority.incremental = false;
    }
  }
  return priority;
}

}  // namespace sluice::http2
