// ByteQueue: ordered slices; what every layer hands to the next. Moving a queue or a slice copies no bytes.
// The first slices sit inline; more of them go to pooled nodes, so a queue in steady state touches no heap.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "net/chunk.h"

namespace sluice::net {

class ByteQueue {
 public:
  // A slice smaller than this that has to wait is copied to the tail, lest one byte pin its whole chunk (see pinned()).
  static constexpr uint32_t small_slice_bytes = 2048;

  ByteQueue() {}
  ByteQueue(ByteQueue&& o) noexcept : ByteQueue() {
    if (o.count_ != 0) steal(o);
  }
  ByteQueue& operator=(ByteQueue&& o) noexcept {
    if (this == &o) return *this;
    clear();
    if (o.count_ != 0) steal(o);
    return *this;
  }
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;
  ~ByteQueue() { clear(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Adds to the end. A slice that continues the last one in the same chunk is merged with it. Empty slices vanish.
  void append(Slice&& slice);
  // Copies into the tail chunk, or a new one.
  void append_copy(std::string_view bytes);
  // All of `other` to our end, in order.
  void take_all(ByteQueue& other);
  // The first n bytes of `other` to our end; n <= other.size().
  void take(ByteQueue& other, size_t n);
  // Forgets the first n bytes; n <= size().
  void drop(size_t n);
  void clear() {
    if (count_ != 0) drop_all();  // most queues that go are empty
  }
  // First slice; only if !empty().
  const Slice& front() const;
  const Slice& back() const;
  // Number of slices, and slice i (0 = front).
  size_t slices() const { return count_; }
  const Slice& slice(size_t i) const;
  // Fills `vectors` from the front; returns the part that was used.
  std::span<iovec> gather(std::span<iovec> vectors) const;
  // Copies up to `bytes` from the front without removing them; returns how many.
  size_t peek(char* to, size_t bytes) const;
  // Makes the first n bytes contiguous (copies only if they are not) and returns them; n <= size(), n <=
  // Chunk::largest_bytes.
  std::string_view flatten(size_t n);
  // Bytes of chunk memory that this queue holds on to, counting each slice's whole chunk once per run of slices in it.
  size_t pinned() const;
  // Call when the bytes will stay beyond this turn: small slices of mostly foreign chunks are copied together.
  void compact();

 private:
  struct Node;  // pooled: a run of further slices
  static constexpr uint32_t inline_slices = 3;
  // The i-th slice of those in first_.
  uint32_t nth(size_t i) const {
    const uint32_t at = first_at_ + static_cast<uint32_t>(i);
    return at < inline_slices ? at : at - inline_slices;
  }
  void steal(ByteQueue& o) noexcept;  // by one that is empty
  Slice& front_slice();
  Slice& back_slice();
  void push(Slice&& slice);
  Slice pop();
  void drop_front();
  void drop_all();
  uint32_t tail_room();
  template <class Visit>
  void each(Visit visit) const;  // visit(slice) -> go on?

  // Only those slices are there that are in the queue: one that is empty makes, moves and destroys none.
  union {
    std::array<Slice, inline_slices> first_;
  };
  uint32_t first_at_ = 0;  // index of the front within first_ (a ring)
  uint32_t first_count_ = 0;
  uint32_t count_ = 0;
  Node* more_ = nullptr;  // oldest further node
  Node* last_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sluice::net
