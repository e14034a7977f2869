// When what a publish replaced may be freed.
#include "runtime/epochs.h"

#include <doctest/doctest.h>

using sluice::runtime::Epochs;

TEST_CASE("what was replaced is over when every worker has the new and nobody uses the old") {
  Epochs epochs(2);
  CHECK(epochs.begin() == 1);
  CHECK_FALSE(epochs.everywhere(1));
  epochs.held(0, {1, {}});
  CHECK_FALSE(epochs.everywhere(1));
  epochs.held(1, {1, {}});
  CHECK(epochs.everywhere(1));

  CHECK(epochs.begin() == 2);
  CHECK_FALSE(epochs.over({1, 2}));
  epochs.held(0, {2, {}});
  epochs.held(1, {2, {1}});
  CHECK_FALSE(epochs.over({1, 2}));
  epochs.held(1, {2, {}});
  CHECK(epochs.over({1, 2}));
}

TEST_CASE("a WebSocket of an old epoch holds that one, not those that came and went after it") {
  Epochs epochs(1);
  for (int i = 0; i < 5; ++i) epochs.begin();
  epochs.held(0, {5, {2}});
  CHECK(epochs.over({1, 2}));
  CHECK_FALSE(epochs.over({1, 3}));
  CHECK_FALSE(epochs.over({2, 3}));
  CHECK(epochs.over({3, 5}));
  CHECK_FALSE(epochs.over({3, 6}));                // not replaced yet
}
