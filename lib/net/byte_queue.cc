// ByteQueue: a small ring of slices in the object, then nodes of further slices out of a per-thread slab.
#include "net/byte_queue.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "base/slab.h"

namespace sluice::net {

struct ByteQueue::Node {
  static constexpr uint32_t slices_max = 30;
  Node* next = nullptr;
  uint32_t at = 0;     // index of the oldest slice
  uint32_t end = 0;    // one past the newest
  std::array<Slice, slices_max> slices{};
};

namespace {
template <class Node>
base::Slab<Node>& nodes() {
  thread_local base::Slab<Node> slab;
  return slab;
}
}  // namespace

void ByteQueue::steal(ByteQueue& o) noexcept {
  first_at_ = 0;
  for (uint32_t i = 0; i < o.first_count_; ++i) std::construct_at(&first_[i], std::move(o.first_[o.nth(i)]));
  first_count_ = std::exchange(o.first_count_, 0);
  count_ = std::exchange(o.count_, 0);
  more_ = std::exchange(o.more_, nullptr);
  last_ = std::exchange(o.last_, nullptr);
  size_ = std::exchange(o.size_, 0);
}

Slice& ByteQueue::front_slice() { return first_count_ != 0 ? first_[first_at_] : more_->slices[more_->at]; }

Slice& ByteQueue::back_slice() {
  if (last_ != nullptr) return last_->slices[last_->end - 1];
  return first_[nth(first_count_ - 1)];
}

void ByteQueue::push(Slice&& slice) {
  size_ += slice.size();
  ++count_;
  if (more_ == nullptr && first_count_ < inline_slices) {
    std::construct_at(&first_[nth(first_count_++)], std::move(slice));
    return;
  }
  if (last_ == nullptr || last_->end == Node::slices_max) {
    Node* const node = nodes<Node>().make();
    (last_ == nullptr ? more_ : last_->next) = node;
    last_ = node;
  }
  last_->slices[last_->end++] = std::move(slice);
}

Slice ByteQueue::pop() {
  DCHECK(count_ != 0);
  Slice slice = std::move(front_slice());
  size_ -= slice.size();
  drop_front();
  return slice;
}

// Its bytes are taken off size_ already.
void ByteQueue::drop_front() {
  --count_;
  if (first_count_ != 0) {
    std::destroy_at(&first_[first_at_]);
    first_at_ = nth(1);
    --first_count_;
    return;
  }
  more_->slices[more_->at] = Slice();
  if (++more_->at == more_->end) {
    Node* const spent = std::exchange(more_, more_->next);
    if (more_ == nullptr) last_ = nullptr;
    nodes<Node>().recycle(spent);
  }
}

void ByteQueue::append(Slice&& slice) {
  if (slice.empty()) return;
  if (count_ != 0) {
    Slice& back = back_slice();
    if (back.home() == slice.home() && back.at() + back.size() == slice.at()) {
      back.set_size(back.size() + slice.size());
      size_ += slice.size();
      slice = Slice();
      return;
    }
  }
  push(std::move(slice));
}

// Bytes that fit behind our last slice, if nobody else can be writing there.
uint32_t ByteQueue::tail_room() {
  if (count_ == 0) return 0;
  const Slice& back = back_slice();
  Chunk& home = *back.home();
  if (back.at() + back.size() != home.used()) return 0;
  return home.count() == 1 || home.is_scratch() ? home.room() : 0;
}

void ByteQueue::append_copy(std::string_view bytes) {
  while (!bytes.empty()) {
    if (const uint32_t room = tail_room(); room != 0) {
      Slice& back = back_slice();
      const auto n = static_cast<uint32_t>(std::min<size_t>(room, bytes.size()));
      std::memcpy(back.home()->data() + back.home()->used(), bytes.data(), n);
      back.home()->grow_used(n);
      back.set_size(back.size() + n);
      size_ += n;
      bytes.remove_prefix(n);
      continue;
    }
    if (bytes.size() <= small_slice_bytes) {
      const auto n = static_cast<uint32_t>(bytes.size());
      Chunk& home = Chunk::scratch(n);
      const uint32_t at = home.used();
      std::memcpy(home.data() + at, bytes.data(), n);
      home.grow_used(n);
      return push(Slice(&home, at, n));
    }
    Chunk* const home = Chunk::make();
    push(Slice(home, 0, 0));  // empty for a moment: the next round fills it
    home->unref();
  }
}

void ByteQueue::take_all(ByteQueue& other) {
  DCHECK(this != &other);
  if (count_ == 0) {
    *this = std::move(other);
    return;
  }
  while (other.count_ != 0) append(other.pop());
}

void ByteQueue::take(ByteQueue& other, size_t n) {
  CHECK(this != &other && n <= other.size_);
  if (n == other.size_) return take_all(other);
  while (n != 0) {
    Slice& front = other.front_slice();
    if (front.size() <= n) {
      n -= front.size();
      append(other.pop());
      continue;
    }
    append(front.sub(0, static_cast<uint32_t>(n)));
    front.remove_prefix(static_cast<uint32_t>(n));
    other.size_ -= n;
    n = 0;
  }
}

void ByteQueue::drop(size_t n) {
  CHECK(n <= size_);
  while (n != 0) {
    Slice& front = front_slice();
    if (front.size() > n) {
      front.remove_prefix(static_cast<uint32_t>(n));
      size_ -= n;
      return;
    }
    n -= front.size();
    size_ -= front.size();
    drop_front();
  }
}

void ByteQueue::drop_all() {
  size_ = 0;
  while (count_ != 0) drop_front();
}

const Slice& ByteQueue::front() const {
  DCHECK(count_ != 0);
  return first_count_ != 0 ? first_[first_at_] : more_->slices[more_->at];
}

const Slice& ByteQueue::back() const {
  DCHECK(count_ != 0);
  if (last_ != nullptr) return last_->slices[last_->end - 1];
  return first_[nth(first_count_ - 1)];
}

const Slice& ByteQueue::slice(size_t i) const {
  DCHECK(i < count_);
  if (i < first_count_) return first_[nth(i)];
  i -= first_count_;
  const Node* node = more_;
  while (i >= node->end - node->at) {
    i -= node->end - node->at;
    node = node->next;
  }
  return node->slices[node->at + i];
}

template <class Visit>
void ByteQueue::each(Visit visit) const {
  for (uint32_t i = 0; i < first_count_; ++i) {
    if (!visit(first_[nth(i)])) return;
  }
  for (const Node* node = more_; node != nullptr; node = node->next) {
    for (uint32_t i = node->at; i < node->end; ++i) {
      if (!visit(node->slices[i])) return;
    }
  }
}

std::span<iovec> ByteQueue::gather(std::span<iovec> vectors) const {
  size_t n = 0;
  each([&](const Slice& slice) {
    if (n == vectors.size()) return false;
    vectors[n++] = {slice.home()->data() + slice.at(), slice.size()};
    return true;
  });
  return vectors.first(n);
}

size_t ByteQueue::peek(char* to, size_t bytes) const {
  size_t done = 0;
  each([&](const Slice& slice) {
    const size_t n = std::min<size_t>(slice.size(), bytes - done);
    if (n != 0) std::memcpy(to + done, slice.data(), n);
    done += n;
    return done < bytes;
  });
  return done;
}

std::string_view ByteQueue::flatten(size_t n) {
  CHECK(n <= size_ && n <= Chunk::largest_bytes);
  if (n == 0) return {};
  if (front().size() >= n) return front().view().substr(0, n);
  // Room to grow, so that reading can go on behind what was moved.
  Chunk* const home = Chunk::make(static_cast<uint32_t>(std::min<size_t>(n + n / 2, Chunk::largest_bytes)));
  peek(home->data(), n);
  home->grow_used(static_cast<uint32_t>(n));
  drop(n);
  ByteQueue rest = std::move(*this);
  push(Slice(home, 0, static_cast<uint32_t>(n)));
  home->unref();
  while (rest.count_ != 0) push(rest.pop());
  return front().view();
}

size_t ByteQueue::pinned() const {
  size_t bytes = 0;
  const Chunk* before = nullptr;
  each([&](const Slice& slice) {
    if (slice.home() != before) bytes += slice.home()->capacity();
    before = slice.home();
    return true;
  });
  return bytes;
}

void ByteQueue::compact() {
  const auto small = [](const Slice& s) { return s.size() < small_slice_bytes; };
  bool worth_it = false;  // a small slice in a chunk of somebody else, or two small ones side by side
  bool small_before = false;
  each([&](const Slice& s) {
    worth_it = small(s) && (small_before || (s.home()->count() > 1 && !s.home()->is_scratch()));
    small_before = small(s);
    return !worth_it;
  });
  if (!worth_it) return;
  ByteQueue old = std::move(*this);
  while (old.count_ != 0) {
    Slice slice = old.pop();
    const bool joins = count_ != 0 && small(back_slice()) && tail_room() >= slice.size();
    const bool alone = slice.home()->count() == 1 || slice.home()->is_scratch();
    if (small(slice) && (joins || !alone || (old.count_ != 0 && small(old.front())))) {
      append_copy(slice.view());
    } else {
      append(std::move(slice));
    }
  }
}

}  // namespace sluice::net
