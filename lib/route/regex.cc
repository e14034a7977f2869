// Regex over RE2, with bounded memory and no captures.
#include "route/regex.h"

#include <re2/re2.h>

#include "base/check.h"

namespace sluice::route {
namespace {

// Of one pattern, forward and backward program and their state cache. A pattern that needs more is refused by
// compile().
constexpr int64_t memory_max = int64_t{1} << 20;

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

RE2::Options options() {
  RE2::Options o;
  o.set_log_errors(false);
  o.set_never_capture(true);
  o.set_max_mem(memory_max);
  return o;
}

}  // namespace

struct Regex::Impl {
  explicit Impl(std::string_view pattern) : re(piece(pattern), options()) {}
  RE2 re;
};

Regex::Regex(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

base::Result<Regex> Regex::compile(std::string_view pattern) {
  auto impl = std::make_unique<const Impl>(pattern);
  if (!impl->re.ok()) return base::fail(impl->re.error());
  return Regex(std::move(impl));
}

bool Regex::search(std::string_view text) const {
  CHECK(impl_ != nullptr);
  return impl_->re.Match(piece(text), 0, text.size(), RE2::UNANCHORED, nullptr, 0);
}

}  // namespace sluice::route
