// Json: the two pieces that pages of the admin listener are put together from.
#pragma once

#include <string>
#include <string_view>

#include "base/text.h"

namespace sluice::runtime {

inline std::string quoted(std::string_view text) {
  std::string out = "\"";
  base::append_json_escaped(out, text);
  return out += '"';
}

// Joins "a","b",... with commas.
class Joined {
 public:
  void add(const std::string& item) {
    if (!text_.empty()) text_ += ',';
    text_ += item;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace sluice::runtime
