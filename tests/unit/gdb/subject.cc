// What the printers of scripts/gdb are tried on: one of each, in a known state, when shown() is called.
#include <memory>
#include <string>

#include "base/list.h"
#include "base/slab.h"
#include "net/byte_queue.h"

namespace subject {

using namespace sluice;

struct Red : base::ListHook<struct RedTag> {
  int before = 1;
};
// The hook of its second list does not stand at its start.
struct Item final : Red, base::ListHook<struct BlueTag> {
  explicit Item(int n) : number(n) {}
  int number;
};

struct Things {
  base::Slab<Item> slab;
  base::List<Item, struct BlueTag> blue;
  base::List<Item, struct BlueTag> none;
  net::ByteQueue queue;
  net::ByteQueue long_queue;
};
Things* things = nullptr;

[[gnu::noinline]] void shown() { asm volatile("" : : "g"(things) : "memory"); }

}  // namespace subject

int main() {
  using namespace subject;
  const auto all = std::make_unique<Things>();
  things = all.get();
  Item* items[4];
  for (int i = 0; i < 4; ++i) items[i] = all->slab.make(10 + i);
  for (Item* item : items) all->blue.push_back(*item);
  all->slab.recycle(items[2]);
  all->queue.append_copy("GET / \"\x01");
  all->queue.append_copy(std::string(100, 'x'));
  // Slices that do not touch each other: the ring, and two nodes behind it.
  net::Chunk* const chunk = net::Chunk::make();
  for (uint32_t i = 0; i < 40; ++i) {
    chunk->data()[2 * i] = static_cast<char>('a' + i % 26);
    all->long_queue.append(net::Slice(chunk, 2 * i, 1));
  }
  all->long_queue.drop(1);
  chunk->unref();
  shown();
  for (int i : {0, 1, 3}) all->slab.recycle(items[i]);
  return 0;
}
