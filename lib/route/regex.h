// Regex: a compiled `path_regex`. The one place that knows RE2, which takes time linear in the text whatever the
// pattern. Owned by the Router; immutable, so all workers search with the same one.
#pragma once

#include <memory>
#include <string_view>

#include "base/error.h"

namespace sluice::route {

class Regex {
 public:
  // The error says what is wrong with the pattern, or that its program would be too big.
  static base::Result<Regex> compile(std::string_view pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // Found anywhere in `text`, unless the pattern is anchored.
  bool search(std::string_view text) const;

 private:
  struct Impl;
  explicit Regex(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace sluice::route
