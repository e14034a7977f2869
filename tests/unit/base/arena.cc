// Arena and slab: alignment, limits of a block, recycling, and that free memory is really out of bounds.
#include "base/arena.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/pages.h"
#include "base/poison.h"
#include "base/slab.h"

#include <doctest/doctest.h>

using sluice::base::Arena;
using sluice::base::Pages;
using sluice::base::Slab;
using sluice::base::SlabPages;

TEST_CASE("arena: alignment and no overlap, over many blocks") {
  Arena arena;
  std::vector<std::pair<unsigned char*, size_t>> pieces;
  for (size_t i = 0; i < 500; ++i) {
    const size_t align = size_t{1} << (i % 5);
    const size_t bytes = i % 97;
    auto* at = static_cast<unsigned char*>(arena.allocate(bytes, align));
    REQUIRE(reinterpret_cast<uintptr_t>(at) % align == 0);
    std::memset(at, static_cast<int>(i & 0xff), bytes);
    pieces.emplace_back(at, bytes);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    for (size_t k = 0; k < pieces[i].second; ++k) REQUIRE(pieces[i].first[k] == (i & 0xff));
  }
  CHECK(arena.bytes_held() % Arena::block_bytes == 1024);   // the first block is a small one
}

TEST_CASE("arena: the first block is small, if what is asked for fits") {
  Arena arena;
  (void)arena.allocate(1024 - 16);
  CHECK(arena.bytes_held() == 1024);
  (void)arena.allocate(1);
  CHECK(arena.bytes_held() == 1024 + Arena::block_bytes);
  arena.reset();
  (void)arena.allocate(1024 - 15);
  CHECK(arena.bytes_held() == Arena::block_bytes);
}

TEST_CASE("arena: the largest pooled ask and the smallest one with a block of its own") {
  Arena arena;
  (void)arena.allocate(Arena::block_bytes - 16);
  CHECK(arena.bytes_held() == Arena::block_bytes);
  arena.reset();
  CHECK(arena.bytes_held() == 0);
  (void)arena.allocate(Arena::block_bytes - 15);
  CHECK(arena.bytes_held() == Arena::block_bytes + 1);
  auto* big = static_cast<char*>(arena.allocate(1'000'000));
  std::memset(big, 1, 1'000'000);
  CHECK(arena.bytes_held() == Arena::block_bytes + 1 + 1'000'016);
}

TEST_CASE("arena: a big ask leaves the rest of the current block in use") {
  Arena arena;
  auto* first = static_cast<char*>(arena.allocate(16));
  (void)arena.allocate(100'000);
  auto* second = static_cast<char*>(arena.allocate(16));
  CHECK(second == first + 16);
}

TEST_CASE("arena: blocks are recycled within a thread") {
  Arena arena;
  void* before = arena.allocate(64);
  arena.reset();
  CHECK(arena.allocate(64) == before);
}

TEST_CASE("arena: copy and concat") {
  Arena arena;
  std::string source = "abc";
  const auto copy = arena.copy(source);
  source = "xyz";
  CHECK(copy == "abc");
  CHECK(arena.copy("").empty());
  CHECK(arena.concat("a", std::string_view("bc"), "") == "abc");
  CHECK(arena.concat("", "").empty());
  CHECK(arena.concat(std::string_view(), "x", std::string_view()) == "x");
}

TEST_CASE("arena: a thread that ends gives its blocks back") {
  const size_t before = Pages::held();
  std::thread([&] {
    Arena arena;
    for (size_t i = 0; i < 100; ++i) (void)arena.allocate(i * 100);
    CHECK(Pages::held() > before);
  }).join();
  CHECK(Pages::held() == before);
}

TEST_CASE("arena: what a burst took goes back to the system") {
  while (SlabPages::trim_thread()) {
  }
  const size_t before = Pages::held();
  {
    std::vector<std::unique_ptr<Arena>> all;
    for (size_t i = 0; i < 500; ++i) {
      all.push_back(std::make_unique<Arena>());
      for (const size_t bytes : {100, 1500, 3000, 20'000, 64'000, 200'000}) (void)all.back()->allocate(bytes);
    }
    CHECK(Pages::held() - before >= 500 * 288'600);
  }
  CHECK(Pages::held() - before < 8 * 1024 * 1024);         // kept for what comes next
  CHECK(SlabPages::trim_thread());                         // was needed since the last time
  CHECK(!SlabPages::trim_thread());                        // and is not any more
  CHECK(Pages::held() == before);
}

TEST_CASE("arena: blocks in use are not trimmed") {
  Arena arena;
  char* const text = static_cast<char*>(arena.allocate(100'000, 1));
  std::memset(text, 7, 100'000);
  while (SlabPages::trim_thread()) {
  }
  for (size_t i = 0; i < 100'000; ++i) REQUIRE(text[i] == 7);
}

TEST_CASE("slab: a trim leaves the pages that are needed again and again") {
  SlabPages pages(1000, 1024 * 1024);
  const auto use = [&](size_t n) {
    std::vector<void*> all;
    for (size_t i = 0; i < n; ++i) all.push_back(pages.take());
    for (void* one : all) pages.give(one);
  };
  use(960);                                                // 60 pages
  CHECK(pages.free_pages() == 60);
  SlabPages::trim_thread();
  use(320);
  SlabPages::trim_thread();
  CHECK(pages.free_pages() == 20);
  use(320);
  SlabPages::trim_thread();
  CHECK(pages.free_pages() == 20);
  SlabPages::trim_thread();
  CHECK(pages.free_pages() == 0);
}

namespace {
struct Thing {
  explicit Thing(int v) : value(v) { ++alive; }
  Thing(const Thing&) = delete;
  Thing& operator=(const Thing&) = delete;
  ~Thing() { --alive; }
  int value;
  char pad[200] = {};
  static inline int alive = 0;
};
struct Huge {
  char bytes[100'000];
};
}  // namespace

TEST_CASE("slab: construct, recycle, reuse") {
  Slab<Thing> slab;
  Thing* one = slab.make(1);
  Thing* two = slab.make(2);
  CHECK(one->value == 1);
  CHECK(two->value == 2);
  CHECK(slab.in_use() == 2);
  CHECK(Thing::alive == 2);
  slab.recycle(one);
  CHECK(Thing::alive == 1);
  Thing* three = slab.make(3);
  CHECK(static_cast<void*>(three) == static_cast<void*>(one));
  slab.recycle(two);
  slab.recycle(three);
  CHECK(slab.in_use() == 0);
}

TEST_CASE("slab: thousands in any order, all distinct and aligned") {
  Slab<Thing> slab;
  for (int round = 0; round < 3; ++round) {
    std::vector<Thing*> all;
    std::set<Thing*> distinct;
    for (int i = 0; i < 3000; ++i) {
      Thing* t = slab.make(i);
      REQUIRE(reinterpret_cast<uintptr_t>(t) % 16 == 0);
      all.push_back(t);
      distinct.insert(t);
    }
    REQUIRE(distinct.size() == all.size());
    for (int i = 0; i < 3000; ++i) REQUIRE(all[static_cast<size_t>(i)]->value == i);
    // Odd ones first, then even ones backwards: pages go from full to partial to free in a mixed order.
    for (size_t i = 1; i < all.size(); i += 2) slab.recycle(all[i]);
    for (size_t i = all.size(); i >= 2; i -= 2) slab.recycle(all[i - 2]);
    REQUIRE(slab.in_use() == 0);
  }
}

TEST_CASE("slab: of free pages 256 KB are kept, or one") {
  for (const size_t cell : {size_t{200}, size_t{5000}, size_t{400'000}}) {
    sluice::base::SlabPages pages(cell);
    for (const size_t n : {size_t{1}, size_t{20'000'000} / cell}) {
      std::vector<void*> all;
      for (size_t i = 0; i < n; ++i) all.push_back(pages.take());
      for (void* one : all) pages.give(one);
      CHECK(pages.free_pages() == (n == 1 || cell == 400'000 ? 1 : 16));
    }
  }
}

TEST_CASE("slab: what a burst took goes back to the system, but for what is kept, and is taken again") {
  constexpr size_t cell = 1000;
  constexpr size_t kept = 64 * 1024;
  sluice::base::SlabPages pages(cell, kept);
  const auto resident = [](const std::set<void*>& at) {    // of these pages of the system
    size_t n = 0;
    for (void* page : at) {
      unsigned char in_memory = 0;
      REQUIRE(mincore(page, 1, &in_memory) == 0);
      n += in_memory & 1;
    }
    return n;
  };
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> all;
    std::set<void*> touched;
    for (size_t i = 0; i < 10'000; ++i) {
      all.push_back(pages.take());
      std::memset(all.back(), 1, cell);
      char* const at = static_cast<char*>(all.back());
      touched.insert(at - (reinterpret_cast<uintptr_t>(at) & 4095));
    }
    CHECK(resident(touched) == touched.size());
    CHECK(touched.size() > 2000);
    for (void* one : all) pages.give(one);
    CHECK(resident(touched) <= kept / 4096);
  }
}

TEST_CASE("slab: objects above the usual page") {
  Slab<Huge> slab;
  std::vector<Huge*> all;
  for (int i = 0; i < 10; ++i) {
    all.push_back(slab.make());
    std::memset(all.back()->bytes, i, sizeof(Huge));
  }
  for (int i = 0; i < 10; ++i) CHECK(all[static_cast<size_t>(i)]->bytes[sizeof(Huge) - 1] == i);
  for (Huge* h : all) slab.recycle(h);
}

#ifdef SLUICE_ASAN
TEST_CASE("free cells and free blocks are out of bounds") {
  Slab<Thing> slab;
  Thing* thing = slab.make(1);
  Thing* other = slab.make(2);
  slab.recycle(thing);
  CHECK(__asan_address_is_poisoned(&thing->pad[100]));
  CHECK(!__asan_address_is_poisoned(&other->pad[100]));
  slab.recycle(other);
  Arena arena;
  auto* text = static_cast<char*>(arena.allocate(100));
  arena.reset();
  CHECK(__asan_address_is_poisoned(text + 50));
}
#elif !defined(NDEBUG)
TEST_CASE("free cells hold the pattern") {
  Slab<Thing> slab;
  Thing* thing = slab.make(1);
  Thing* other = slab.make(2);
  const volatile char* pad = &thing->pad[100];
  slab.recycle(thing);
  CHECK(static_cast<unsigned char>(*pad) == sluice::base::poison_byte);
  slab.recycle(other);
}
#endif
