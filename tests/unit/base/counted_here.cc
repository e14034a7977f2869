// A pointer with a count of its own: copies leave the shared count alone, the object lives as long as any of them.
#include "base/counted_here.h"

#include <doctest/doctest.h>

using namespace sluice;

TEST_CASE("copies of a pointer counted here leave the shared count alone, and keep the object") {
  auto shared = std::make_shared<const int>(7);
  const std::weak_ptr<const int> object = shared;
  auto here = base::counted_here(shared);
  CHECK(shared.use_count() == 2);
  auto copy = here;
  const auto another = copy;
  CHECK(shared.use_count() == 2);
  CHECK(here == shared);
  shared.reset();
  here.reset();
  copy.reset();
  CHECK(object.use_count() == 1);
  CHECK(*another == 7);
}

TEST_CASE("the last copy gives the shared reference back; of nothing there is nothing to count") {
  auto shared = std::make_shared<int>(1);
  base::counted_here(shared).reset();
  CHECK(shared.use_count() == 1);
  CHECK(base::counted_here(std::shared_ptr<int>()) == nullptr);
}
