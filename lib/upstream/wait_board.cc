// Sequentially consistent throughout; see wait_board.h.
#include "upstream/wait_board.h"

#include "base/check.h"

namespace sluice::upstream {

WaitBoard::WaitBoard(std::uint32_t workers) : workers_(workers), lines_(std::make_unique<Line[]>(workers)) {
  CHECK(workers > 0);
}

void WaitBoard::announce(std::uint32_t worker, base::Micros since, Own own) {
  CHECK(worker < workers_);
  const std::int64_t value = since.count == 0 ? 0 : (since.count & ~std::int64_t{1}) | (own == Own::bare ? 1 : 0);
  const std::int64_t before = lines_[worker].since.exchange(value);
  if (before == 0 && value != 0) announced_.fetch_add(1);
  if (before != 0 && value == 0) announced_.fetch_sub(1);
}

std::optional<base::Micros> WaitBoard::oldest() const {
  std::int64_t oldest = 0;
  for (std::uint32_t w = 0; w < workers_; ++w) {
    const std::int64_t since = lines_[w].since.load() & ~std::int64_t{1};
    if (since != 0 && (oldest == 0 || since < oldest)) oldest = since;
  }
  return oldest == 0 ? std::nullopt : std::optional(base::Micros{oldest});
}

std::optional<std::uint32_t> WaitBoard::longest(std::uint32_t me, base::Micros than, base::Micros than_bare) const {
  std::optional<std::uint32_t> found;
  std::int64_t oldest = 0;
  for (std::uint32_t w = 0; w < workers_; ++w) {
    const std::int64_t value = lines_[w].since.load();
    const std::int64_t since = value & ~std::int64_t{1};
    const base::Micros limit = (value & 1) != 0 ? than_bare : than;
    if (w == me || value == 0 || since >= limit.count || (found.has_value() && since >= oldest)) continue;
    oldest = since;
    found = w;
  }
  return found;
}

}  // namespace sluice::upstream
