// Confirmation: a configuration that is in force on approval: it goes unless it is confirmed in time, and at once when
// answers fail more than twice as often as before it. Which answers fail: exchange/answers.h. Pure: no clock, no
// configuration.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "exchange/answers.h"

namespace sluice::runtime {

class Confirmation {
 public:
  // Few errors in little traffic decide nothing: so many answers since the reload, so many of them failed, and so large
  // a share (one in ...).
  static constexpr uint64_t answers_least = 50;
  static constexpr uint64_t failed_least = 5;
  static constexpr uint64_t failed_one_in = 100;
  static constexpr uint64_t times_worse = 2;  // above so many times the share of before

  using Counts = exchange::Answers::Counts;
  enum class Verdict : uint8_t { wait, late, worse };

  Confirmation(base::Micros now, base::Millis span) : until_(now + base::Micros(span)), span_(span) {}
  // What there was at the reload: the last minute before it, and all there ever was.
  void compare_with(const Counts& lately, const Counts& ever);
  // `ever`: now. Without compare_with() only time counts.
  Verdict look(base::Micros now, const Counts& ever);

  base::Micros left(base::Micros now) const { return now < until_ ? until_ - now : base::Micros{0}; }
  const Counts& before() const { return before_; }
  const Counts& since() const { return since_; }
  // "not confirmed within 60 s", "5xx and cut answers: 20 of 60 since the reload, 1 of 1000 before"
  std::string words_of(Verdict verdict) const;

 private:
  bool worse() const;

  base::Micros until_;
  base::Millis span_;
  bool compared_ = false;
  Counts before_, start_, since_;
};

}  // namespace sluice::runtime
