// When does an upstream close idle connections? Learned from closes that agree.
#include "upstream/idle_limit.h"

#include <vector>

#include <doctest/doctest.h>

using namespace sluice;
using upstream::IdleLimit;

namespace {

struct Close {
  int64_t age_ms;
  int64_t at_ms;
};

// What was learned by the last of them, in milliseconds; -1 if nothing was.
int64_t after(const std::vector<Close>& closes) {
  IdleLimit limit;
  int64_t learned = -1;
  for (const Close& c : closes)
    learned = limit.closed_at(base::Micros{c.age_ms * 1000}, base::Micros{c.at_ms * 1000})
                  ? limit.learned().count / 1000
                  : -1;
  return learned;
}

}  // namespace

TEST_CASE("three closes at the same age, at different times, are a limit: the shortest of them") {
  CHECK(after({{5'010, 10'000}, {5'000, 20'000}}) == -1);
  CHECK(after({{5'010, 10'000}, {5'000, 20'000}, {5'200, 21'000}}) == 5'000);
}

TEST_CASE("ages that differ are none; those that agree are counted anew") {
  CHECK(after({{5'000, 10'000}, {20'000, 20'000}, {5'000, 30'000}}) == -1);
  CHECK(after({{5'000, 10'000}, {20'000, 20'000}, {20'000, 30'000}, {20'100, 40'000}}) == 20'000);
  CHECK(after({{1'000, 10'000}, {1'250, 20'000}, {1'000, 30'000}}) == 1'000);
  CHECK(after({{1'000, 10'000}, {1'251, 20'000}, {1'000, 30'000}}) == -1);
}

TEST_CASE("a server that restarts closes all at one moment: one close") {
  CHECK(after({{5'000, 10'000}, {5'000, 10'000}, {5'000, 10'001}, {5'000, 10'999}}) == -1);
  CHECK(after({{5'000, 10'000}, {5'000, 11'000}, {5'000, 12'000}}) == 5'000);
}

TEST_CASE("a close right after an answer says nothing of idleness") {
  CHECK(after({{499, 10'000}, {499, 20'000}, {499, 30'000}}) == -1);
  CHECK(after({{500, 10'000}, {500, 20'000}, {500, 30'000}}) == 500);
}

TEST_CASE("what was learned is learned anew") {
  CHECK(after({{5'000, 10'000}, {5'000, 20'000}, {5'000, 30'000}, {5'000, 40'000}}) == -1);
  CHECK(after({{5'000, 1'000}, {5'000, 2'000}, {5'000, 3'000}, {9'000, 4'000}, {9'000, 5'000}, {9'000, 6'000}}) ==
        9'000);
}

TEST_CASE("we close a second before, or a fifth") {
  CHECK(IdleLimit::keep_for(base::seconds(60)) == base::seconds(59));
  CHECK(IdleLimit::keep_for(base::seconds(5)) == base::seconds(4));
  CHECK(IdleLimit::keep_for(base::Micros{500'000}) == base::Micros{400'000});
}
