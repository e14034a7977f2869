// The heap against a set, at random: what is lowest, whatever goes in and out.
#include "http2/id_heap.h"

#include <deque>
#include <set>

#include "support/random.h"

#include <doctest/doctest.h>

using namespace sluice;

namespace {

struct Item : http2::IdHeapHook {
  explicit Item(int32_t n) : id_(n) {}
  int32_t id() const { return id_; }
  int32_t id_;
};

}  // namespace

TEST_CASE("the lowest of all, after each insert and remove") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    support::Random random(seed);
    std::deque<Item> items;
    for (int32_t i = 0; i < 60; ++i) items.emplace_back(i);
    http2::IdHeap<Item> heap;
    std::set<int32_t> in;
    for (int step = 0; step < 2000; ++step) {
      Item& item = items[random.below(items.size())];
      if (in.insert(item.id()).second) {
        heap.insert(item);
      } else {
        in.erase(item.id());
        heap.remove(item);
      }
      REQUIRE(heap.empty() == in.empty());
      CHECK(heap.one() == (in.size() == 1));
      if (!in.empty()) REQUIRE(heap.lowest()->id() == *in.begin());
    }
    while (!heap.empty()) {
      REQUIRE(heap.lowest()->id() == *in.begin());
      in.erase(in.begin());
      heap.remove(*heap.lowest());
    }
  }
}
