#include "upstream/idle_limit.h"

#include <algorithm>

namespace sluice::upstream {

bool IdleLimit::closed_at(base::Micros age, base::Micros now) {
  if (age < base::Micros{shortest}) return false;
  if (agreed_ != 0 && now - last_at_ < base::Micros{apart}) return false;
  last_at_ = now;
  const base::Micros first = ages_[0];
  const std::int64_t differ = age < first ? first.count - age.count : age.count - first.count;
  if (agreed_ == closes_needed || differ > std::max(base::Micros{tolerance}.count, first.count / 10)) agreed_ = 0;
  ages_[agreed_++] = age;
  return agreed_ == closes_needed;
}

base::Micros IdleLimit::learned() const { return *std::ranges::min_element(ages_); }

base::Micros IdleLimit::keep_for(base::Micros limit) {
  return base::Micros{limit.count - std::min<std::int64_t>(base::Micros{base::seconds(1)}.count, limit.count / 5)};
}

}  // namespace sluice::upstream
