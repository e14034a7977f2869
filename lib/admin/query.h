// The query of an admin request: "name=value&name". A name that its page does not know is an error, never ignored: a
// word that somebody mistyped must not do something else than what was meant. Taken as sent, without percent escapes:
// no value that a page knows needs them. Pure.
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice::admin {

class Query {
 public:
  // Of `target` ("/path?query"), of which each name may be one of `known`, once. The error is a sentence that names
  // what is known. Views into `target`.
  static std::expected<Query, std::string> read(std::string_view target, std::span<const std::string_view> known);
  // nullopt: the name is not there; "": without a value.
  std::optional<std::string_view> value(std::string_view name) const;

  Query() = default;  // an empty one

 private:
  explicit Query(std::string_view text) : text_(text) {}
  std::string_view text_;
};

}  // namespace sluice::admin
