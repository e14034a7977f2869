// When the cells of what a reload took away may be given to others.
#include "runtime/settling.h"

#include <doctest/doctest.h>

using sluice::runtime::Settling;
using Verdict = Settling::Verdict;

TEST_CASE("settled is what all workers say in one round") {
  Settling settling(3);
  const uint64_t round = settling.ask();
  CHECK(settling.answer(round, true) == Verdict::open);
  CHECK(settling.answer(round, true) == Verdict::open);
  CHECK(settling.answer(round, true) == Verdict::settled);
}

TEST_CASE("one worker that uses something still makes it a round for nothing") {
  Settling settling(2);
  const uint64_t first = settling.ask();
  CHECK(settling.answer(first, false) == Verdict::open);
  CHECK(settling.answer(first, true) == Verdict::in_use);
  const uint64_t second = settling.ask();
  CHECK(settling.answer(second, true) == Verdict::open);
  CHECK(settling.answer(second, true) == Verdict::settled);
}

TEST_CASE("answers that were on their way when something changed say nothing about it") {
  Settling settling(2);
  const uint64_t before = settling.ask();
  CHECK(settling.answer(before, true) == Verdict::open);
  settling.changed();                             // a reload takes a route away, whose requests are still under way
  CHECK(settling.answer(before, true) == Verdict::open);
  const uint64_t after = settling.ask();
  CHECK(settling.answer(after, true) == Verdict::open);
  CHECK(settling.answer(after, false) == Verdict::in_use);
}

TEST_CASE("answers of an earlier round count in no later one") {
  Settling settling(2);
  const uint64_t slow = settling.ask();
  CHECK(settling.answer(slow, true) == Verdict::open);
  const uint64_t next = settling.ask();
  CHECK(settling.answer(next, true) == Verdict::open);
  CHECK(settling.answer(slow, true) == Verdict::open);
  CHECK(settling.answer(next, false) == Verdict::in_use);
}
