// ByteQueue and Chunk against a std::string that does the same.
#include "net/byte_queue.h"

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "base/slab.h"
#include "support/random.h"

#include <doctest/doctest.h>

using namespace sluice;
using net::ByteQueue;
using net::Chunk;
using net::Slice;

namespace {

std::string text(const ByteQueue& queue) {
  std::string s(queue.size(), '\0');
  CHECK(queue.peek(s.data(), s.size()) == s.size());
  return s;
}

Slice slice_of(std::string_view bytes, uint32_t at = 0) {
  Chunk* const chunk = Chunk::make(at + static_cast<uint32_t>(bytes.size()));
  bytes.copy(chunk->data() + at, bytes.size());
  chunk->grow_used(at + static_cast<uint32_t>(bytes.size()));
  Slice slice(chunk, at, static_cast<uint32_t>(bytes.size()));
  chunk->unref();
  return slice;
}

void check_same(const ByteQueue& queue, const std::string& model) {
  REQUIRE(queue.size() == model.size());
  REQUIRE(text(queue) == model);
  REQUIRE(queue.empty() == model.empty());
  size_t total = 0;
  for (size_t i = 0; i < queue.slices(); ++i) {
    REQUIRE(!queue.slice(i).empty());
    total += queue.slice(i).size();
  }
  REQUIRE(total == model.size());
  if (!model.empty()) {
    REQUIRE(queue.slice(0).data() == queue.front().data());
    REQUIRE(queue.slice(queue.slices() - 1).data() == queue.back().data());
  }
  std::vector<iovec> vectors(queue.slices() + 1);
  const auto used = queue.gather(vectors);
  REQUIRE(used.size() == queue.slices());
  std::string gathered;
  for (const iovec& v : used) gathered.append(static_cast<const char*>(v.iov_base), v.iov_len);
  REQUIRE(gathered == model);
}

}  // namespace

TEST_CASE("random operations on two queues give what strings give") {
  const size_t live = Chunk::live();
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    support::Random random(seed);
    ByteQueue queues[2];
    std::string models[2];
    std::vector<std::pair<Slice, std::string>> held;  // slices that others keep: nothing may write into them
    for (int step = 0; step < 300; ++step) {
      const size_t i = random.below(2);
      ByteQueue& q = queues[i];
      std::string& m = models[i];
      const size_t some = m.empty() ? 0 : random.between(0, m.size());
      switch (random.below(10)) {
        case 0:
        case 1: {
          const std::string bytes(random.one_in(4) ? random.between(0, 40'000) : random.between(0, 300),
                                  static_cast<char>('a' + random.below(26)));
          q.append_copy(bytes);
          m += bytes;
          break;
        }
        case 2:
        case 3: {
          const std::string bytes(random.between(0, 5000), static_cast<char>('A' + random.below(26)));
          q.append(slice_of(bytes, static_cast<uint32_t>(random.below(50))));
          m += bytes;
          break;
        }
        case 4:
          q.drop(some);
          m.erase(0, some);
          break;
        case 5:
          queues[1 - i].take(q, some);
          models[1 - i] += m.substr(0, some);
          m.erase(0, some);
          break;
        case 6:
          queues[1 - i].take_all(q);
          models[1 - i] += std::exchange(m, {});
          break;
        case 7: {
          const size_t n = std::min<size_t>(some, Chunk::largest_bytes);
          REQUIRE(q.flatten(n) == std::string_view(m).substr(0, n));
          break;
        }
        case 8: q.compact(); break;
        case 9:
          if (!q.empty() && held.size() < 20) held.emplace_back(q.slice(random.below(q.slices())), "");
          if (!held.empty() && held.back().second.empty()) held.back().second = held.back().first.view();
          if (random.one_in(20)) q = ByteQueue(), m.clear();
          break;
      }
      if (m.size() > 300'000) q.clear(), m.clear();
      if (step % 10 == 0) check_same(q, m);
    }
    check_same(queues[0], models[0]);
    check_same(queues[1], models[1]);
    for (const auto& [slice, bytes] : held) REQUIRE(slice.view() == bytes);
  }
  CHECK(Chunk::live() == live);
}

TEST_CASE("slices that continue each other are one") {
  const Slice whole = slice_of("abcdefghij");
  ByteQueue queue;
  queue.append(whole.sub(0, 4));
  queue.append(whole.sub(4, 3));
  CHECK(queue.slices() == 1);
  queue.append(whole.sub(8, 2));
  CHECK(queue.slices() == 2);
  queue.append(whole.sub(3, 0));
  CHECK(queue.slices() == 2);
  CHECK(text(queue) == "abcdefgij");
}

TEST_CASE("flatten leaves room to go on reading behind a head, up to the largest chunk") {
  ByteQueue queue;
  for (int i = 0; i < 6; ++i) queue.append(slice_of(std::string(16'000, static_cast<char>('0' + i))));
  CHECK(queue.flatten(17'000).size() == 17'000);
  CHECK(queue.front().home()->capacity() > 17'000);
  CHECK(queue.flatten(96'000).size() == 96'000);
  CHECK(queue.slices() == 1);
  CHECK(queue.front().home()->capacity() == Chunk::largest_bytes);
  CHECK(queue.front().at() + queue.front().size() == queue.front().home()->used());
}

TEST_CASE("one byte pins its chunk until compact() copies it out") {
  const size_t live = Chunk::live();
  ByteQueue queue;
  std::vector<Slice> readers;  // the read chunks live on elsewhere for a moment
  for (int i = 0; i < 64; ++i) {
    Slice big = slice_of(std::string(2000, static_cast<char>('a' + i % 26)));
    queue.append(big.sub(static_cast<uint32_t>(i), 1));
    readers.push_back(std::move(big));
  }
  CHECK(queue.pinned() == 64 * Chunk::usual_bytes);
  const std::string before = text(queue);
  queue.compact();
  readers.clear();
  CHECK(text(queue) == before);
  CHECK(queue.pinned() == Chunk::usual_bytes);
  CHECK(Chunk::live() == live + 1);
}

TEST_CASE("compact() leaves large slices where they are") {
  ByteQueue queue;
  queue.append(slice_of(std::string(ByteQueue::small_slice_bytes, 'x')));
  queue.append(slice_of(std::string(ByteQueue::small_slice_bytes, 'y')));
  const char* const first = queue.slice(0).data();
  const char* const second = queue.slice(1).data();
  queue.compact();
  CHECK(queue.slice(0).data() == first);
  CHECK(queue.slice(1).data() == second);
}

TEST_CASE("small copies of many queues share a chunk and do not touch each other") {
  const size_t live = Chunk::live();
  std::deque<ByteQueue> queues(50);
  std::vector<std::string> models(50);
  support::Random random(3);
  for (int round = 0; round < 400; ++round) {
    const size_t i = random.below(50);
    const std::string bytes(random.between(1, 30), static_cast<char>('a' + random.below(26)));
    queues[i].append_copy(bytes);
    models[i] += bytes;
  }
  for (size_t i = 0; i < 50; ++i) CHECK(text(queues[i]) == models[i]);
  CHECK(Chunk::live() <= live + 1);
  queues.clear();
  CHECK(Chunk::live() == live);
}

TEST_CASE("some chunks of a burst are kept, the rest goes back, and what was kept when it is idle") {
  std::vector<Slice> burst;
  for (int i = 0; i < 1000; ++i) burst.push_back(slice_of("x"));
  burst.clear();
  CHECK(Chunk::kept_free() <= 400);
  CHECK(Chunk::kept_free() >= 330);
  while (base::SlabPages::trim_thread()) {
  }
  CHECK(Chunk::kept_free() == 0);
  Chunk* const again = Chunk::make();
  CHECK(again->used() == 0);
  CHECK(again->capacity() == Chunk::usual_bytes);
  again->unref();
}

TEST_CASE("sizes of chunks") {
  for (const auto& [asked, got] : std::vector<std::pair<uint32_t, uint32_t>>{
           {1, 16384}, {16384, 16384}, {16385, 32768}, {32769, 65536}, {65537, 98304}, {98304, 98304}}) {
    Chunk* const chunk = Chunk::make(asked);
    CHECK(chunk->capacity() == got);
    chunk->unref();
  }
}
