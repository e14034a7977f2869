#include "runtime/confirmation.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::runtime {

void Confirmation::compare_with(const Counts& lately, const Counts& ever) {
  compared_ = true;
  before_ = lately;
  start_ = ever;
}

Confirmation::Verdict Confirmation::look(base::Micros now, const Counts& ever) {
  if (compared_) since_ = ever - start_;
  if (worse()) return Verdict::worse;
  return now >= until_ ? Verdict::late : Verdict::wait;
}

// Shares are compared crosswise, without a division. Before the first answer nothing had failed.
bool Confirmation::worse() const {
  if (since_.all < answers_least || since_.failed < failed_least) return false;
  if (since_.failed * failed_one_in < since_.all) return false;
  return since_.failed * std::max<uint64_t>(before_.all, 1) > times_worse * before_.failed * since_.all;
}

std::string Confirmation::words_of(Verdict verdict) const {
  if (verdict == Verdict::late) return fmt::format("not confirmed within {:g} s", base::Micros(span_).seconds());
  return fmt::format("5xx and cut answers: {} of {} since the reload, {} of {} in the minute before", since_.failed,
                     since_.all, before_.failed, before_.all);
}

}  // namespace sluice::runtime
