// A reload that can be taken back: when it goes by itself, at each limit and above it.
#include "runtime/confirmation.h"

#include <doctest/doctest.h>

using namespace sluice;
using exchange::Answers;
using runtime::Confirmation;
using Counts = Confirmation::Counts;
using Verdict = Confirmation::Verdict;

namespace {
constexpr base::Micros at(int64_t ms) { return base::Micros(base::millis(3'600'000 + ms)); }

// What is said of a reload with `before` in the minute before it and `since` since.
Verdict judged(const Counts& before, const Counts& since) {
  Confirmation confirmation(at(0), base::seconds(60));
  const Counts ever{1'000'000, 777};
  confirmation.compare_with(before, ever);
  Counts now = ever;
  now += since;
  return confirmation.look(at(1'000), now);
}
}  // namespace

TEST_CASE("it waits so long and no longer") {
  Confirmation confirmation(at(0), base::seconds(60));
  CHECK(confirmation.look(at(0), {}) == Verdict::wait);
  CHECK(confirmation.left(at(10'000)) == base::Micros(base::seconds(50)));
  CHECK(confirmation.look(at(59'999), {}) == Verdict::wait);
  CHECK(confirmation.look(at(60'000), {}) == Verdict::late);
  CHECK(confirmation.left(at(61'000)).count == 0);
  CHECK(confirmation.words_of(Verdict::late) == "not confirmed within 60 s");
}

TEST_CASE("twice the share of before is borne, more is not") {
  CHECK(judged({1'000, 100}, {100, 20}) == Verdict::wait);
  CHECK(judged({1'000, 100}, {100, 21}) == Verdict::worse);
  CHECK(judged({1'000, 500}, {100, 100}) == Verdict::wait);  // it cannot double
}

TEST_CASE("few answers, few failures and a small share decide nothing") {
  CHECK(judged({1'000, 0}, {Confirmation::answers_least - 1, 49}) == Verdict::wait);
  CHECK(judged({1'000, 0}, {Confirmation::answers_least, 50}) == Verdict::worse);
  CHECK(judged({1'000, 0}, {50, Confirmation::failed_least - 1}) == Verdict::wait);
  CHECK(judged({1'000, 0}, {50, Confirmation::failed_least}) == Verdict::worse);
  CHECK(judged({100'000, 0}, {1'001, 10}) == Verdict::wait);
  CHECK(judged({100'000, 0}, {1'000, 10}) == Verdict::worse);  // one in failed_one_in
}

TEST_CASE("without traffic before it nothing had failed") {
  CHECK(judged({0, 0}, {100, 0}) == Verdict::wait);
  CHECK(judged({0, 0}, {100, 5}) == Verdict::worse);
}

TEST_CASE("what there was before the reload is not its doing; until that is known only time counts") {
  CHECK(judged({1'000, 900}, {0, 0}) == Verdict::wait);
  Confirmation confirmation(at(0), base::seconds(60));
  CHECK(confirmation.look(at(1), {1'000, 900}) == Verdict::wait);
  confirmation.compare_with({100, 1}, {2'000, 950});
  CHECK(confirmation.look(at(2), {2'060, 970}) == Verdict::worse);
  CHECK(confirmation.words_of(Verdict::worse) ==
        "5xx and cut answers: 20 of 60 since the reload, 1 of 100 in the minute before");
}

TEST_CASE("the answers of the last minute, and all") {
  Answers answers;
  answers.count(at(0), true);
  answers.count(at(9'999), false);
  answers.count(at(10'000), false);
  CHECK(answers.lately(at(10'000)) == Counts{3, 1});
  CHECK(answers.lately(at(59'999)) == Counts{3, 1});
  CHECK(answers.lately(at(60'000)) == Counts{1, 0});
  CHECK(answers.lately(at(70'000)) == Counts{0, 0});
  answers.count(at(60'000), true);  // the slot of the first
  CHECK(answers.lately(at(60'000)) == Counts{2, 1});
  CHECK(answers.ever() == Counts{4, 2});
}
